"""LUDB: voltages from the counts, one task per column of diagnoses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synthetic_ecg as made
import wfdb
from dataset_files import class_counts

from clear_hug.data import SourceError, prepare, read_wfdb
from clear_hug.data.ludb import LUDB_TASKS, ludb_source, read_ludb
from clear_hug.leads import STANDARD_LEADS

HEADER = ",".join(("ID", "Sex", "Age", *LUDB_TASKS.values()))


def _write(root: Path, rows: dict[str, str]) -> Path:
    """Records 1, 2, 10 with LUDB's stretched gains, in µV counts; the table from the given lines."""
    signal = made.record(fs=500.0, seconds=4.0, bpm=60.0).signal
    counts = np.rint(signal * 1000).astype(int)
    (root / "data").mkdir(parents=True)
    for name in ("1", "2", "10"):
        wfdb.wrsamp(
            name, fs=500, units=["mV"] * 12, sig_name=[lead.lower() for lead in STANDARD_LEADS], d_signal=counts,
            fmt=["16"] * 12, adc_gain=list(np.ptp(counts, axis=0).astype(float)), baseline=[-3] * 12,
            write_dir=str(root / "data"),
        )  # fmt: skip
    (root / "ludb.csv").write_text("\n".join([HEADER, *(f"{name},F,50,{rest}" for name, rest in rows.items())]) + "\n")
    return root


ROWS = {
    "1": "Sinus rhythm,Electric axis of the heart: normal,,,"
    '"Left atrial hypertrophy\nLeft ventricular hypertrophy",,,,',
    "2": "Atrial fibrillation,Electric axis of the heart: vertical,,,,,Stemi: septal,,",
    "10": "Sinus rhythm,,,,,P-synchrony,Ischemia: septal,,",
}


def test_voltages_come_from_the_counts(tmp_path: Path) -> None:
    root = _write(tmp_path, ROWS)
    true = made.record(fs=500.0, seconds=4.0, bpm=60.0).signal
    np.testing.assert_allclose(np.ptp(read_wfdb(root / "data" / "1").signal, axis=0), 1.0, atol=1e-6)  # the trap
    signal = read_ludb(root / "data" / "1").signal
    np.testing.assert_allclose(signal, true, atol=6e-4)
    np.testing.assert_allclose(signal[:, 0] + signal[:, 2], signal[:, 1], atol=2e-3)


def test_columns_become_tasks(tmp_path: Path) -> None:
    source = ludb_source(_write(tmp_path, ROWS))
    assert source.names == ("1", "2", "10")
    assert {name: task.classes for name, task in source.tasks.items()} == {
        "rhythm": ("Atrial fibrillation", "Sinus rhythm"),
        "axis": ("normal", "vertical"),
        "hypertrophy": ("Left atrial hypertrophy", "Left ventricular hypertrophy"),
        "pacing": ("P-synchrony",),
        "ischemia": ("Ischemia: septal", "Stemi: septal"),
    }
    assert source.tasks["rhythm"].labels.tolist() == [[0, 1], [1, 0], [0, 1]]
    assert source.tasks["axis"].labelled.tolist() == [True, True, False]
    assert source.tasks["hypertrophy"].labels.tolist() == [[1, 1], [0, 0], [0, 0]]
    assert source.tasks["hypertrophy"].labelled.all()


def test_a_record_without_a_row(tmp_path: Path) -> None:
    source = ludb_source(_write(tmp_path, {"2": ROWS["2"]}))
    assert source.notes == (("no row in ludb.csv",), (), ("no row in ludb.csv",))
    assert source.tasks["ischemia"].labelled.tolist() == [False, True, False]


def test_tables_with_mistakes(tmp_path: Path) -> None:
    root = _write(tmp_path, {})
    with pytest.raises(SourceError, match="lists no records"):
        ludb_source(root)
    (root / "ludb.csv").write_text("ID,Sex\n1,F\n")
    with pytest.raises(SourceError, match="no column 'Rhythms'"):
        ludb_source(root)
    (root / "ludb.csv").unlink()
    with pytest.raises(SourceError, match="must be the folder of LUDB"):
        ludb_source(root)


def test_the_real_sample(shared_dir: Path, tmp_path: Path) -> None:
    root = shared_dir / "data" / "ludb"
    store = prepare(ludb_source(root), tmp_path / "out").store
    assert len(store) == 120
    assert store.flags == [""] * 120
    assert not any("I + III differs" in note for note in store.notes)
    assert store.tasks == list(LUDB_TASKS)
    assert class_counts(store, "rhythm") == {
        "Aberrant conduction": 1, "Atrial fibrillation": 7, "Atrial flutter, typical": 1, "Irregular sinus rhythm": 1,
        "Sinus arrhythmia": 5, "Sinus bradycardia": 18, "Sinus rhythm": 86, "Sinus tachycardia": 2,
        "Wandering atrial pacemaker": 2,
    }  # fmt: skip
    assert class_counts(store, "axis") == {
        "horizontal": 11, "left axis deviation": 45, "normal": 41, "right axis deviation": 2, "vertical": 16,
    }  # fmt: skip
    assert class_counts(store, "hypertrophy")["Left ventricular hypertrophy"] == 66
    signal = read_ludb(root / "data" / "1").signal
    np.testing.assert_array_equal(signal, wfdb.rdrecord(str(root / "data" / "1"), physical=False).d_signal / 1000)
