"""A tiny 12-lead ECG made of bell curves, and WFDB files of it, for tests of the data layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import wfdb
from numpy.typing import NDArray

from clear_hug.data import Record
from clear_hug.leads import STANDARD_LEADS

# Amplitudes in mV of P, Q, R, S, T in leads I and II and in V1 … V6; the other limb leads follow from I and II.
_WAVES = {
    "I": (0.10, -0.05, 0.70, -0.10, 0.20),
    "II": (0.15, -0.08, 1.10, -0.15, 0.30),
    "V1": (0.05, 0.00, 0.20, -0.80, -0.05),
    "V2": (0.05, 0.00, 0.40, -1.20, 0.30),
    "V3": (0.05, 0.00, 0.80, -0.80, 0.35),
    "V4": (0.08, -0.05, 1.30, -0.40, 0.35),
    "V5": (0.08, -0.08, 1.20, -0.20, 0.30),
    "V6": (0.08, -0.08, 0.90, -0.10, 0.25),
}
_AT = np.array([-0.16, -0.025, 0.0, 0.028, 0.26])  # s from the R peak, at 60 bpm
_WIDTH = np.array([0.025, 0.008, 0.010, 0.010, 0.045])


def r_times(seconds: float, bpm: float, first: float = 0.4) -> NDArray[np.float64]:
    return np.arange(first, seconds - 0.1, 60.0 / bpm)


def twelve_leads(fs: float, times: NDArray[np.float64], seconds: float) -> NDArray[np.float64]:
    """[n, 12] in mV, R peaks at the given times; P and T waves move closer at fast rates."""
    t = np.arange(round(seconds * fs)) / fs
    rr = np.diff(times).min(initial=1.0)
    at = _AT * np.array([min(1.0, rr**0.5), 1.0, 1.0, 1.0, min(1.0, rr**0.5)])
    width = _WIDTH * np.array([min(1.0, rr), 1.0, 1.0, 1.0, min(1.0, rr)])
    bells = np.zeros((5, len(t)))
    for r in times:
        bells += np.exp(-0.5 * ((t - r - at[:, None]) / width[:, None]) ** 2)
    own = {lead: np.array(wave) @ bells for lead, wave in _WAVES.items()}
    one, two = own["I"], own["II"]
    own |= {"III": two - one, "aVR": -(one + two) / 2, "aVL": one - two / 2, "aVF": two - one / 2}
    return np.stack([own[lead] for lead in STANDARD_LEADS], axis=1)


def record(
    fs: float = 500.0, seconds: float = 10.0, bpm: float = 72.0, noise: float = 0.0, name: str = "made"
) -> Record:
    signal = twelve_leads(fs, r_times(seconds, bpm), seconds)
    signal += noise * np.random.default_rng(0).standard_normal(signal.shape)
    return Record(signal, fs, STANDARD_LEADS, name)


def write_record(
    folder: Path,
    name: str,
    signal: NDArray[np.float64],
    fs: float = 500.0,
    leads: tuple[str, ...] = STANDARD_LEADS,
    units: str = "mV",
    fmt: str = "16",
) -> Path:
    """A WFDB record of a signal [n, leads] that is given in `units`; its path without suffix."""
    folder.mkdir(parents=True, exist_ok=True)
    wfdb.wrsamp(
        name,
        fs=fs,
        units=[units] * len(leads),
        sig_name=list(leads),
        p_signal=signal,
        fmt=[fmt] * len(leads),
        write_dir=str(folder),
    )
    return folder / name


def edit_header(path: Path, old: str, new: str) -> None:
    """Replace text in the header of a record (path without suffix); it must be there."""
    header = path.with_name(path.name + ".hea")
    text = header.read_text()
    assert old in text, f"{old!r} is not in {text!r}"
    header.write_text(text.replace(old, new))
