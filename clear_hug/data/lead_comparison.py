"""How the leads of one recording agree, in numbers that the checks of the electrodes go by."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clear_hug.data import native
from clear_hug.data.fir import Fir, fir_filter
from clear_hug.data.order_statistics import ranked

__all__ = ["LeadComparison", "compare_leads"]

_BASELINE_S = 0.2
_OUTLIERS = 0.005
_LIMB = ("I", "II", "III")
_SUMS, _DOUBLE_SUMS = 16, 8  # csrc/signal/compare.h adds every so many samples


class LeadComparison(NamedTuple):
    """Of some leads; the QRS complexes are what a mean over 0.2 s takes away.

    Attributes:
        products: float64 [leads, leads], mV², sums over samples of the products of their QRS complexes.
        limb_spans: float32 [3], mV, of I, II, III: peak-to-peak of the QRS complexes but for outliers.
        limb_sizes: float64 [3], of II, of I + III, and of their difference: the root of the sum of squares about the
            mean, mV.
        limb: whether I, II and III are there; without them, the two above are empty.
    """

    products: NDArray[np.float64]
    limb_spans: NDArray[np.float32]
    limb_sizes: NDArray[np.float64]
    limb: bool


def compare_leads(rows: NDArray[np.float32], leads: tuple[str, ...], fs: float) -> LeadComparison:
    """Compare leads.

    Args:
        rows: float32 [leads, n], mV, finite, contiguous.
        leads: their names.
        fs: rate, Hz; some 100 are enough.
    """
    limb = _limb_places(leads)
    left_out = int(_OUTLIERS * (rows.shape[1] - 1))  # at either end
    qrs_filter = _less_the_mean(max(1, round(_BASELINE_S * fs / 2)))
    if not len(rows):
        return LeadComparison(np.zeros((0, 0)), np.zeros(0, np.float32), np.zeros(0), False)
    if native.KERNELS is not None:
        found = native.KERNELS.compare_leads(rows, qrs_filter.taps, limb, left_out)
        return LeadComparison(found[0], found[1], found[2], len(limb) > 0)
    qrs = qrs_filter(rows, ends="line")
    products = _products(qrs)
    if not len(limb):
        return LeadComparison(products, np.zeros(0, np.float32), np.zeros(0), False)
    low, high = ranked(qrs[limb], (left_out, rows.shape[1] - 1 - left_out))
    one, two, three = rows[limb].astype(np.float64)
    outer = one + three
    return LeadComparison(products, high - low, _sizes(np.stack((two, outer, outer - two))), True)


def _products(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """[leads, leads], each sum in a certain order."""
    pieces = _in_pieces(rows, _SUMS)  # [pieces, leads, sums]
    sums = np.zeros((len(rows), *pieces.shape[1:]), dtype=np.float32)  # [leads, leads, sums]
    product = np.empty_like(sums)
    for piece in pieces:
        sums += np.multiply(piece[:, None], piece, out=product)
    total = np.zeros(sums.shape[:2])
    for at in range(_SUMS):
        total += sums[..., at]
    return total


def _sizes(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Root of the sum of squares about the mean of each row, each sum in a certain order."""
    sums = np.zeros((2, len(rows), _DOUBLE_SUMS))
    for piece in _in_pieces(np.stack((rows, rows * rows)).reshape(2 * len(rows), -1), _DOUBLE_SUMS):
        sums += piece.reshape(sums.shape)
    total = np.zeros(sums.shape[:2])
    for at in range(_DOUBLE_SUMS):
        total += sums[..., at]
    of_rows, of_squares = total
    return np.asarray(np.sqrt(np.maximum(of_squares - of_rows * of_rows / rows.shape[1], 0.0)))


def _in_pieces(rows: NDArray[np.floating], size: int) -> NDArray[np.floating]:
    """[pieces, leads, size] of rows [leads, n], zeros beyond their ends."""
    padded = np.zeros((len(rows), -(-rows.shape[1] // size) * size), dtype=rows.dtype)
    padded[:, : rows.shape[1]] = rows
    return np.ascontiguousarray(padded.reshape(len(rows), -1, size).transpose(1, 0, 2))


@lru_cache(maxsize=8)
def _less_the_mean(half: int) -> Fir:
    """QRS complexes stay, P, T and baseline shrink."""
    taps = np.full(2 * half + 1, -1.0 / (2 * half + 1))
    taps[half] += 1.0
    return fir_filter(taps)


@lru_cache(maxsize=256)
def _limb_places(leads: tuple[str, ...]) -> NDArray[np.int64]:
    """Where I, II and III are among the leads; nothing without all of them."""
    there = all(lead in leads for lead in _LIMB)
    return np.array([leads.index(lead) for lead in _LIMB] if there else [], dtype=np.int64)
