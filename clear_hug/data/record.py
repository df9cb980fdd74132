"""One ECG recording in memory: its samples in mV, its rate, its leads by name, and where it came from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from clear_hug.leads import STANDARD_LEADS, canonical_leads

__all__ = ["Record", "RecordError"]


class RecordError(ValueError):
    """A recording that cannot be read or used; the message is one plain sentence naming the value and the remedy."""


@dataclass(frozen=True, eq=False)
class Record:
    """One ECG recording. Its unit is always mV; readers convert.

    Attributes:
        signal: float [n, leads], mV; NaN where the recording has no sample.
        fs: sampling rate, Hz.
        leads: standard lead names (`clear_hug.leads.STANDARD_LEADS`), one per column, in the file's order.
        name: record name, without folder or suffix.
        source: the file it was read from ("" for a recording made in memory).
        comments: free text of the file's header, one line each (age, sex, diagnosis codes …).
        notes: remarks of the reader that do not prevent use, e.g. a signal that is no ECG lead and was left out.
        resolution: mV per step of the stored integers, by lead name; leads of which the file does not say are absent.
        file_format: what kind of file it was, e.g. "WFDB" or "DICOM" ("" for a recording made in memory).

    Raises:
        RecordError: the signal is no [n, leads] array of at least one sample, the rate is no positive number, or the
            leads are unknown, repeated or not as many as the columns.
    """

    signal: NDArray[np.floating]
    fs: float
    leads: tuple[str, ...]
    name: str
    source: str = ""
    comments: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    resolution: Mapping[str, float] = field(default_factory=dict)
    file_format: str = ""

    def __post_init__(self) -> None:
        signal = np.asarray(self.signal)
        if signal.ndim != 2 or signal.dtype.kind != "f":
            raise RecordError(
                f"record {self.name}: the signal has shape {signal.shape} and dtype {signal.dtype}, "
                "but must be floating point [samples, leads] in mV"
            )
        if signal.size == 0:
            raise RecordError(f"record {self.name}: the signal is empty (shape {signal.shape})")
        if not (math.isfinite(self.fs) and self.fs > 0):
            raise RecordError(f"record {self.name}: the sampling rate is {self.fs} Hz, but must be a positive number")
        try:
            leads = self.leads if self.leads == STANDARD_LEADS else canonical_leads(self.leads)
        except (TypeError, ValueError) as error:
            raise RecordError(f"record {self.name}: {error}") from error
        if len(leads) != signal.shape[1]:
            raise RecordError(
                f"record {self.name}: {len(leads)} lead names ({' '.join(leads)}) for {signal.shape[1]} columns"
            )
        object.__setattr__(self, "signal", signal)
        object.__setattr__(self, "leads", leads)

    @property
    def unit(self) -> str:
        """Unit of the signal: "mV"."""
        return "mV"

    @property
    def gain(self) -> dict[str, float]:
        """Stored steps per mV, by lead name, where the file says."""
        return {lead: 1.0 / step for lead, step in self.resolution.items() if step > 0}

    @property
    def duration(self) -> float:
        """Length of the recording in seconds."""
        return len(self.signal) / self.fs
