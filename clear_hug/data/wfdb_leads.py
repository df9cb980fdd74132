"""Which signals of a WFDB header are ECG leads, and what turns their counts into mV."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.record import RecordError
from clear_hug.data.units import MILLIVOLTS
from clear_hug.data.wfdb_header import DEFAULT_GAIN, HeaderSignal
from clear_hug.leads import canonical_lead

__all__ = ["WFDBLeads", "described_leads", "ecg_leads"]

_LARGEST_STEP = 1e4
"""mV per count: ten volts, of which no recorder is made, but which a file of whole volts would stay below."""
LeadDescription: TypeAlias = tuple[str, str, float, bool, int]


@dataclass(frozen=True, eq=False)
class WFDBLeads:
    """The signals of a header that are leads, in its order; mV = (count - baseline) / gain * unit.

    Attributes:
        columns: int64 [leads], their places among all signals.
        names: standard lead names.
        baseline: float64 [leads].
        gain: float64 [leads], counts per unit of the header.
        unit: float64 [leads], mV per unit of the header.
        steps: mV per count, by lead name, where the header gives a gain.
        notes: remarks on signals that are no leads or have no gain.
    """

    columns: NDArray[np.int64]
    names: tuple[str, ...]
    baseline: NDArray[np.float64]
    gain: NDArray[np.float64]
    unit: NDArray[np.float64]
    steps: Mapping[str, float]
    notes: tuple[str, ...]


class _UnusableError(ValueError):
    """What is wrong, without the name of the record, so that it does not matter for the cache."""


def ecg_leads(signals: tuple[HeaderSignal, ...], name: str) -> WFDBLeads:
    """The leads among the signals of the record of that name.

    Raises:
        RecordError: no standard lead, one twice, an unknown unit, or a gain that is 0 or no number.
    """
    return described_leads(tuple((s.name, s.units, s.gain, s.gain_given, s.baseline) for s in signals), name)


def described_leads(signals: tuple[LeadDescription, ...], name: str) -> WFDBLeads:
    """The same from what a header says of each signal: name, units, gain, whether it is given, and baseline."""
    try:
        return _leads(signals)
    except _UnusableError as error:
        raise RecordError(f"record {name}: {error}") from error


@lru_cache(maxsize=256)  # the records of a data set are described in the same few ways
def _leads(signals: tuple[LeadDescription, ...]) -> WFDBLeads:
    columns: list[int] = []
    spelled: dict[str, str] = {}
    notes: list[str] = []
    for column, (name, units, gain, gain_given, _) in enumerate(signals):
        try:
            lead = canonical_lead(name)
        except ValueError:
            notes.append(f"signal {name!r} is no standard lead and was left out")
            continue
        if lead in spelled:
            raise _UnusableError(f"signals {spelled[lead]!r} and {name!r} both are lead {lead}; rename one")
        if units.casefold() not in MILLIVOLTS:
            raise _UnusableError(
                f"lead {lead} is in {units!r}, which is no unit of voltage; use mV, uV or V in the header"
            )
        if not math.isfinite(gain) or gain == 0:
            raise _UnusableError(
                f"lead {lead} has gain {gain:g}, so its voltage is unknown; write the gain (ADC units per mV) into the "
                "header"
            )
        step = MILLIVOLTS[units.casefold()] / abs(gain)
        if step > _LARGEST_STEP:
            raise _UnusableError(
                f"lead {lead} has gain {gain:g}, which makes each of its steps {step:.3g} mV; write the gain (ADC "
                "units per mV) into the header"
            )
        if not gain_given:
            notes.append(f"{lead} has no gain in the header, {DEFAULT_GAIN:g} per mV assumed")
        spelled[lead] = name
        columns.append(column)
    if not columns:
        found = ", ".join(repr(name) for name, *_ in signals[:12])
        raise _UnusableError(f"no signal is a standard lead (found {found}); rename them in the header")
    unit = np.array([MILLIVOLTS[signals[column][1].casefold()] for column in columns])
    gain_of = np.array([signals[column][2] for column in columns])
    steps = {
        lead: float(mv / abs(gain))
        for lead, column, mv, gain in zip(spelled, columns, unit, gain_of, strict=True)
        if signals[column][3]
    }
    baseline = np.array([signals[column][4] for column in columns], dtype=np.float64)
    return WFDBLeads(np.array(columns), tuple(spelled), baseline, gain_of, unit, steps, tuple(notes))
