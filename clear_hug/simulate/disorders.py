"""The disorders that the simulator makes: short codes, full names, and which of them exclude each other."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["DISORDERS", "DISORDER_NAMES", "RHYTHMS", "parse_disorders"]

DISORDER_NAMES: dict[str, str] = {
    "SR": "sinus rhythm",
    "AF": "atrial fibrillation",
    "LBBB": "left bundle branch block",
    "RBBB": "right bundle branch block",
    "1AVB": "first-degree AV block",
    "LVH": "left ventricular hypertrophy",
    "AMI": "anterior myocardial infarction",
    "IMI": "inferior myocardial infarction",
    "PVC": "premature ventricular contractions",
    "STACH": "sinus tachycardia",
    "SBRAD": "sinus bradycardia",
}
"""Full name of each disorder by its short code (the codes of PTB-XL where it has one)."""

DISORDERS: tuple[str, ...] = tuple(DISORDER_NAMES)
"""Short codes of the disorders, in the column order of ``labels.csv``."""

RHYTHMS: tuple[str, ...] = ("SR", "AF", "STACH", "SBRAD")
"""Rhythms: a record has exactly one of them (an asystole has none)."""

_ALIASES: dict[str, str] = {
    "tachycardia": "STACH",
    "bradycardia": "SBRAD",
    "anterior mi": "AMI",
    "inferior mi": "IMI",
    "first degree av block": "1AVB",
    "pvcs": "PVC",
    "normal": "SR",
}
_CODE_OF: dict[str, str] = {
    **{code.lower(): code for code in DISORDERS},
    **{name.lower(): code for code, name in DISORDER_NAMES.items()},
    **_ALIASES,
}
_EXCLUSIVE: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset(RHYTHMS), "a record has one rhythm"),
    (frozenset({"LBBB", "RBBB"}), "both bundle branches blocked is a complete heart block"),
    (frozenset({"AF", "1AVB"}), "without P waves there is no PR interval"),
)


def parse_disorders(disorders: Iterable[str]) -> frozenset[str]:
    """Codes of the named disorders.

    Args:
        disorders: codes (``"AF"``) or full names (``"atrial fibrillation"``) in any letter case; one string is one
            disorder.

    Returns:
        The set of codes, without an implied rhythm.

    Raises:
        ValueError: a disorder is unknown (the message lists those known), or two of them exclude each other.
    """
    named = [disorders] if isinstance(disorders, str) else list(disorders)
    codes: set[str] = set()
    for name in named:
        code = _CODE_OF.get(name.strip().lower()) if isinstance(name, str) else None
        if code is None:
            known = ", ".join(f"{code} ({full})" for code, full in DISORDER_NAMES.items())
            raise ValueError(f"unknown disorder {name!r}; the simulator knows {known}")
        codes.add(code)
    for group, reason in _EXCLUSIVE:
        clash = sorted(codes & group)
        if len(clash) > 1:
            raise ValueError(f"{' and '.join(clash)} exclude each other: {reason}; name one of them")
    return frozenset(codes)
