"""Measure a clean ECG as a reader would: intervals and levels of one beat, from the signal."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clear_hug.leads import STANDARD_LEADS
from clear_hug.simulate import SimulatedECG, simulate_ecg, simulate_physiology

COLUMN = {lead: column for column, lead in enumerate(STANDARD_LEADS)}
FS = 1000


def clean(*codes: str, seed: int, heart_rate: float | None = None, seconds: float = 10.0) -> SimulatedECG:
    """A record without noise at 1000 Hz, where a sample is a millisecond."""
    return simulate_ecg(codes, seed=seed, fs=FS, seconds=seconds, noise=None, heart_rate=heart_rate)


def without_repolarisation(ecg: SimulatedECG, seed: int) -> SimulatedECG:
    """The same patient and beats without ST and T, so that QRS ends visibly."""
    quiet = replace(ecg.parameters.repolarisation, t_magnitude_mv=0.0, strain=0.0)
    infarcts = tuple(replace(infarct, st_elevation_mv=0.0) for infarct in ecg.parameters.infarcts)
    patient = replace(ecg.parameters, repolarisation=quiet, infarcts=infarcts)
    return simulate_physiology(patient, seed=seed, fs=FS, seconds=len(ecg.signal) / FS, noise=None)


@dataclass(frozen=True)
class BeatView:
    """One beat of a clean record at 1000 Hz; levels are relative to the level at QRS onset."""

    signal: NDArray[np.float64]
    r: int
    onset: int
    offset: int
    j_point: int
    r_before: int

    @property
    def qrs_ms(self) -> int:
        """Length of the QRS complex as seen."""
        return self.offset - self.onset

    def level(self, lead: str) -> NDArray[np.float64]:
        """The whole record in one lead, from the level at QRS onset."""
        column = self.signal[:, COLUMN[lead]]
        return np.asarray(column - column[self.onset])

    def qrs(self, lead: str) -> NDArray[np.float64]:
        """The QRS complex in one lead."""
        return self.level(lead)[self.onset : self.j_point]

    def st(self, lead: str) -> float:
        """Level 60 ms after the J point."""
        return float(self.level(lead)[self.j_point + 60])

    def t(self, lead: str) -> float:
        """Value of largest magnitude between 120 and 300 ms after the J point."""
        part = self.level(lead)[self.j_point + 120 : self.j_point + 300]
        return float(part[np.abs(part).argmax()])

    def pr_ms(self) -> int | None:
        """From the start of P, in whichever lead shows it first, to QRS onset, at about 60 bpm; None without a P."""
        # By 480 ms the T wave of the beat before is over.
        before = self.signal[self.r_before + 480 : self.onset]
        active = np.flatnonzero(np.abs(before - before[0]).max(axis=1) > 0.012)
        return None if active.size == 0 else int(len(before) - active[0])


def beat_of(ecg: SimulatedECG, *, premature: bool = False) -> BeatView:
    """The first suitable beat; QRS is where the spatial velocity around the R peak stays high."""
    assert ecg.fs == FS
    k = next(
        k
        for k in range(1, len(ecg.r_index))
        if ecg.premature[k] == premature
        and 700 < ecg.r_index[k] < len(ecg.signal) - 700
        and (premature or not ecg.premature[k - 1])
    )
    r = int(ecg.r_index[k])
    velocity = np.linalg.norm(np.gradient(ecg.signal, axis=0), axis=1)
    quiet = velocity < 0.05 * velocity[r - 150 : r + 150].max()
    onset, offset = r, r
    while not quiet[onset - 18 : onset].all():
        onset -= 1
    while not quiet[offset : offset + 18].all():
        offset += 1
    wide = ecg.parameters.ventricles.premature_qrs_s if premature else ecg.parameters.conduction.qrs_duration_s
    return BeatView(ecg.signal, r, onset, offset, onset + round(wide * FS), int(ecg.r_index[k - 1]))
