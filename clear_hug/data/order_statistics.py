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


def running_median(rows: NDArray[np.floating], size: int, every: int = 1) -> NDArray[np.floating]:
    """Median [leads, n] of the `size` samples around each; beyond the ends the outermost sample goes on.

    Args:
        rows: [leads, n].
        size: of an even number of samples, one more before than after, the upper median is taken.
        every: so many neighbours share the median around the middle one of them.
    """
    leads, count = rows.shape
    places = -(-count // every)
    first = every // 2 - size // 2
    index = np.arange(first, first + (places - 1) * every + size)
    padded = rows[:, np.minimum(np.maximum(index, 0), count - 1)]
    far, near = padded.strides
    windows = np.ndarray((leads, places, size), rows.dtype, buffer=padded, strides=(far, every * near, near))
    median = np.sort(windows, axis=2)[:, :, size // 2]
    return median if every == 1 else np.repeat(median, every, axis=1)[:, :count]
