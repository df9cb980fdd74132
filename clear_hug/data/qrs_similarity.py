"""Whether a possible beat looks like others nearby, in all leads together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clear_hug.data import native
from clear_hug.data.beat_windows import beat_pieces
from clear_hug.data.qrs_bands import Bands

__all__ = ["most_similar", "similarities", "similarity_numbers"]

_HALF_S = 0.1
_LAG = 3  # samples by which two energy peaks of the same shape may be apart
_CHUNK = 32
_NEIGHBOURS = 10
_UNKNOWN = 0.9  # of a beat without any other to compare with


def similarities(
    bands: Bands,
    shape: tuple[float, float],
    place: NDArray[np.int64],
    likely: NDArray[np.bool_],
    weight: NDArray[np.float32],
    ranks: tuple[int, ...],
) -> NDArray[np.float32]:
    """Correlation of every candidate with the likely beats around it that resemble it most.

    Templates made by averaging would need every kind of beat to be known; the nearest of some ten beats before and
    after serve for ventricular beats too, as soon as there are several, while noise resembles nothing.

    Args:
        bands: of the recording.
        shape: pass band of the QRS and its surroundings, Hz.
        place: int64 [candidates], increasing.
        likely: bool [candidates], those to compare with.
        weight: float32 [leads, candidates], how much each lead counts there.
        ranks: which correlations are wanted: 1 for that with the most similar beat, and so on; the least one there is,
            where there are fewer.

    Returns:
        float32 [candidates, ranks], 0 to 1.
    """
    half = int(_HALF_S * bands.fs)
    others = np.flatnonzero(likely)
    out = np.full((len(place), len(ranks)), _UNKNOWN, dtype=np.float32)
    if len(others) < 2:
        return out
    near = bands.around(shape, place - (half + _LAG), 2 * (half + _LAG) + 1)  # [leads, candidates, window and lags]
    pieces = beat_pieces(near, others, weight)  # [candidates, leads, window and lags]
    if len(place) <= _CHUNK:
        return most_similar(pieces, pieces[others], others, 2 * half + 1, ranks)
    for start in range(0, len(place), _CHUNK):
        stop = min(start + _CHUNK, len(place))
        first, last = np.searchsorted(others, (start, stop))
        theirs = others[max(0, first - _NEIGHBOURS) : last + _NEIGHBOURS]
        out[start:stop] = most_similar(pieces[start:stop], pieces[theirs], theirs - start, 2 * half + 1, ranks)
    return out


def similarity_numbers(fs: float, ranks: tuple[int, ...]) -> dict[str, Any]:
    """What `similarities` goes by at that rate in Hz, for the compiled search."""
    return {
        "half": int(_HALF_S * fs),
        "lag": _LAG,
        "chunk": _CHUNK,
        "neighbours": _NEIGHBOURS,
        "ranks": [rank - 1 for rank in ranks],
        "unknown": _UNKNOWN,
    }


def most_similar(
    mine: NDArray[np.float32],
    theirs: NDArray[np.float32],
    own: NDArray[np.int64],
    size: int,
    ranks: tuple[int, ...],
) -> NDArray[np.float32]:
    """Correlations, at the best lag, of the middle of each piece with the others that resemble it most.

    Args:
        mine: float32 [pieces, leads, width], contiguous.
        theirs: float32 [others, leads, width], contiguous.
        own: int64 [others], which of the pieces each of them is; outside [0, pieces) where it is none.
        size: samples that are compared; there are width - size + 1 lags, at most eight.
        ranks: see `similarities`.

    Returns:
        float32 [pieces, ranks], 0 to 1; 0.9 where there is no other.
    """
    wanted = np.array(ranks) - 1
    if native.KERNELS is not None:
        found: NDArray[np.float32] = native.KERNELS.correlate(mine, theirs, own, size, wanted, _UNKNOWN)
        return found
    lags = mine.shape[2] - size + 1
    shifted = np.lib.stride_tricks.sliding_window_view(theirs, size, axis=2)  # [theirs, leads, lags, size]
    shifted = shifted.transpose(3, 1, 0, 2).reshape(size, mine.shape[1], -1)  # [size, leads, theirs * lags]
    middle = mine[:, :, lags // 2 : lags // 2 + size].transpose(2, 1, 0).copy()  # [size, leads, mine]
    product = _products(middle[..., None], shifted[:, :, None])  # [mine, theirs * lags]
    scale = np.sqrt(_products(middle, middle))[:, None] * np.sqrt(_products(shifted, shifted))
    product /= np.maximum(scale, np.float32(1e-12))
    best = np.maximum(product.reshape(len(mine), len(theirs), lags).max(axis=2), np.float32(0.0))  # [mine, theirs]
    itself = np.arange(len(mine))[:, None] == own
    best[itself] = -1.0
    ordered = -np.sort(-best, axis=1)  # the piece itself comes last
    count = len(theirs) - itself.sum(axis=1, keepdims=True)
    rank = np.maximum(np.minimum(wanted, count - 1), 0)
    return np.where(count > 0, np.take_along_axis(ordered, rank, axis=1), np.float32(_UNKNOWN))


def _products(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of arrays [size, leads, ...]: over leads the sums of the sums over samples, each in order."""
    over_samples = one[0] * other[0]
    over_samples += np.float32(0.0)  # no -0, as a sum that begins with 0
    product = np.empty_like(over_samples)
    for mine, theirs in zip(one[1:], other[1:], strict=True):
        over_samples += np.multiply(mine, theirs, out=product)
    total = over_samples[0] + np.float32(0.0)
    for of_lead in over_samples[1:]:
        total += of_lead
    return total
