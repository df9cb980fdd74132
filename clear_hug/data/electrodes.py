"""Electrodes in the wrong place and leads with the wrong sign, from how the leads of one recording agree."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.lead_comparison import LeadComparison
from clear_hug.data.lead_select import FROM_I_AND_II
from clear_hug.dower import DOWER, INDEPENDENT_LEADS

__all__ = ["ElectrodeFindings", "check_electrodes", "einthoven_error"]

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
    compared: LeadComparison, leads: tuple[str, ...], opposite: float, nearly_flat: float
) -> ElectrodeFindings:
    """Compare the QRS complexes of the leads.

    I and V6 look at the same wall, and II at its neighbour, so they seldom run against each other unless electrodes are
    exchanged; a right-leg electrode on an arm makes the lead between the legs nearly flat (criteria as reviewed by
    Batchvarov, Malik & Camm, Europace 2007; 9:1081). What a precordial lead should look like follows from the others by
    Dower's lead field: the dipole that explains them best, seen from that lead.

    Args:
        compared: leads that can be used.
        leads: their names.
        opposite: correlation, positive, below whose negative two leads run against each other.
        nearly_flat: a limb lead is nearly flat below this share of the larger of the two others.

    Returns:
        What was found; nothing where the leads that it takes are not there.
    """
    flat = _nearly_flat(compared, nearly_flat)
    comparisons = _comparisons(leads)
    # All that is compared are weighed sums of leads, whose products follow from those of the leads.
    suspects = comparisons.below(compared.products, -opposite)
    if not suspects:
        return ElectrodeFindings(nearly_flat=flat)
    against: dict[str, list[str]] = {"limb": [], "precordial": [], "against V6": []}
    for _, kind, lead in suspects:
        against[kind].append(lead)
    # One lead with the wrong sign spoils what is expected of its neighbours: only the worst can be named.
    worst = against["precordial"][:1]
    exchanged = [] if flat or "V6" in worst else against["against V6"]
    inverted = (*sorted(against["limb"], key=leads.index), *worst)
    return ElectrodeFindings(tuple(sorted(exchanged, key=leads.index)), flat, inverted)


def einthoven_error(compared: LeadComparison) -> float:
    """By how much I + III differs from II, as a share of the larger; 0 without all three."""
    if not compared.limb:
        return 0.0
    second, first_and_third, error = compared.limb_sizes.tolist()
    size = max(second, first_and_third)
    return error / size if size > 0 else 0.0


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

    def below(self, products: NDArray[np.float64], limit: float) -> list[tuple[float, str, str]]:
        """Correlations below a negative limit, the lowest first, each with what it is about.

        Args:
            products: [leads, leads], of each lead with each. A sum that is zero throughout correlates with nothing.
            limit: see above.
        """
        one, other, both = (self.weights @ products.reshape(-1)).reshape(3, -1)  # [comparisons] each
        size = np.sqrt(np.maximum(one * other, 0.0))
        found = (both < limit * size) & (size > 0.0)
        return sorted((float(both[place] / size[place]), *self.which[place]) for place in found.nonzero()[0])


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


def _nearly_flat(compared: LeadComparison, share: float) -> tuple[str, ...]:
    if not compared.limb:
        return ()
    spans = compared.limb_spans.tolist()
    smallest = min(spans)
    return (_LIMB[spans.index(smallest)],) if smallest < share * max(spans) else ()
