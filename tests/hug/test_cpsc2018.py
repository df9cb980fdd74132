"""CPSC2018: both layouts, labels from either source, the published split by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import synthetic_ecg as made
from dataset_files import class_counts, write_challenge, write_contest_cpsc2018

from clear_hug.data import RecordError, SourceError, prepare
from clear_hug.data.cpsc2018 import CPSC2018_CLASSES, cpsc2018_source
from clear_hug.data.cpsc2018_mat import read_cpsc2018_mat

CODES = {
    "A0001": "59118001", "A0002": "426783006,284470004", "A0003": "164889003", "A0004": "270492004",
    "A0005": "164909002", "A0006": "164884008", "A0007": "429622005", "A0008": "164931005",
}  # fmt: skip
NUMBERS = {
    "A0001": (5,), "A0002": (1, 6), "A0003": (2,), "A0004": (3,),
    "A0005": (4,), "A0006": (7,), "A0007": (8,), "A0008": (9,),
}  # fmt: skip


def test_classes_are_the_published_ones_in_their_order() -> None:
    assert " ".join(CPSC2018_CLASSES) == "AFIB VPC NORM 1AVB CRBBB STE PAC CLBBB STD"


def test_both_layouts_give_the_same_labels_and_splits(tmp_path: Path) -> None:
    challenge = cpsc2018_source(write_challenge(tmp_path / "a" / "g1", CODES).parent)
    contest = cpsc2018_source(write_contest_cpsc2018(tmp_path / "b", NUMBERS))
    assert challenge.names == contest.names == tuple(CODES)
    assert (challenge.options["layout"], contest.options["layout"]) == ("challenge", "contest")
    np.testing.assert_array_equal(challenge.split, contest.split)
    labels = challenge.tasks["cpsc2018"].labels
    np.testing.assert_array_equal(labels, contest.tasks["cpsc2018"].labels)
    assert [CPSC2018_CLASSES[column] for column in labels.argmax(axis=1)] == [
        "CRBBB", "NORM", "AFIB", "1AVB", "CLBBB", "VPC", "STD", "STE",
    ]  # fmt: skip
    assert labels[1].sum() == 2


def test_labels_and_splits_stay_with_their_names_when_records_are_missing(tmp_path: Path) -> None:
    root = write_challenge(tmp_path, CODES)
    whole = cpsc2018_source(root)
    (root / "A0001.hea").unlink()
    (root / "A0005.hea").unlink()
    part = cpsc2018_source(root)
    kept = [whole.names.index(name) for name in part.names]
    np.testing.assert_array_equal(part.split, whole.split[kept])
    np.testing.assert_array_equal(part.tasks["cpsc2018"].labels, whole.tasks["cpsc2018"].labels[kept])


def test_a_reference_table_goes_before_the_headers(tmp_path: Path) -> None:
    root = write_challenge(tmp_path, {"A0001": "59118001", "A0002": "59118001"})
    (root / "REFERENCE.csv").write_text("Recording,First_label,Second_label,Third_label\nA0002,2.0,,\n")
    source = cpsc2018_source(root)
    assert source.tasks["cpsc2018"].labelled.tolist() == [False, True]
    assert source.tasks["cpsc2018"].labels[1].tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert source.notes == (("no row in REFERENCE.csv",), ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Recording,First_label,Second_label,Third_label\nA0001,10,,\n", "label '10' is none of 1 to 9"),
        ("Recording,First_label,Second_label,Third_label\nA0001,x,,\n", "label 'x'"),
        ("Recording,First_label,Second_label,Third_label\nA0001,1,,\nA0001,1,,\n", "two rows"),
        ("Recording,First_label\nA0001,1\n", "columns must be"),
        ("name\nA0001\n", "columns must be"),
    ],
)
def test_reference_tables_with_mistakes(tmp_path: Path, text: str, message: str) -> None:
    root = write_challenge(tmp_path, {"A0001": "59118001"})
    (root / "REFERENCE.csv").write_text(text)
    with pytest.raises(SourceError, match=message):
        cpsc2018_source(root)


@pytest.mark.parametrize("foreign", ["A00001,N\n", "Recording,First_label\nx,1\n", "\x00"])
def test_other_data_sets_tables_of_that_name_are_passed_over(tmp_path: Path, foreign: str) -> None:
    root = write_challenge(tmp_path / "g1", {"A0001": "59118001"}).parent
    (tmp_path / "cinc2017").mkdir()
    (tmp_path / "cinc2017" / "REFERENCE.csv").write_text(foreign)
    assert cpsc2018_source(root).notes == ((),)
    (tmp_path / "labels").mkdir()
    own = "Recording,First_label,Second_label,Third_label\nA0001,2,,\n"
    (tmp_path / "labels" / "REFERENCE.csv").write_text(own)
    assert cpsc2018_source(root).tasks["cpsc2018"].labels[0].tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0]
    contest = write_contest_cpsc2018(tmp_path / "contest", {"A0001": (1,)})
    (contest / "REFERENCE.csv").rename(contest / "TrainingSet1" / "REFERENCE.csv")
    assert cpsc2018_source(contest).tasks["cpsc2018"].labels[0].tolist() == [0, 0, 1, 0, 0, 0, 0, 0, 0]


def test_folders_without_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no folder"):
        cpsc2018_source(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="no record of CPSC2018"):
        cpsc2018_source(write_challenge(tmp_path / "e", {"E00001": "426783006"}))
    root = write_contest_cpsc2018(tmp_path / "b", {"A0001": (1,)})
    (root / "REFERENCE.csv").unlink()
    with pytest.raises(SourceError, match=r"no REFERENCE\.csv"):
        cpsc2018_source(root)


def test_contest_files_become_tokens(tmp_path: Path) -> None:
    root = write_contest_cpsc2018(tmp_path / "in", {"A0001": (1,), "A0002": (2,)}, seconds=8.0)
    (root / "TrainingSet1" / "A0003.mat").write_bytes(b"MATLAB 5.0 MAT-file, or not")
    store = prepare(cpsc2018_source(root), tmp_path / "out").store
    assert store.names == ["A0001", "A0002", "A0003"]
    assert [flag.partition(":")[0] for flag in store.flags] == ["", "", "unreadable"]
    record = read_cpsc2018_mat(root / "TrainingSet1" / "A0001")
    assert (record.fs, record.signal.shape, record.comments) == (500.0, (4000, 12), ("Age: 40", "Sex: Female"))
    np.testing.assert_allclose(record.signal, made.record(fs=500.0, seconds=8.0, bpm=60.0).signal)


@pytest.mark.parametrize(
    "content",
    [
        {"x": np.zeros(3)},
        {"ECG": np.zeros((12, 100))},
        {"ECG": {"sex": "Male"}},
        {"ECG": {"data": np.zeros((3, 100))}},
        {"ECG": {"data": "text"}},
        {"ECG": {"data": np.zeros((12, 0))}},
    ],
)
def test_other_matlab_files_are_refused(tmp_path: Path, content: dict[str, object]) -> None:
    scipy.io.savemat(tmp_path / "A0001.mat", content)
    with pytest.raises(RecordError, match="A0001"):
        read_cpsc2018_mat(tmp_path / "A0001.mat")


def test_a_file_that_inflates_without_end_is_refused(tmp_path: Path) -> None:
    bomb = {"ECG": {"data": np.zeros((12, 1_000_000))}}  # 96 MB
    scipy.io.savemat(tmp_path / "A0001.mat", bomb, do_compression=True)
    assert (tmp_path / "A0001.mat").stat().st_size < 1_000_000
    with pytest.raises(RecordError, match="inflates to more than 64 MB"):
        read_cpsc2018_mat(tmp_path / "A0001.mat")
    scipy.io.savemat(tmp_path / "A0002.mat", {"ECG": {"data": np.ones((12, 5000))}}, do_compression=True)
    assert read_cpsc2018_mat(tmp_path / "A0002.mat").signal.shape == (5000, 12)


def test_the_real_sample(shared_dir: Path, tmp_path: Path) -> None:
    store = prepare(cpsc2018_source(shared_dir / "data" / "cinc2021"), tmp_path / "out").store
    assert store.names == ["A0001", "A0002", "A0004", "A0005", "A0007", "A0008", "A0010", "A0689", "A2712", "A5215"]
    assert store.flags == [""] * 10
    assert store.split.tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 1, 1]
    assert class_counts(store, "cpsc2018") == {"AFIB": 4, "VPC": 1, "NORM": 1, "CRBBB": 3, "PAC": 1, "STD": 1}
    assert store.labelled("cpsc2018").all()
