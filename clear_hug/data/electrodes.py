"""Electrodes in the wrong place and leads with the wrong sign, from how the leads of one recording agree."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.fir import Fir, fir_filter
from clear_hug.data.lead_select import FROM_I_AND_II
from clear_hug.data.order_statistics import ranked
from clear_hug.dower import DOWER, INDEPENDENT_LEADS

__all__ = ["ElectrodeFindings", "check_electrodes", "limb_places"]

_BASELINE_S = 0.2
_OUTLIERS = 0.005
_LIMB = ("I", "II", "III")


class ElectrodeFindings(NamedTuple):
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
    rows: NDArray[np.float32], leads: tuple[str, ...], fs: float, opposite: float, nearly_flat: float
) -> ElectrodeFindings:
    """Compare the QRS complexes of the leads.

    I and V6 look at the same wall, and II at its neighbour, so they seldom run against each other unless electrodes are
    exchanged; a right-leg electrode on an arm makes the lead between the legs nearly flat (criteria as reviewed by
    Batchvarov, Malik & Camm, Europace 2007; 9:1081). What a precordial lead should look like follows from the others by
    Dower's lead field: the dipole that explains them best, seen from that lead.

    Args:
        rows: float32 [leads, n], mV, finite; only leads that can be used.
        leads: their names.
        fs: rate, Hz; some 100 are enough.
        opposite: correlation, positive, below whose negative two leads run against each other.
        nearly_flat: a limb lead is nearly flat below this share of the larger of the two others.

    Returns:
        What was found; nothing where the leads that it takes are not there.
    """
    comparisons = _comparisons(leads)
    qrs = _less_the_mean(max(1, round(_BASELINE_S * fs / 2)))(rows, ends="line") if len(rows) else rows  # [leads, m]
    flat = _nearly_flat(qrs, leads, nearly_flat)
    # All that is compared are weighed sums of leads, whose products follow from those of the leads.
    found = comparisons.correlations((qrs @ qrs.T).astype(np.float64)) if comparisons.which else []
    if not found or min(found) >= -opposite:
        return ElectrodeFindings(nearly_flat=flat)
    suspects = sorted(
        (value, *which) for value, which in zip(found, comparisons.which, strict=True) if value < -opposite
    )
    against: dict[str, list[str]] = {"limb": [], "precordial": [], "against V6": []}
    for _, kind, lead in suspects:
        against[kind].append(lead)
    # One lead with the wrong sign spoils what is expected of its neighbours: only the worst can be named.
    worst = against["precordial"][:1]
    exchanged = [] if flat or "V6" in worst else against["against V6"]
    inverted = (*sorted(against["limb"], key=leads.index), *worst)
    return ElectrodeFindings(tuple(sorted(exchanged, key=leads.index)), flat, inverted)


@lru_cache(maxsize=8)
def _less_the_mean(half: int) -> Fir:
    """QRS complexes stay, P, T and baseline shrink."""
    taps = np.full(2 * half + 1, -1.0 / (2 * half + 1))
    taps[half] += 1.0
    return fir_filter(taps)


@dataclass(frozen=True, eq=False)
class _Comparisons:
    """Pairs of weighed sums of leads that should not run against each other.

    Attributes:
        which: kind of the comparison ("limb", "precordial", "against V6"), and the lead that it is about.
        weights: float64 [3 comparisons, leads * leads], of the products of leads: what makes them the square of the one
            sum, the square of the other, and the product of both.
    """

    which: tuple[tuple[str, str], ...]
    weights: NDArray[np.float64]

    def correlations(self, products: NDArray[np.float64]) -> list[float]:
        """From the products [leads, leads] of each lead with each; 0 where a sum is zero throughout."""
        sums = (self.weights @ products.reshape(-1)).tolist()
        count = len(self.which)
        sizes = [
            math.sqrt(max(one * other, 0.0)) for one, other in zip(sums[:count], sums[count : 2 * count], strict=True)
        ]
        return [both / size if size > 0 else 0.0 for both, size in zip(sums[2 * count :], sizes, strict=True)]


@lru_cache(maxsize=256)
def _comparisons(leads: tuple[str, ...]) -> _Comparisons:
    """Those for which the leads are there."""
    place = {lead: index for index, lead in enumerate(leads)}
    pairs: dict[tuple[str, str], dict[str, float]] = {}
    if "I" in place and "II" in place:
        pairs |= {("limb", lead): {"I": a, "II": b} for lead, (a, b) in FROM_I_AND_II.items() if lead in place}
    if all(lead in place for lead in INDEPENDENT_LEADS):
        for row in range(2, len(DOWER)):  # each precordial lead against what the others make of it
            others = [index for index in range(len(DOWER)) if index != row]
            weights = (DOWER[row] @ np.linalg.pinv(DOWER[others])).tolist()
            expected = {INDEPENDENT_LEADS[index]: weight for index, weight in zip(others, weights, strict=True)}
            pairs["precordial", INDEPENDENT_LEADS[row]] = expected
    if "V6" in place:
        pairs |= {("against V6", lead): {"V6": 1.0} for lead in ("I", "II") if lead in place}
    one, other = np.zeros((2, len(pairs), len(leads)))
    for row, ((_, lead), expected) in enumerate(pairs.items()):
        one[row, place[lead]] = 1.0
        for name, weight in expected.items():
            other[row, place[name]] = weight
    each = (
        (a[:, :, None] * b[:, None]).reshape(len(pairs), len(leads) ** 2)
        for a, b in ((one, one), (other, other), (one, other))
    )
    return _Comparisons(tuple(pairs), np.concatenate(list(each)))


def _nearly_flat(qrs: NDArray[np.float32], leads: tuple[str, ...], share: float) -> tuple[str, ...]:
    places = limb_places(leads)
    if places is None:
        return ()
    limb = qrs[places]
    left_out = int(_OUTLIERS * (limb.shape[1] - 1))  # at either end
    low, high = ranked(limb, (left_out, limb.shape[1] - 1 - left_out))
    spans = high - low
    smallest = int(spans.argmin())
    return (_LIMB[smallest],) if spans[smallest] < share * spans.max() else ()


@lru_cache(maxsize=256)
def limb_places(leads: tuple[str, ...]) -> list[int] | slice | None:
    """Where I, II and III are among the leads, a slice where that will do; None without all of them."""
    if any(lead not in leads for lead in _LIMB):
        return None
    places = [leads.index(lead) for lead in _LIMB]
    neighbours = places == [*range(places[0], places[0] + len(_LIMB))]
    return slice(places[0], places[0] + len(_LIMB)) if neighbours else places
