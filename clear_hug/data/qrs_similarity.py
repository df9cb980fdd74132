"""Whether a possible beat looks like others nearby, in all leads together."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

__all__ = ["similarities"]

_HALF_S = 0.1
_LAG = 3  # samples by which two energy peaks of the same shape may be apart
_CHUNK = 32
_NEIGHBOURS = 10
_UNKNOWN = 0.9  # of a beat without any other to compare with


def similarities(
    shape: NDArray[np.float64],
    fs: float,
    place: NDArray[np.int64],
    likely: NDArray[np.bool_],
    weight: NDArray[np.float64],
    ranks: tuple[int, ...],
) -> NDArray[np.float64]:
    """Correlation of every candidate with the likely beats around it that resemble it most.

    Templates made by averaging would need every kind of beat to be known; the nearest of some ten beats before and
    after serve for ventricular beats too, as soon as there are several, while noise resembles nothing.

    Args:
        shape: float64 [leads, m], mV, band-passed to the QRS and its surroundings.
        fs: rate, Hz.
        place: int64 [candidates], increasing.
        likely: bool [candidates], those to compare with.
        weight: float64 [leads, candidates], how much each lead counts there.
        ranks: which correlations are wanted: 1 for that with the most similar beat, and so on; the least one there is,
            where there are fewer.

    Returns:
        float64 [candidates, ranks], 0 to 1.
    """
    half = int(_HALF_S * fs)
    index = np.clip(place[:, None] + np.arange(-half - _LAG, half + _LAG + 1), 0, shape.shape[1] - 1)
    near = shape[:, index]  # [leads, candidates, window and lags]
    others = np.flatnonzero(likely)
    out = np.full((len(place), len(ranks)), _UNKNOWN)
    if len(others) < 2:
        return out
    usual = np.median(np.abs(near[:, others]).max(axis=2), axis=1)  # [leads]
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
        found = np.maximum(np.take_along_axis(ordered, np.maximum(rank, 0), axis=1), 0.0)
        out[mine] = np.where(count[:, None] > 0, found, _UNKNOWN)
    return out


def _correlations(mine: NDArray[np.float64], theirs: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Best over the lags [mine, theirs] of the normalised product."""
    middle = mine[:, :, _LAG : _LAG + size].reshape(len(mine), -1)
    shifted = sliding_window_view(theirs, size, axis=2).transpose(0, 2, 1, 3)  # [theirs, lags, leads, size]
    lags = shifted.shape[1]
    flat = shifted.reshape(len(theirs) * lags, -1)
    product = middle @ flat.T  # [mine, theirs * lags]
    product /= np.maximum(np.linalg.norm(middle, axis=1)[:, None] * np.linalg.norm(flat, axis=1), 1e-12)
    return product.reshape(len(mine), len(theirs), lags).max(axis=2)
