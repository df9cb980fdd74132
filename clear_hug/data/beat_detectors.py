"""Beat detectors under one call: ours, and those of other packages where they are installed."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.beats import detect_beats

__all__ = ["DETECTORS", "NamedDetector", "available_detectors"]

_Detect = Callable[[NDArray[np.float64], float, tuple[str, ...]], NDArray[np.int64]]


@dataclass(frozen=True)
class NamedDetector:
    """A detector: signal [n, leads] in mV, rate in Hz, standard lead names → R peaks as sample indices."""

    name: str
    detect: _Detect


def _one_lead(signal: NDArray[np.float64], leads: tuple[str, ...]) -> NDArray[np.float64]:
    """Lead II or else the first, gaps interpolated: what the single-lead detectors get."""
    row = np.array(signal[:, leads.index("II") if "II" in leads else 0])
    known = np.isfinite(row)
    if not known.all() and known.any():
        row = np.interp(np.arange(len(row)), np.flatnonzero(known), row[known])
    return row


def _xqrs(signal: NDArray[np.float64], fs: float, leads: tuple[str, ...]) -> NDArray[np.int64]:
    from wfdb.processing import XQRS

    found = XQRS(sig=_one_lead(signal, leads), fs=fs)
    found.detect(verbose=False)
    return np.asarray(found.qrs_inds, dtype=np.int64)


def _sleepecg(signal: NDArray[np.float64], fs: float, leads: tuple[str, ...]) -> NDArray[np.int64]:
    import sleepecg

    return np.asarray(sleepecg.detect_heartbeats(_one_lead(signal, leads), fs), dtype=np.int64)


def _neurokit(signal: NDArray[np.float64], fs: float, leads: tuple[str, ...]) -> NDArray[np.int64]:
    neurokit2 = importlib.import_module("neurokit2")  # an optional package without type hints
    cleaned = neurokit2.ecg_clean(_one_lead(signal, leads), sampling_rate=fs)
    return np.asarray(neurokit2.ecg_peaks(cleaned, sampling_rate=fs)[1]["ECG_R_Peaks"], dtype=np.int64)


def _quiet(detect: _Detect) -> _Detect:
    """The others print warnings, and raise on some signals; then they have found no beat."""

    def guarded(signal: NDArray[np.float64], fs: float, leads: tuple[str, ...]) -> NDArray[np.int64]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return detect(signal, fs, leads)
            except (ValueError, IndexError, ZeroDivisionError, KeyError):
                return np.zeros(0, dtype=np.int64)

    return guarded


DETECTORS: dict[str, tuple[str | None, _Detect]] = {
    "clear-hug": (None, detect_beats),
    "wfdb XQRS": ("wfdb", _quiet(_xqrs)),
    "sleepecg": ("sleepecg", _quiet(_sleepecg)),
    "neurokit2": ("neurokit2", _quiet(_neurokit)),
}
"""Name → the package it needs (None: this one), and the detector. All but ours look at one lead, II or the first."""


def available_detectors() -> tuple[list[NamedDetector], dict[str, str]]:
    """Those that can run here, and the reason for each other one."""
    ready, absent = [], {}
    for name, (package, detect) in DETECTORS.items():
        try:
            if package is not None:
                importlib.import_module(package)
        except ImportError as error:
            absent[name] = f"not run: {error} (pip install 'clear-hug[detectors]')"
        else:
            ready.append(NamedDetector(name, detect))
    return ready, absent
