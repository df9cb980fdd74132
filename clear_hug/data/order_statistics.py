"""Medians and quantiles along rows by sorting: with NumPy's vectorised sort several times faster than selection."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["row_medians", "row_quantiles", "running_median"]


def row_medians(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    """Median [...] along the last axis [..., n]; n at least 1."""
    ordered = np.sort(rows, axis=-1)
    count = rows.shape[-1]
    middle = ordered[..., count // 2]
    if count % 2:
        return np.asarray(middle)
    return np.asarray((middle + ordered[..., count // 2 - 1]) / 2)


def row_quantiles(rows: NDArray[np.floating], shares: tuple[float, ...]) -> list[NDArray[np.floating]]:
    """Quantiles [leads] of rows [leads, n] at shares from 0 to 1, linear between samples; n at least 1."""
    ordered = np.sort(rows, axis=1)
    found = []
    for share in shares:
        place = share * (rows.shape[1] - 1)
        below = int(place)
        low, high = ordered[:, below], ordered[:, min(below + 1, rows.shape[1] - 1)]
        found.append(low + (high - low) * (place - below))
    return found


def running_median(rows: NDArray[np.floating], size: int) -> NDArray[np.floating]:
    """Median [leads, n] of the `size` samples around each; beyond the ends the outermost sample goes on.

    Of an even number of samples, one more before than after, the upper median.
    """
    leads, count = rows.shape
    index = np.arange(-(size // 2), count + (size - 1) // 2)
    padded = rows[:, np.minimum(np.maximum(index, 0), count - 1)]
    far, near = padded.strides
    windows = np.ndarray((leads, count, size), rows.dtype, buffer=padded, strides=(far, near, near))  # overlapping
    return np.asarray(np.sort(windows, axis=2)[:, :, size // 2])
