"""CODE-15 %: HDF5 and WFDB, labels by exam, patients on one side."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import synthetic_ecg as made
from dataset_files import class_counts, write_challenge, write_code15

from clear_hug.data import RecordError, SourceError, prepare
from clear_hug.data.code15 import CODE15_CLASSES, code15_source
from clear_hug.data.code15_hdf5 import list_exams, read_code15_hdf5

EXAMS = [(1111, 7, ("SB",)), (2222, 8, ()), (33, 7, ("AF", "RBBB")), (44, 9, ("ST",)), (55, 9, ())]


def test_labels_go_by_exam(tmp_path: Path) -> None:
    source = code15_source(write_code15(tmp_path, EXAMS))
    assert source.names == ("1111", "2222", "33", "44", "55")
    assert source.paths[2] == "exams_part1.hdf5/33"
    task = source.tasks["code15"]
    assert task.classes == CODE15_CLASSES == ("1dAVb", "RBBB", "LBBB", "SB", "ST", "AF")
    named = [{task.classes[column] for column in np.flatnonzero(row)} for row in task.labels]
    assert named == [{"SB"}, set(), {"AF", "RBBB"}, {"ST"}, set()]
    assert task.labelled.all()
    assert source.split[0] == source.split[2]
    assert source.split[3] == source.split[4]


def test_the_padding_around_a_tracing_is_cut_off(tmp_path: Path) -> None:
    root = write_code15(tmp_path, EXAMS)
    record = read_code15_hdf5(root / "exams_part1.hdf5" / "44")
    assert (record.fs, record.name, record.signal.shape) == (400.0, "44", (2800, 12))
    np.testing.assert_allclose(record.signal, made.record(fs=400.0, seconds=7.0, bpm=70.0).signal + 0.01, atol=1e-6)


def test_exams_become_tokens_and_bad_ones_are_flagged(tmp_path: Path) -> None:
    root = write_code15(tmp_path / "in", EXAMS)
    with h5py.File(root / "exams_part1.hdf5", "a") as stream:
        stream["tracings"][1] = 0.0
    store = prepare(code15_source(root), tmp_path / "out").store
    assert [bool(flag) for flag in store.flags] == [False, False, False, True, False]
    assert "only zeros" in store.flags[3]
    assert class_counts(store, "code15") == {"SB": 1, "AF": 1, "RBBB": 1, "ST": 1}


def test_an_exam_without_a_row(tmp_path: Path) -> None:
    root = write_code15(tmp_path, EXAMS)
    lines = (root / "exams.csv").read_text().splitlines()
    (root / "exams.csv").write_text("\n".join(line for line in lines if not line.startswith("2222")) + "\n")
    source = code15_source(root)
    assert source.tasks["code15"].labelled.tolist() == [True, False, True, True, True]
    assert source.notes[1] == ("no row in exams.csv",)


def test_wfdb_records_of_the_challenge_2025(tmp_path: Path) -> None:
    for exam, patient, label in (("11", 5, "True"), ("2", 5, "False"), ("3", 6, None)):
        path = made.write_record(tmp_path, exam, made.record(fs=400.0, seconds=4.0).signal, fs=400.0)
        with path.with_suffix(".hea").open("a") as stream:
            stream.write(f"# Patient ID: {patient}\n" + (f"# Chagas label: {label}\n" if label else ""))
    source = code15_source(tmp_path)
    assert source.names == ("2", "3", "11")
    assert source.split[0] == source.split[2]
    assert list(source.tasks) == ["chagas"]
    assert source.tasks["chagas"].labels[:, 0].tolist() == [0, 0, 1]
    assert source.tasks["chagas"].labelled.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("SB,ST", "SB,XX"), "no column 'ST'"),
        (("False", "maybe"), "'maybe' is neither True nor False"),
        (("2222", "1111"), "exam 1111 has two rows"),
        (("2222,50", "2222,,50"), "row 3: more fields than columns"),
        (("2222,50,", "2222,"), "row 3: fewer fields than columns"),
        (("is_male", "SB"), "several columns 'SB'"),
    ],
)
def test_tables_with_mistakes(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    root = write_code15(tmp_path, EXAMS)
    (root / "exams.csv").write_text((root / "exams.csv").read_text().replace(*change))
    with pytest.raises(SourceError, match=message):
        code15_source(root)


def test_files_with_mistakes(tmp_path: Path) -> None:
    root = write_code15(tmp_path / "a", EXAMS)
    (root / "exams_part9.hdf5").write_bytes(b"no HDF5")
    with pytest.raises(SourceError, match=r"exams_part9\.hdf5 is no HDF5 file"):
        code15_source(root)
    (root / "exams_part9.hdf5").write_bytes((root / "exams_part0.hdf5").read_bytes())
    with pytest.raises(SourceError, match="2 exams are in two"):
        code15_source(root)
    with h5py.File(root / "exams_part9.hdf5", "w") as stream:
        stream["exam_id"] = [77]
        stream.create_dataset("tracings", (1, 20_000_000, 12), "f4", chunks=True, compression="gzip")
    list_exams.cache_clear()
    with pytest.raises(SourceError, match=r"exams_part9.*up to 65536"):
        code15_source(root)
    with pytest.raises(RecordError, match=r"tracings \(1, 20000000, 12\)"):
        read_code15_hdf5(root / "exams_part9.hdf5" / "77")
    (root / "exams_part9.hdf5").unlink()
    with pytest.raises(RecordError, match="holds it 0 times"):
        read_code15_hdf5(root / "exams_part0.hdf5" / "33")
    with pytest.raises(RecordError, match="cannot be read"):
        read_code15_hdf5(root / "exams_part7.hdf5" / "33")
    with pytest.raises(SourceError, match="no record of CODE-15"):
        code15_source(write_challenge(tmp_path / "e", {"E00001": "426783006"}))
    with pytest.raises(SourceError, match="no folder"):
        code15_source(tmp_path / "nowhere")


def test_the_real_sample(shared_dir: Path, tmp_path: Path) -> None:
    store = prepare(code15_source(shared_dir / "data" / "code15"), tmp_path / "out").store
    assert len(store) == 120
    assert class_counts(store, "chagas") == {"chagas": 7}
    assert store.labelled("chagas").all()
    assert sum(bool(flag) for flag in store.flags) <= 2
