"""MIMIC-IV-ECG: its table, patients on one side, leads by name, gaps."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import synthetic_ecg as made
from dataset_files import MIMIC_LEADS, write_mimic

from clear_hug.data import PrepareSettings, SourceError, prepare, prepare_record
from clear_hug.data.mimic import mimic_source

STUDIES = [(10000032, 40689238), (10000032, 44458630), (10000117, 45090959), (10000032, 49036311)]


def test_records_come_in_the_tables_order_under_their_study(tmp_path: Path) -> None:
    source = mimic_source(write_mimic(tmp_path, STUDIES))
    assert source.names == ("40689238", "44458630", "45090959", "49036311")
    assert source.paths[0] == "files/p1000/p10000032/s40689238/40689238"
    assert source.tasks == {}


def test_all_records_of_a_patient_are_on_one_side(tmp_path: Path) -> None:
    rows = ["subject_id,study_id,file_name,ecg_time,path"]
    rows += [f"{10000000 + n % 500},{n},{n},,files/p1000/{n}" for n in range(2000)]
    (tmp_path / "record_list.csv").write_text("\n".join(rows) + "\n")
    split = mimic_source(tmp_path).split
    of_patient = split.reshape(4, 500)
    assert (of_patient == of_patient[0]).all()
    assert set(split.tolist()) == {0, 1}
    assert 0.06 < split.mean() < 0.14


def test_a_large_table_is_not_held_whole(tmp_path: Path) -> None:
    rows = ["subject_id,study_id,file_name,ecg_time,path"]
    rows += [f"{n // 5},{n},{n},2180-07-23 08:44:00,files/p1000/p10000032/s{n}/{n}" for n in range(40_000, 80_000)]
    (tmp_path / "record_list.csv").write_text("\n".join(rows) + "\n")
    mimic_source(tmp_path).identity()
    tracemalloc.start()
    source = mimic_source(tmp_path)
    source.identity()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak / len(source.names) < 330  # bytes; 475 where every row is kept as it was read


def test_leads_are_told_apart_by_name(tmp_path: Path) -> None:
    """In the files aVF comes before aVL; in the store, the standard order holds."""
    assert MIMIC_LEADS.index("aVF") < MIMIC_LEADS.index("aVL")
    store = prepare(mimic_source(write_mimic(tmp_path / "in", STUDIES[:1])), tmp_path / "out").store
    expected = prepare_record(made.record(fs=500.0, seconds=4.0, bpm=60.0), PrepareSettings())
    np.testing.assert_allclose(store.tokens[0], expected.tokens, atol=2e-3)
    assert store.flags == [""]


def test_missing_samples_are_bridged(tmp_path: Path) -> None:
    signal = made.record(fs=500.0, seconds=6.0, bpm=60.0).signal
    signal[1000:1006, 1] = np.nan
    made.write_record(tmp_path / "files", "1", signal)
    (tmp_path / "record_list.csv").write_text("subject_id,study_id,path\n1,1,files/1\n")
    store = prepare(mimic_source(tmp_path), tmp_path / "out").store
    assert store.flags == [""]
    assert "II short gaps interpolated" in store.notes[0]
    assert np.isfinite(store.tokens).all()


def test_records_that_are_not_there(tmp_path: Path) -> None:
    root = write_mimic(tmp_path / "in", STUDIES)
    next(root.rglob("45090959.hea")).unlink()
    store = prepare(mimic_source(root), tmp_path / "all").store
    assert [bool(flag) for flag in store.flags] == [False, False, True, False]
    assert mimic_source(root, present_only=True).names == ("40689238", "44458630", "49036311")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "must be the folder of MIMIC-IV-ECG"),
        ("subject_id,study_id\n1,2\n", "no column 'path'"),
        ("subject_id,study_id,path\n", "lists no record"),
        ("subject_id,study_id,path\n1,2\n", "row 2: fewer fields"),
        ("subject_id,study_id,path\n1,2,../../2\n", "row 2: '../../2' is no path inside"),
        ("subject_id,study_id,path\n1,2,a/2\n1,2,b/2\n", "'2' occurs twice"),
        ("subject_id,study_id,path\nx,2,a/2\n", "row 2: subject_id 'x' is no number"),
    ],
)
def test_tables_with_mistakes(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "record_list.csv").write_text(text)
    with pytest.raises(SourceError, match=message):
        mimic_source(tmp_path)


def test_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "record_list.csv").write_text("subject_id,study_id,path\n1,2,a/2\n")
    with pytest.raises(SourceError, match="no record that is there"):
        mimic_source(tmp_path, present_only=True)
