"""What tables and arrays do not say about themselves: rate, leads, unit. It comes from a side file or from the user."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clear_hug.data.record import RecordError
from clear_hug.data.units import millivolts

__all__ = ["SignalFacts", "side_facts"]

_MAX_SIDE_BYTES = 1 << 16
_REMEDY = 'a side file {side} such as {{"fs": 500, "leads": ["I", "II"], "units": "uV"}}'


@dataclass(frozen=True)
class SignalFacts:
    """Facts for files that lack them (CSV, NPY, NPZ); what a file says of itself comes first.

    Attributes:
        fs: rate, Hz.
        leads: names of the columns, in order.
        units: unit of the numbers: mV, uV, nV or V.
        gain: stored numbers per unit, for integers from a converter.

    Raises:
        ValueError: a rate or gain that is no positive number, a unit that is none of voltage, or no names at all.
    """

    fs: float | None = None
    leads: tuple[str, ...] | None = None
    units: str | None = None
    gain: float | None = None

    def __post_init__(self) -> None:
        for name in ("fs", "gain"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value}, but must be a positive number")
        if self.units is not None:
            millivolts(self.units)
        if self.leads is not None and not self.leads:
            raise ValueError("the list of leads is empty; name at least one")

    def over(self, other: SignalFacts) -> SignalFacts:
        """These facts, and the other's where these are silent."""
        return SignalFacts(
            self.fs if self.fs is not None else other.fs,
            self.leads if self.leads is not None else other.leads,
            self.units if self.units is not None else other.units,
            self.gain if self.gain is not None else other.gain,
        )

    def known_fs(self, path: Path) -> float:
        """The rate, Hz.

        Raises:
            RecordError: nobody says.
        """
        if self.fs is None:
            raise RecordError(
                f"record {path.stem}: nothing says the sampling rate of {path.name}; give --file-fs, a time column, or "
                + _REMEDY.format(side=path.with_suffix(".json").name)
            )
        return self.fs

    def known_leads(self, path: Path, columns: int) -> tuple[str, ...]:
        """Names of the columns.

        Raises:
            RecordError: nobody says, or there are not as many names as columns.
        """
        if self.leads is None:
            raise RecordError(
                f"record {path.stem}: nothing names the {columns} columns of {path.name}; give --file-leads, or "
                + _REMEDY.format(side=path.with_suffix(".json").name)
            )
        if len(self.leads) != columns:
            raise RecordError(
                f"record {path.stem}: {len(self.leads)} lead names ({' '.join(self.leads[:16])}) for the {columns} "
                f"columns of {path.name}"
            )
        return self.leads

    def millivolts(self) -> float:
        """How many mV one stored number is; mV where nobody says."""
        return millivolts(self.units or "mV") / (self.gain or 1.0)


def side_facts(path: Path) -> SignalFacts:
    """Facts from the JSON file of the same name beside a recording, if there is one.

    Raises:
        RecordError: it is no JSON object with fs, leads, units, gain, or a value is impossible.
    """
    side = path.with_suffix(".json")
    if side == path or not side.is_file():
        return SignalFacts()
    try:
        with side.open("rb") as stream:
            content = stream.read(_MAX_SIDE_BYTES + 1)
        if len(content) > _MAX_SIDE_BYTES:
            raise ValueError(f"it has more than {_MAX_SIDE_BYTES} bytes")
        return _from_json(json.loads(content))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise RecordError(
            f"record {path.stem}: the side file {side} cannot be used ({error}); write "
            '{"fs": 500, "leads": ["I", "II"], "units": "uV", "gain": 1}, each optional'
        ) from error


def _from_json(data: Any) -> SignalFacts:
    if not isinstance(data, Mapping):
        raise ValueError("it is no JSON object")
    leads = data.get("leads")
    if leads is not None and not (isinstance(leads, list) and all(isinstance(name, str) for name in leads)):
        raise ValueError("leads must be a list of names")
    numbers = {name: data[name] for name in ("fs", "gain") if data.get(name) is not None}
    units = data.get("units")
    if units is not None and not isinstance(units, str):
        raise ValueError("units must be a text")
    return SignalFacts(
        fs=float(numbers["fs"]) if "fs" in numbers else None,
        leads=tuple(leads) if leads is not None else None,
        units=units,
        gain=float(numbers["gain"]) if "gain" in numbers else None,
    )
