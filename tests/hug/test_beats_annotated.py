"""`detect_beats` against cardiologists' marks, beside the single-lead detector it started from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sleepecg
from beat_score import ludb, mitdb, score
from numpy.typing import NDArray

from clear_hug.data import detect_beats


def test_ludb(shared_dir: Path) -> None:
    """Measured on 120 records: no error in 1086 beats, mean offset 4.8 ms."""
    result = score(ludb(shared_dir / "data" / "ludb"), detect_beats)
    assert result.found + result.missed > 1000
    assert result.f1 >= 0.999, result
    assert result.offset <= 0.010, result


@pytest.mark.slow
def test_mit_bih(shared_dir: Path) -> None:
    """Measured on 8 records of 30 minutes: F1 0.9973 (sleepecg on lead II: 0.980), mean offset 4.5 ms."""
    result = score(mitdb(shared_dir / "data" / "mitdb"), detect_beats)
    assert result.found + result.missed > 15_000
    assert result.f1 >= 0.997, result
    assert result.offset <= 0.010, result


def test_a_spoiled_lead_ii_does_not_matter_as_it_does_to_one_lead(shared_dir: Path) -> None:
    rng = np.random.default_rng(0)

    def spoil(signal: NDArray[np.float64], leads: list[str]) -> NDArray[np.float64]:
        signal = signal.copy()
        signal[:, leads.index("ii")] += rng.standard_normal(len(signal))
        return signal

    folder = shared_dir / "data" / "ludb"
    ours = score(ludb(folder, every=3), lambda signal, fs, leads: detect_beats(spoil(signal, leads), fs, leads))
    single = score(
        ludb(folder, every=3),
        lambda signal, fs, leads: sleepecg.detect_heartbeats(spoil(signal, leads)[:, leads.index("ii")], fs),
    )
    assert ours.f1 >= 0.995, ours
    assert single.f1 < ours.f1 - 0.05, single


def test_muscle_noise_in_both_leads(shared_dir: Path) -> None:
    """Two noisy stretches: no error here, F1 0.987 and 0.982 by height, T-wave rule and search-back alone."""
    signals = dict(zip(("100", "105", "114", "119", "203"), mitdb(shared_dir / "data" / "mitdb"), strict=False))
    for name, start, stop in (("105", 620, 700), ("203", 520, 620)):
        signal, fs, leads, marks = signals[name]
        first, last = int(start * fs), int(stop * fs)
        part = signal[first:last], fs, leads, marks[(marks >= first) & (marks < last)] - first
        result = score(iter([part]), detect_beats)
        assert result.f1 >= 0.995, (name, result)
