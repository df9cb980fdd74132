"""Any sampling rate to any other, band-limited, and sample indices along with it."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

import numpy as np
import scipy  # loads its parts when they are used
from numpy.typing import NDArray

from clear_hug.data import native
from clear_hug.data.fir import Fir, fir_filter

__all__ = ["map_indices", "rational_ratio", "resample"]

_MAX_DENOMINATOR = 2000
_HALF_ZERO_CROSSINGS = 10
_KAISER_BETA = 5.0


@lru_cache(maxsize=64)
def rational_ratio(fs: float, target: float) -> Fraction:
    """`target / fs` as a fraction of whole numbers up to 2000, e.g. 100/257 or, for 499.5 Hz, 200/999.

    Args:
        fs: rate of the signal, Hz.
        target: wanted rate, Hz.

    Raises:
        ValueError: a rate is no positive number, or the two differ more than 500-fold.
    """
    if not (math.isfinite(fs) and math.isfinite(target) and fs > 0 and target > 0):
        raise ValueError(f"cannot resample from {fs} Hz to {target} Hz: both rates must be positive numbers")
    if not 1 / 500 <= target / fs <= 500:
        raise ValueError(f"cannot resample from {fs} Hz to {target} Hz: the rates differ more than 500-fold")
    return (Fraction(target).limit_denominator(10**6) / Fraction(fs).limit_denominator(10**6)).limit_denominator(
        _MAX_DENOMINATOR
    )


def resample(signal: NDArray[np.floating], fs: float, target: float) -> NDArray[np.floating]:
    """Resample with a zero-phase Kaiser-windowed low-pass (β = 5, cut-off at the lower Nyquist rate).

    The signal goes on along the straight line between its first and its last sample, so that an offset or a drift rings
    at neither end.

    Args:
        signal: float [n, leads], finite, any unit.
        fs: its rate, Hz.
        target: wanted rate, Hz.

    Returns:
        float32 [ceil(n * target / fs), leads]; the input itself where the rates agree.

    Raises:
        ValueError: impossible rates, see `rational_ratio`.
    """
    ratio = rational_ratio(fs, target)
    if ratio == 1:
        return signal
    rows = np.ascontiguousarray(signal.T, dtype=np.float32)  # [leads, n]
    return _low_pass(ratio.numerator, ratio.denominator)(rows, ends="line").T  # [m, leads]


def map_indices(index: NDArray[np.integer], fs: float, target: float, length: int) -> NDArray[np.int64]:
    """Sample indices at `fs` → the nearest samples of what `resample` gives for `target`, inside [0, length)."""
    ratio = float(rational_ratio(fs, target))
    if native.KERNELS is not None:
        found: NDArray[np.int64] = native.KERNELS.map_indices(index, ratio, max(length - 1, 0))
        return found
    mapped = np.floor(index * ratio + 0.5).astype(np.int64)
    return np.minimum(np.maximum(mapped, 0), max(length - 1, 0))


@lru_cache(maxsize=8)
def _low_pass(up: int, down: int) -> Fir:
    slowest = max(up, down)
    taps = 2 * _HALF_ZERO_CROSSINGS * slowest + 1
    return fir_filter(
        scipy.signal.firwin(taps, 1.0 / slowest, window=("kaiser", _KAISER_BETA)), up, down, unit_gain=True
    )
