"""Whether a possible beat looks like others nearby, in all leads together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.order_statistics import row_medians

__all__ = ["similarities"]

_HALF_S = 0.1
_LAG = 3  # samples by which two energy peaks of the same shape may be apart
_CHUNK = 32
_NEIGHBOURS = 10
_UNKNOWN = 0.9  # of a beat without any other to compare with


def similarities(
    shape: NDArray[np.float32],
    fs: float,
    place: NDArray[np.int64],
    likely: NDArray[np.bool_],
    weight: NDArray[np.float32],
    ranks: tuple[int, ...],
) -> NDArray[np.float32]:
    """Correlation of every candidate with the likely beats around it that resemble it most.

    Templates made by averaging would need every kind of beat to be known; the nearest of some ten beats before and
    after serve for ventricular beats too, as soon as there are several, while noise resembles nothing.

    Args:
        shape: float32 [leads, m], mV, band-passed to the QRS and its surroundings.
        fs: rate, Hz.
        place: int64 [candidates], increasing.
        likely: bool [candidates], those to compare with.
        weight: float32 [leads, candidates], how much each lead counts there.
        ranks: which correlations are wanted: 1 for that with the most similar beat, and so on; the least one there is,
            where there are fewer.

    Returns:
        float32 [candidates, ranks], 0 to 1.
    """
    half = int(_HALF_S * fs)
    index = place[:, None] + np.arange(-half - _LAG, half + _LAG + 1)
    near = shape.take(index, axis=1, mode="clip")  # [leads, candidates, window and lags]
    others = np.flatnonzero(likely)
    out = np.full((len(place), len(ranks)), _UNKNOWN, dtype=np.float32)
    if len(others) < 2:
        return out
    usual = row_medians(np.abs(near[:, others]).max(axis=2))  # [leads]
    near *= (np.sqrt(weight) / np.where(usual > 1e-9, usual, np.inf)[:, None])[:, :, None]
    near = near.transpose(1, 0, 2)  # [candidates, leads, window and lags]
    wanted = np.array(ranks) - 1
    for start in range(0, len(place), _CHUNK):
        mine = np.arange(start, min(start + _CHUNK, len(place)))
        first, last = np.searchsorted(others, (mine[0], mine[-1] + 1))
        theirs = others[max(0, first - _NEIGHBOURS) : last + _NEIGHBOURS]
        best = _correlations(near[mine], near[theirs], 2 * half + 1)  # [mine, theirs]
        best[mine[:, None] == theirs] = -1.0
        ordered = -np.sort(-best, axis=1)
        count = len(theirs) - likely[mine]  # a beat is not compared with itself
        rank = np.minimum(wanted, count[:, None] - 1)
        found = np.maximum(ordered[np.arange(len(mine))[:, None], np.maximum(rank, 0)], 0.0)
        out[mine] = np.where(count[:, None] > 0, found, _UNKNOWN)
    return out


def _correlations(mine: NDArray[np.float32], theirs: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Best over the lags [mine, theirs] of the normalised product."""
    middle = mine[:, :, _LAG : _LAG + size].reshape(len(mine), -1)
    theirs = np.ascontiguousarray(theirs)
    count, leads, width = theirs.shape
    lags = width - size + 1
    far, lead, near = theirs.strides
    shape, strides = (count, lags, leads, size), (far, near, lead, near)
    shifted = np.ndarray(shape, theirs.dtype, buffer=theirs, strides=strides)  # [theirs, lags, leads, size]
    flat = shifted.reshape(count * lags, leads * size)
    product = middle @ flat.T  # [mine, theirs * lags]
    product /= np.maximum(_lengths(middle)[:, None] * _lengths(flat), 1e-12)
    return np.asarray(product.reshape(len(mine), count, lags).max(axis=2))


def _lengths(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", vectors, vectors)))
