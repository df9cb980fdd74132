"""The twelve standard leads: their names, their order, their groups, and the spellings found in files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["AUGMENTED", "LEAD_GROUPS", "LIMB", "PRECORDIAL", "STANDARD_LEADS", "canonical_lead", "canonical_leads"]

LIMB: tuple[str, ...] = ("I", "II", "III")
AUGMENTED: tuple[str, ...] = ("aVR", "aVL", "aVF")
PRECORDIAL: tuple[str, ...] = ("V1", "V2", "V3", "V4", "V5", "V6")

STANDARD_LEADS: tuple[str, ...] = LIMB + AUGMENTED + PRECORDIAL
"""The order of leads everywhere in this package: I II III aVR aVL aVF V1 … V6."""

LEAD_GROUPS: dict[str, tuple[str, ...]] = {"limb": LIMB, "augmented": AUGMENTED, "precordial": PRECORDIAL}
"""Groups of leads that look at the heart from one side, in the order the HUG head reads them."""

_FOLDED = {lead.upper(): lead for lead in STANDARD_LEADS}
_NUMBERED = {"LEAD1": "I", "LEAD2": "II", "LEAD3": "III"}
_PREFIX = re.compile(r"^(?:MDCECGLEAD|LEAD|ECG|EKG)")
_SEPARATORS = re.compile(r"[\s_\-.:]+")


def canonical_lead(name: str) -> str:
    """The standard name of a lead, from any of the spellings that recordings use.

    Letter case, surrounding or inner blanks, a leading "Lead" or "ECG", Arabic limb leads ("Lead 2") and the "M" of
    the modified leads of ambulatory recorders ("MLII", "MV1": limb electrodes on the torso) are understood.

    Args:
        name: a lead name as written in a file, such as ``"avr"``, ``"aVF "``, ``"Lead I"``, ``"MLII"`` or ``"v5"``.

    Returns:
        One of ``STANDARD_LEADS``.

    Raises:
        TypeError: ``name`` is not a string.
        ValueError: the name is none of the twelve; the message lists those known.
    """
    if not isinstance(name, str):
        raise TypeError(f"a lead name is a string, got {name!r} of type {type(name).__name__}")
    return _understood(name)


@lru_cache(maxsize=1024)  # the same twelve names come with every recording
def _understood(name: str) -> str:
    folded = _SEPARATORS.sub("", name).upper()
    folded = _NUMBERED.get(folded) or _PREFIX.sub("", folded)
    if folded.startswith("ML"):
        folded = folded[2:]
    elif folded.startswith("MV"):
        folded = folded[1:]
    if folded not in _FOLDED:
        raise ValueError(
            f"unknown lead name {name!r}; the known leads are {' '.join(STANDARD_LEADS)} (any letter case, with or "
            "without 'Lead', and MLII-like ambulatory names): rename it in the record's header or leave the lead out"
        )
    return _FOLDED[folded]


def canonical_leads(names: Iterable[str]) -> tuple[str, ...]:
    """Standard names of several leads, order kept.

    Args:
        names: lead names in any spelling.

    Returns:
        The standard names, one per input.

    Raises:
        TypeError: ``names`` is one string, or holds something that is not a string.
        ValueError: a name is unknown, or two names mean the same lead.
    """
    if isinstance(names, str):
        raise TypeError(f"several lead names are expected, got the single string {names!r}; write [{names!r}]")
    return _understood_together(tuple(names))


@lru_cache(maxsize=256)
def _understood_together(names: tuple[str, ...]) -> tuple[str, ...]:
    spelled: dict[str, str] = {}
    for name in names:
        lead = canonical_lead(name)
        if lead in spelled:
            raise ValueError(f"lead {lead} is named twice, as {spelled[lead]!r} and as {name!r}; keep one of them")
        spelled[lead] = name
    return tuple(spelled)
