"""Electrodes in the wrong place and leads with the wrong sign, from how the leads of one recording agree."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from clear_hug.data.lead_select import FROM_I_AND_II
from clear_hug.data.order_statistics import row_quantiles
from clear_hug.dower import DOWER, INDEPENDENT_LEADS

__all__ = ["ElectrodeFindings", "check_electrodes"]

_COARSE_HZ = 100.0
_BASELINE_S = 0.2
_LIMB = ("I", "II", "III")


@dataclass(frozen=True)
class ElectrodeFindings:
    """Names of leads.

    Attributes:
        exchanged: I or II where they run against V6: limb electrodes are exchanged.
        nearly_flat: the one of I, II, III that is nearly flat beside the others: an arm's electrode is on the right leg
            (or the right leg's on an arm).
        inverted: leads with the wrong sign: against Einthoven's and Goldberger's equations, or against what the other
            leads make of them.
    """

    exchanged: tuple[str, ...] = ()
    nearly_flat: tuple[str, ...] = ()
    inverted: tuple[str, ...] = ()


def check_electrodes(
    rows: NDArray[np.floating], leads: tuple[str, ...], fs: float, opposite: float, nearly_flat: float
) -> ElectrodeFindings:
    """Compare the QRS complexes of the leads.

    I and V6 look at the same wall, and II at its neighbour, so they seldom run against each other unless electrodes are
    exchanged; a right-leg electrode on an arm makes the lead between the legs nearly flat (criteria as reviewed by
    Batchvarov, Malik & Camm, Europace 2007; 9:1081). What a precordial lead should look like follows from the others by
    Dower's lead field: the dipole that explains them best, seen from that lead.

    Args:
        rows: float64 [leads, n], mV, finite; only leads that can be used.
        leads: their names.
        fs: rate, Hz.
        opposite: correlation, positive, below whose negative two leads run against each other.
        nearly_flat: a limb lead is nearly flat below this share of the larger of the two others.

    Returns:
        What was found; nothing where the leads that it takes are not there.
    """
    qrs = _qrs_band(rows, fs)  # [leads, m]
    # All that is compared are weighed sums of leads, whose products follow from those of the leads.
    products = (qrs @ qrs.T).astype(np.float64)  # [leads, leads]
    place = {lead: index for index, lead in enumerate(leads)}
    precordial = _inverted_precordial(products, place, opposite)
    flat = _nearly_flat(qrs, place, nearly_flat)
    exchanged: list[str] = []
    if not flat and "V6" in place and "V6" not in precordial:
        exchanged = [
            lead for lead in ("I", "II") if lead in place and _against(products, place, lead, "V6") < -opposite
        ]
    return ElectrodeFindings(tuple(exchanged), flat, (*_inverted_limb(products, place, opposite), *precordial))


def _qrs_band(rows: NDArray[np.floating], fs: float) -> NDArray[np.floating]:
    """About 100 Hz by means of neighbours, less the mean over 0.2 s: QRS complexes stay, P, T and baseline shrink."""
    every = max(1, round(fs / _COARSE_HZ))
    length = rows.shape[1] // every
    coarse = rows[:, : length * every].reshape(len(rows), length, every) @ np.full(every, 1.0 / every, dtype=rows.dtype)
    if length == 0:
        return coarse
    width = max(3, int(_BASELINE_S * fs / every) | 1)
    qrs = coarse - scipy.ndimage.uniform_filter1d(coarse, width, axis=1, mode="nearest")
    return np.asarray(qrs - qrs.mean(axis=1, keepdims=True))


def _correlation(product: float, one: float, other: float) -> float:
    """From the product of two signals and that of each with itself."""
    size = math.sqrt(max(one * other, 0.0))
    return product / size if size > 0 else 0.0


def _against(products: NDArray[np.float64], place: dict[str, int], one: str, other: str) -> float:
    first, second = place[one], place[other]
    return _correlation(float(products[first, second]), float(products[first, first]), float(products[second, second]))


def _inverted_precordial(products: NDArray[np.float64], place: dict[str, int], opposite: float) -> list[str]:
    if any(lead not in place for lead in INDEPENDENT_LEADS):
        return []
    index = np.array([place[lead] for lead in INDEPENDENT_LEADS])
    eight = products[index[:, None], index]  # [8, 8]
    weights = _from_the_others()
    expected = weights @ eight  # [6, 8], of what each precordial lead should be, with the eight leads
    sizes = np.einsum("ij,ij->i", expected, weights).tolist()
    own, with_own = np.diagonal(eight)[2:].tolist(), np.diagonal(expected, 2).tolist()
    found = [
        (_correlation(*three), lead) for lead, *three in zip(INDEPENDENT_LEADS[2:], with_own, own, sizes, strict=True)
    ]
    # One lead with the wrong sign spoils what is expected of its neighbours: only the worst can be named.
    worst, lead = min(found)
    return [lead] if worst < -opposite else []


@lru_cache(maxsize=1)
def _from_the_others() -> NDArray[np.floating]:
    """[6, 8]: weights of the eight independent leads in what each of V1 … V6 should be; 0 for itself."""
    weights = np.zeros((len(DOWER) - 2, len(DOWER)))
    for row in range(2, len(DOWER)):
        others = [index for index in range(len(DOWER)) if index != row]
        weights[row - 2, others] = DOWER[row] @ np.linalg.pinv(DOWER[others])
    return weights


def _inverted_limb(products: NDArray[np.float64], place: dict[str, int], opposite: float) -> list[str]:
    if not {"I", "II"} <= place.keys():
        return []
    one, two = place["I"], place["II"]
    of_one, of_two, of_both = (float(products[pair]) for pair in ((one, one), (two, two), (one, two)))
    inverted = []
    for lead, (a, b) in FROM_I_AND_II.items():
        if lead in place:
            row = products[place[lead]]
            expected = a * a * of_one + b * b * of_two + 2 * a * b * of_both
            product = float(a * row[one] + b * row[two])
            if _correlation(product, float(row[place[lead]]), expected) < -opposite:
                inverted.append(lead)
    return inverted


def _nearly_flat(qrs: NDArray[np.floating], place: dict[str, int], share: float) -> tuple[str, ...]:
    if any(lead not in place for lead in _LIMB) or qrs.shape[1] == 0:
        return ()
    low, high = row_quantiles(qrs[[place[lead] for lead in _LIMB]], (0.005, 0.995))
    spans = high - low
    smallest = int(np.argmin(spans))
    return (_LIMB[smallest],) if spans[smallest] < share * spans.max() else ()
