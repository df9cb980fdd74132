"""Linear-phase FIR filters with a change of rate, of which every bit is determined.

Every output adds its products in the order of the taps, in float32 and without fused operations, so that compiled code
and NumPy agree on any machine. A matrix product, which leaves the order to the BLAS, does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clear_hug.data import native

__all__ = ["Fir", "fir_filter"]

_NOTHING = 1e-12
"""Taps below this share of the largest are rounding errors of their design; zeros cost no time."""
_ENDS = ("zero", "hold", "line", "mirror", "given")  # in the order of csrc/signal/kernels.h


@dataclass(frozen=True, eq=False)
class Fir:
    """A filter from a rate to `up / down` of it.

    Attributes:
        taps: float32 [up, 2 reach + 1]; output j is the sum over k of `taps[j * down % up, k]` times sample
            `j * down // up - reach + k`.
        up: see above.
        down: see above.
    """

    taps: NDArray[np.float32]
    up: int
    down: int

    @property
    def reach(self) -> int:
        """Samples before and after that an output depends on."""
        return self.taps.shape[1] // 2

    def __call__(self, rows: NDArray[np.float32], ends: str = "zero") -> NDArray[np.float32]:
        """Filter rows.

        Args:
            rows: float32 [leads, n], contiguous and not empty.
            ends: how a row goes on beyond its ends: with zeros ("zero"), with its outermost sample ("hold"), along the
                straight line through its first and last sample, so that an offset or a drift rings at neither end
                ("line"), as its mirror image about the end point ("mirror"); or its first and last `reach` samples are
                what goes beyond ("given").

        Returns:
            float32 [leads, ceil(n * up / down)]; output j lies at sample j * down / up. With "given" ends, n counts the
            samples between them.
        """
        if native.KERNELS is not None:
            filtered: NDArray[np.float32] = native.KERNELS.filter(
                rows, self.taps, self.up, self.down, _ENDS.index(ends)
            )
            return filtered
        return self._in_numpy(rows, ends)

    def around(
        self, rows: NDArray[np.float32], starts: NDArray[np.int64], count: int, ends: str = "zero"
    ) -> NDArray[np.float32]:
        """Only some outputs of a filter that keeps the rate.

        Args:
            rows: float32 [leads, n], contiguous and not empty.
            starts: int64 [windows], the first output of each window; may lie beyond the ends.
            count: outputs per window.
            ends: as above, but for "given".

        Returns:
            float32 [leads, windows, count].
        """
        if native.KERNELS is not None:
            found: NDArray[np.float32] = native.KERNELS.filter_around(rows, self.taps, _ENDS.index(ends), starts, count)
            return found
        index = starts[:, None] + np.arange(-self.reach, count + self.reach)
        beyond = max(0, -int(index.min(initial=0)), int(index.max(initial=0)) - rows.shape[1] + 1)
        near = _continued(rows, beyond, ends)[:, index + beyond]  # [leads, windows, samples]
        return self(near.reshape(-1, index.shape[1]), "given").reshape(len(rows), len(starts), count)

    def _in_numpy(self, rows: NDArray[np.float32], ends: str) -> NDArray[np.float32]:
        """The twin of csrc/signal/filter.h: tap by tap for all outputs."""
        padded = rows if ends == "given" else _continued(rows, self.reach, ends)
        wanted = -(-(padded.shape[1] - 2 * self.reach) * self.up // self.down)
        samples = np.ascontiguousarray(padded.T)  # [samples, leads], of which every stretch is one piece of memory
        dealt = [np.ascontiguousarray(samples[first :: self.down]) for first in range(self.down)]
        start, phase = np.divmod(np.arange(wanted) * self.down, self.up)
        total = np.zeros((wanted, len(rows)), dtype=np.float32)
        product = np.empty_like(total)
        for k, taps in enumerate(self.taps.T):  # [up]
            if not taps.any():
                continue
            if self.up == 1:  # neighbours, much faster than any index
                np.multiply(dealt[k % self.down][k // self.down : k // self.down + wanted], taps[0], out=product)
            else:
                np.multiply(samples.take(start + k, axis=0), taps[phase, None], out=product)
            total += product
        return np.ascontiguousarray(total.T)


def fir_filter(taps: NDArray[np.floating], up: int = 1, down: int = 1, unit_gain: bool = False) -> Fir:
    """The filter of these taps.

    Args:
        taps: [2 half + 1], symmetric about the middle or not, at `up` times the rate of the rows.
        up: the rate goes up by this factor (the taps are not scaled by it).
        down: and then down by this.
        unit_gain: scale the taps behind each output so that a constant goes through unchanged.
    """
    taps = np.asarray(taps, dtype=np.float64)
    half = len(taps) // 2
    reach = math.ceil(half / up)
    tap = np.arange(up)[:, None] - np.arange(-reach, reach + 1) * up + half  # [up, 2 reach + 1]
    inside = (tap >= 0) & (tap < len(taps))
    phases = np.where(inside, taps[np.clip(tap, 0, len(taps) - 1)], 0.0)
    if unit_gain:
        phases /= phases.sum(axis=1, keepdims=True)
    phases[np.abs(phases) < _NOTHING * np.abs(phases).max()] = 0.0  # such as the zero crossings of a low-pass
    return Fir(np.ascontiguousarray(phases, dtype=np.float32), up, down)


def _continued(rows: NDArray[np.float32], reach: int, ends: str) -> NDArray[np.float32]:
    """[leads, reach + n + reach]."""
    leads, count = rows.shape
    padded = np.zeros((leads, reach + count + reach), dtype=np.float32)
    padded[:, reach : reach + count] = rows
    away = np.arange(1, reach + 1)  # samples from the end
    before, after = padded[:, :reach][:, ::-1], padded[:, reach + count :]
    first, last = rows[:, :1], rows[:, -1:]  # [leads, 1]
    if ends == "hold":
        before[:], after[:] = first, last
    elif ends == "line":
        slope = (last - first) / np.float32(max(1, count - 1))
        before[:] = first + slope * -away.astype(np.float32)
        after[:] = last + slope * away.astype(np.float32)
    elif ends == "mirror":
        inside = np.minimum(away, count - 1)
        before[:] = 2 * first - rows[:, inside]
        after[:] = 2 * last - rows[:, count - 1 - inside]
    return padded
