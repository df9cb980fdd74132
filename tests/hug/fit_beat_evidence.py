"""Fits the weights of `clear_hug.data.beat_evidence` and checks them on records left out: not a test, a program.

    PYTHONPATH=. python tests/hug/fit_beat_evidence.py --data ../shared/data

Every record is used whole or in cuts of 10 s, with all leads or with few, clean or with bursts of made-up muscle noise,
electrode movement and loose electrodes. The check fits on all other records (the whole LUDB counts as one) and applies
the weights to the clean, whole record.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.signal
import synthetic_ecg as made
from beat_score import Annotated, ludb, mitdb
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from clear_hug.data.beat_candidates import search_beats
from clear_hug.data.beat_evidence import looks, rhythm
from clear_hug.data.beat_settings import BeatSettings
from clear_hug.data.qrs_peaks import Candidates
from clear_hug.data.resample import map_indices, resample
from clear_hug.data.spikes import remove_spikes

SETTINGS = BeatSettings()
NEAR_S = 0.1  # a candidate this close to a mark is that beat


@dataclass
class Table:
    """Candidates of one signal, which of them are beats, and which count (those inside the annotated span)."""

    group: str
    weight: float
    whole: bool
    candidates: Candidates
    looks: NDArray[np.float64]
    beat: NDArray[np.bool_]
    counts: NDArray[np.bool_]
    marks: int


def noisy(signal: NDArray[np.float64], fs: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """One burst of 1 to 5 s in some of the leads."""
    out = signal.copy()
    length = int(rng.uniform(1.0, 5.0) * fs)
    start = int(rng.integers(0, max(1, len(out) - length)))
    burst = out[start : start + length]
    leads = rng.permutation(out.shape[1])[: int(rng.integers(1, out.shape[1] + 1))]
    size = np.median(np.ptp(signal, axis=0))
    low, high, scale = ((8.0, 50.0, 0.3), (1.0, 8.0, 0.8), (0.5, 20.0, 0.5))[int(rng.integers(3))]
    sos = scipy.signal.butter(2, (low, min(high, 0.45 * fs)), "bandpass", fs=fs, output="sos")
    noise = scipy.signal.sosfiltfilt(sos, rng.standard_normal((len(burst), len(leads))), axis=0)
    noise *= rng.uniform(0.2, 1.0) * scale * size / max(float(noise.std()), 1e-9)
    burst[:, leads] += noise * scipy.signal.windows.tukey(len(burst), 0.3)[:, None]
    if rng.random() < 0.2:
        burst[len(burst) // 3 :, leads[0]] += 3.0 * size * (rng.random() - 0.5)
    return out


def tables(group: str, recording: Annotated, weight: float, whole: bool) -> Iterator[Table]:
    signal, fs, _, marks = recording
    rows = remove_spikes(np.ascontiguousarray(signal.T, dtype=np.float32), fs, SETTINGS.spike_mv)
    found = search_beats(np.ascontiguousarray(resample(rows.T, fs, SETTINGS.analysis_hz).T), SETTINGS)
    if found is None or len(marks) < 3:
        return
    at = map_indices(found.candidates.place, SETTINGS.analysis_hz, fs, len(signal))
    beat = np.zeros(len(at), dtype=bool)
    nearest = np.abs(at[:, None] - marks).argmin(axis=0) if len(at) * len(marks) < 1e8 else _nearest(at, marks)
    beat[nearest[np.abs(at[nearest] - marks) <= NEAR_S * fs]] = True
    counts = (at >= marks[0] - 0.075 * fs) & (at <= marks[-1] + 0.075 * fs)
    features = looks(found.candidates, found.similar)
    yield Table(group, weight, whole, found.candidates, features, beat, counts, len(marks))


def _nearest(at: NDArray[np.int64], marks: NDArray[np.int64]) -> NDArray[np.int64]:
    after = np.clip(np.searchsorted(at, marks), 1, len(at) - 1)
    return after - (marks - at[after - 1] < at[after] - marks)


def cut(recording: Annotated, start_s: float, seconds: float = 10.0) -> Annotated:
    signal, fs, leads, marks = recording
    first, last = int(start_s * fs), int((start_s + seconds) * fs)
    return signal[first:last], fs, leads, marks[(marks >= first) & (marks < last)] - first


def all_tables(data: Path) -> Iterator[Table]:
    rng = np.random.default_rng(0)
    for number, recording in enumerate(mitdb(data / "mitdb")):
        group = f"mitdb {number}"
        yield from tables(group, recording, 1.0, True)
        for start in range(0, 1790, 15):
            part = cut(recording, start)
            yield from tables(group, part, 1.0, False)
            yield from tables(group, (noisy(part[0], part[1], rng), *part[1:]), 1.0, False)
    for recording in ludb(data / "ludb"):
        signal, fs, leads, marks = recording
        yield from tables("ludb", recording, 3.0, True)
        for _ in range(6):
            few = rng.permutation(12)[: int(rng.choice((1, 2, 3, 8, 12)))]
            spoiled = noisy(signal[:, few], fs, rng) if rng.random() < 0.7 else signal[:, few]
            yield from tables("ludb", (spoiled, fs, leads, marks), 1.0, False)
    for bpm in (25, 40, 60, 90, 120, 150, 180, 220, 260, 300):
        for seconds in (5.0, 10.0, 30.0):
            times = made.r_times(seconds, bpm)
            signal = made.twelve_leads(500.0, times, seconds)
            marks = np.round(times * 500).astype(np.int64)
            few = rng.permutation(12)[: int(rng.choice((1, 2, 12)))]
            for one in (signal, noisy(signal[:, few], 500.0, rng)):
                yield from tables("made", (one, 500.0, [], marks), 1.0, False)


def _regression(features: list[NDArray[np.float64]], chosen: list[Table]) -> NDArray[np.float64]:
    x = np.concatenate([own[table.counts] for own, table in zip(features, chosen, strict=True)])
    y = np.concatenate([table.beat[table.counts] for table in chosen])
    weight = np.concatenate([np.full(table.counts.sum(), table.weight) for table in chosen])
    spread = x.std(axis=0)
    model = LogisticRegression(C=1.0, max_iter=500).fit(x / spread, y, weight)
    return np.r_[model.coef_[0] / spread, model.intercept_]


def fit(chosen: list[Table]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    alone = _regression([table.looks for table in chosen], chosen)
    return alone, _regression([with_rhythm(table, alone) for table in chosen], chosen)


def with_rhythm(table: Table, alone: NDArray[np.float64]) -> NDArray[np.float64]:
    sure = table.looks @ alone[:-1] + alone[-1] > 0
    return np.column_stack((table.looks, rhythm(table.candidates.place, sure)))


def errors(chosen: list[Table], alone: NDArray[np.float64], both: NDArray[np.float64]) -> tuple[int, int, int]:
    """Beats, missed and wrong ones."""
    marks = missed = wrong = 0
    for table in chosen:
        taken = with_rhythm(table, alone) @ both[:-1] + both[-1] > 0
        marks += table.marks
        missed += table.marks - int((taken & table.beat).sum())
        wrong += int((taken & ~table.beat & table.counts).sum())
    return marks, missed, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with mitdb and ludb")
    everything = list(all_tables(parser.parse_args().data))
    for group in dict.fromkeys(table.group for table in everything if table.whole):
        weights = fit([table for table in everything if table.group != group])
        own = [table for table in everything if table.group == group]
        print(group, "left out: beats, missed, wrong; whole", errors([t for t in own if t.whole], *weights), end="; ")
        print("in cuts, with noise", errors([t for t in own if not t.whole], *weights))
    alone, both = fit(everything)
    print("fitted on all:", errors([t for t in everything if t.whole], alone, both))
    print("in cuts, with noise:", errors([t for t in everything if not t.whole], alone, both))
    print("looks =", tuple(float(value) for value in np.round(alone, 2)))
    print("both =", tuple(float(value) for value in np.round(both, 2)))


if __name__ == "__main__":
    main()
