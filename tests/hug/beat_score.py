"""Scoring of a beat detector against annotated recordings, the way detectors are compared in the literature."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import wfdb
from numpy.typing import NDArray

TOLERANCE_S = 0.075
BEAT_SYMBOLS = set("NLRBAaJSVrFejnE/fQ?")  # every WFDB annotation that stands for a heartbeat


@dataclass(frozen=True)
class Score:
    """Counts over all recordings, and the mean absolute distance of the beats found from their marks, s."""

    found: int
    missed: int
    wrong: int
    offset: float

    @property
    def f1(self) -> float:
        return 2 * self.found / (2 * self.found + self.missed + self.wrong)


Annotated = tuple[NDArray[np.float64], float, list[str], NDArray[np.int64]]


def ludb(folder: Path, every: int = 1) -> Iterator[Annotated]:
    """Signals in mV (the headers' gains are wrong), and the QRS marks of lead II, of every so many-th recording."""
    for header in sorted(folder.glob("data/*.hea"))[::every]:
        path = str(header.with_suffix(""))
        record = wfdb.rdrecord(path, physical=False)
        marks = wfdb.rdann(path, "ii")
        yield record.d_signal / 1000.0, record.fs, record.sig_name, marks.sample[np.array(marks.symbol) == "N"]


def mitdb(folder: Path) -> Iterator[Annotated]:
    for header in sorted(folder.glob("*.hea")):
        path = str(header.with_suffix(""))
        record, marks = wfdb.rdrecord(path), wfdb.rdann(path, "atr")
        beats = np.array([symbol in BEAT_SYMBOLS for symbol in marks.symbol])
        yield record.p_signal, record.fs, record.sig_name, marks.sample[beats]


def score(
    recordings: Iterator[Annotated], detect: Callable[[NDArray[np.float64], float, list[str]], NDArray[np.int64]]
) -> Score:
    """One-to-one matching within 75 ms, between the first and the last mark of each recording."""
    found = missed = wrong = 0
    offsets: list[float] = []
    for signal, fs, leads, marks in recordings:
        reach = TOLERANCE_S * fs
        beats = detect(signal, fs, leads)
        beats = beats[(beats >= marks[0] - reach) & (beats <= marks[-1] + reach)]
        free = np.ones(len(beats), dtype=bool)
        for mark in marks:
            first, last = np.searchsorted(beats, (mark - reach, mark + reach + 1))
            near = [index for index in range(first, last) if free[index] and abs(beats[index] - mark) <= reach]
            if not near:
                missed += 1
                continue
            closest = min(near, key=lambda index: abs(beats[index] - mark))
            free[closest] = False
            offsets.append(abs(beats[closest] - mark) / fs)
            found += 1
        wrong += int(free.sum())
    return Score(found, missed, wrong, float(np.mean(offsets)))
