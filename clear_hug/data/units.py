"""Units of voltage as files spell them, in millivolts."""

from __future__ import annotations

__all__ = ["MILLIVOLTS", "millivolts"]

MILLIVOLTS = {"mv": 1.0, "millivolt": 1.0, "millivolts": 1.0, "v": 1e3, "volt": 1e3, "volts": 1e3}
MILLIVOLTS |= dict.fromkeys(("nv", "nanovolt", "nanovolts"), 1e-6)
MILLIVOLTS |= dict.fromkeys(("uv", "µv", "μv", "microvolt", "microvolts"), 1e-3)
"""mV per unit, by the folded spelling of the unit in a file."""


def millivolts(unit: str) -> float:
    """How many mV one unit of voltage is: ``"uV"`` → 0.001.

    Raises:
        ValueError: no unit of voltage.
    """
    try:
        return MILLIVOLTS[unit.strip().casefold()]
    except KeyError:
        raise ValueError(f"{unit.strip()[:40]!r} is no unit of voltage; use mV, uV, nV or V") from None
