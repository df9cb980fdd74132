"""What the quality checks and the beat detector ask of every sample of a recording, in one go."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clear_hug.data import native
from clear_hug.data.order_statistics import row_medians

__all__ = ["LeadFacts", "curvature", "curvature_reach", "finite_range", "lead_facts"]

_NOISE_S, _NOISE_SAMPLES = 0.06, 800
_REACH_S = 0.004
_MAD = 1.4826
"""Standard deviation per median absolute deviation, of a normal distribution."""


class LeadFacts(NamedTuple):
    """Of each lead of a recording.

    Attributes:
        low: float32 [leads], smallest sample, mV.
        high: float32 [leads], largest sample, mV.
        at_limits: int64 [leads], how many samples equal one of these.
        curvature: float32 [leads], mV: how far a sample is from the mean of those 4 ms before and after it, at most.
        noise: float32 [leads], mV: the standard deviation of what a mean over 0.06 s takes away, robust, so that QRS
            complexes, which take less than half of the time, do not count; 0 for recordings that are shorter.
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    at_limits: NDArray[np.int64]
    curvature: NDArray[np.float32]
    noise: NDArray[np.float32]


def lead_facts(rows: NDArray[np.float32], fs: float) -> LeadFacts | None:
    """What there is to know of each row.

    Args:
        rows: float32 [leads, n], mV, contiguous and not empty.
        fs: rate, Hz.

    Returns:
        None where a sample is NaN or infinite.
    """
    count = rows.shape[1]
    half = max(1, round(_NOISE_S * fs / 2))
    step = max(1, count // _NOISE_SAMPLES)  # every so many samples are enough for a median
    reach = curvature_reach(fs)
    if native.KERNELS is not None:
        found = native.KERNELS.lead_facts(rows, reach, half, step)
        if found is None:
            return None
        facts = LeadFacts(*found)
        return facts._replace(noise=facts.noise * np.float32(_MAD))
    limits = finite_range(rows)
    if limits is None:
        return None
    low, high = limits
    at_limits = np.count_nonzero((rows == low[:, None]) | (rows == high[:, None]), axis=1)
    deviation = np.zeros(len(rows), dtype=np.float32)
    if count > 2 * half + 1:
        rest = _less_the_mean(rows, half, step)
        rest -= row_medians(rest)[:, None]
        deviation = row_medians(np.abs(rest))
    largest = curvature(rows, reach).max(axis=1, initial=0.0)
    return LeadFacts(low, high, at_limits, largest, deviation * np.float32(_MAD))


def finite_range(rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Smallest and largest sample [leads] of each row [leads, n]; None where any is NaN or infinite."""
    if native.KERNELS is not None:
        found: tuple[NDArray[np.float32], NDArray[np.float32]] | None = native.KERNELS.range(rows)
        return found
    return (rows.min(axis=1), rows.max(axis=1)) if np.isfinite(rows).all() else None


def curvature_reach(fs: float) -> int:
    """4 ms in samples, at least one."""
    return max(1, round(_REACH_S * fs))


def curvature(rows: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """[leads, n - 2 reach]: how far each sample is from the mean of those `reach` before and after it."""
    found = rows[:, : -2 * reach] + rows[:, 2 * reach :]
    found *= np.float32(0.5)
    found -= rows[:, reach:-reach]
    return np.abs(found, out=found)


def _less_the_mean(rows: NDArray[np.float32], half: int, step: int) -> NDArray[np.float32]:
    """Each `step`-th sample from `half` on, less the mean of the `half` samples on either side and itself.

    The twin of csrc/signal/checks.h: the sum is that of the sums of `step` samples, and then of those left over.
    """
    width = 2 * half + 1
    count, groups = (rows.shape[1] - width) // step + 1, width // step

    def every(first: int, places: int) -> NDArray[np.float32]:
        return rows[:, first : first + (places - 1) * step + 1 : step]

    total = np.zeros((len(rows), count), dtype=np.float32)
    if groups:
        sums = every(0, count + groups - 1).copy()
        for at in range(1, step):
            sums += every(at, count + groups - 1)
        for group in range(groups):
            total += sums[:, group : group + count]
    for at in range(groups * step, width):
        total += every(at, count)
    return every(half, count) - total * np.float32(1.0 / width)
