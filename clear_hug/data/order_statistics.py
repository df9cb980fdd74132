"""Medians and quantiles along rows, and the extremes of stretches of them: exact, whichever way they are found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy  # loads its parts when they are used
from numpy.typing import NDArray

from clear_hug.data import native

__all__ = ["cell_count", "cell_extremes", "ranked", "row_medians", "row_quantiles", "running_maximum", "running_median"]


def ranked(rows: NDArray[np.float32], ranks: Sequence[int]) -> NDArray[np.float32]:
    """Values [ranks, leads] that would stand at these places, from 0, if each row [leads, n] were sorted; no -0."""
    if native.KERNELS is not None:
        found: NDArray[np.float32] = native.KERNELS.ranked(rows, np.array(ranks, dtype=np.int64))
        return found
    return np.sort(rows, axis=1)[:, list(ranks)].T + np.float32(0.0)


def row_medians(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Median [leads] of each row [leads, n]; n at least 1."""
    count = rows.shape[1]
    if count % 2:
        return ranked(rows, (count // 2,))[0]
    low, high = ranked(rows, (count // 2 - 1, count // 2))
    return (low + high) * np.float32(0.5)


def row_quantiles(rows: NDArray[np.float32], shares: tuple[float, ...]) -> list[NDArray[np.float32]]:
    """Quantiles [leads] of rows [leads, n] at shares from 0 to 1, linear between samples; n at least 1."""
    last = rows.shape[1] - 1
    places = [share * last for share in shares]
    ranks = [rank for place in places for rank in (int(place), min(int(place) + 1, last))]
    found = ranked(rows, ranks)
    return [
        low + (high - low) * np.float32(place - int(place))
        for place, low, high in zip(places, found[::2], found[1::2], strict=True)
    ]


def running_median(rows: NDArray[np.float32], size: int, every: int = 1) -> NDArray[np.float32]:
    """Median [leads, n] of the `size` samples around each; beyond the ends the outermost sample goes on.

    Args:
        rows: [leads, n].
        size: of an even number of samples, one more before than after, the upper median is taken.
        every: so many neighbours share the median around the middle one of them.
    """
    if native.KERNELS is not None:
        found: NDArray[np.float32] = native.KERNELS.running_median(rows, size, every)
        return found
    leads, count = rows.shape
    places = -(-count // every)
    first = every // 2 - size // 2
    index = np.arange(first, first + (places - 1) * every + size)
    padded = rows[:, np.minimum(np.maximum(index, 0), count - 1)]
    far, near = padded.strides
    windows = np.ndarray((leads, places, size), rows.dtype, buffer=padded, strides=(far, every * near, near))
    median = np.sort(windows, axis=2)[:, :, size // 2] + np.float32(0.0)
    return median if every == 1 else np.repeat(median, every, axis=1)[:, :count]


def running_maximum(rows: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Largest [leads, n] of the `size` samples, an odd number, around each."""
    if native.KERNELS is not None:
        found: NDArray[np.float32] = native.KERNELS.running_maximum(rows, size)
        return found
    return np.asarray(scipy.ndimage.maximum_filter1d(rows, size, axis=1, mode="nearest"))


def cell_count(count: int, cell: int) -> int:
    """Cells of `cell` samples in so many samples; more than half a cell that is left over is one too."""
    return -(-max(count - cell // 2, 1) // cell)


def cell_extremes(rows: NDArray[np.float32], cell: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Largest and smallest value [leads, cells] in each of `cell_count` cells; what is left goes to the last one."""
    cells = cell_count(rows.shape[1], cell)
    if native.KERNELS is not None:
        found: tuple[NDArray[np.float32], NDArray[np.float32]] = native.KERNELS.cell_extremes(rows, cell, cells)
        return found
    starts = np.arange(cells) * cell
    return np.maximum.reduceat(rows, starts, axis=1), np.minimum.reduceat(rows, starts, axis=1)
