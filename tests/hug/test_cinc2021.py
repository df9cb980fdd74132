"""The Challenge 2021's records, and PTB-XL among them: each keeps the split of its own data set."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from dataset_files import write_challenge
from ptbxl_files import write_ptbxl
from typer.testing import CliRunner

from clear_hug.cli import app
from clear_hug.data import Source, SourceError, prepare, ptbxl_source, wfdb_source
from clear_hug.data.cinc2021 import CINC2021_CLASSES, cinc2021_source
from clear_hug.data.cpsc2018 import cpsc2018_source
from clear_hug.data.csn import csn_source
from clear_hug.data.ptbxl_challenge import ptbxl_challenge_source
from clear_hug.data.snomed import diagnosis_codes
from clear_hug.data.splits import known_split

CODES = {
    "A0001": "59118001",
    "E00001": "17338001,427172004",
    "HR00001": "426783006",
    "HR00009": "713427006",
    "JS00001": "1,164889003",
    "Q0001": "63593006",
    "S0001": "251146004,426783006",
    "I0001": None,
    "X0001": "426783006",
}


def test_classes_are_the_scored_ones() -> None:
    assert len(CINC2021_CLASSES) == 26
    assert CINC2021_CLASSES[0] == "AF"


def test_sets_in_any_case_and_punctuation(tmp_path: Path) -> None:
    root = write_challenge(tmp_path / "in", CODES)
    assert cinc2021_source(root, ["s", "E", "e"]).options["sets"] == ["S", "E"]
    with pytest.raises(SourceError, match="unknown Challenge set 'x'"):
        cinc2021_source(root, ["x"])
    words = ["prepare", "cinc2021", "--root", str(root), "--out", str(tmp_path / "out"), "--sets", "E, s,"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "2 records" in done.output


def test_codes_that_are_scored_as_one_are_one_class(tmp_path: Path) -> None:
    source = cinc2021_source(write_challenge(tmp_path, CODES))
    assert source.names == ("A0001", "E00001", "HR00001", "HR00009", "I0001", "JS00001", "Q0001", "S0001")
    task = source.tasks["cinc2021"]
    named = [" ".join(task.classes[column] for column in np.flatnonzero(row)) for row in task.labels]
    assert named == ["CRBBB", "PVC", "NSR", "CRBBB", "", "AF", "PAC", "LQRSV NSR"]
    assert task.labelled.tolist() == [True, True, True, True, False, True, True, True]


def test_every_record_keeps_the_side_it_has_in_its_own_data_set(tmp_path: Path) -> None:
    root = write_challenge(tmp_path, CODES)
    source = cinc2021_source(root)
    sides = dict(zip(source.names, source.split.tolist(), strict=True))
    for own in (cpsc2018_source(root), csn_source(root)):
        assert {name: sides[name] for name in own.names} == dict(zip(own.names, own.split.tolist(), strict=True))
    assert sides["HR00001"] == known_split("00001_lr")
    assert sides["HR00009"] == known_split("00009_lr") == 2
    assert sides["S0001"] == sides["I0001"] == 0


def test_only_some_sets(tmp_path: Path) -> None:
    root = write_challenge(tmp_path, CODES)
    assert cinc2021_source(root, ["E", "S"]).names == ("E00001", "S0001")
    with pytest.raises(SourceError, match="unknown Challenge set 'PTB'"):
        cinc2021_source(root, ["PTB"])


def test_any_folder_keeps_both_copies_of_a_ptbxl_recording_on_one_side(tmp_path: Path) -> None:
    names = [f"{number:05d}" for number in range(1, 41)]
    write_challenge(tmp_path / "a", {f"HR{name}": "426783006" for name in names})
    write_challenge(tmp_path / "b", {f"{name}_hr": "426783006" for name in names})
    for seed in range(3):
        split = wfdb_source(tmp_path, seed=seed).split.reshape(2, 40)
        np.testing.assert_array_equal(split[0], split[1])
        assert set(split[0].tolist()) == {0, 1, 2}


def test_ptbxl_in_the_challenges_layout_has_ptbxls_labels(tmp_path: Path) -> None:
    rows = [{"scp_codes": "{'NORM': 1}"}, {"scp_codes": "{'IMI': 1}", "strat_fold": "10", "static_noise": "V1"}]
    tables = write_ptbxl(tmp_path / "tables", rows, signals=False)
    root = write_challenge(tmp_path / "in" / "g1", {"HR00002": "1", "HR00009": "1"}).parent
    source = ptbxl_challenge_source(root, tables)
    assert source.names == ("HR00002", "HR00009")
    assert source.split.tolist() == [2, known_split("00009_lr")]
    assert source.notes == (("static noise: V1",), ("no row in ptbxl_database.csv",))
    whole = ptbxl_source(tables)
    for name, task in source.tasks.items():
        assert task.classes == whole.tasks[name].classes
        np.testing.assert_array_equal(task.labels[0], whole.tasks[name].labels[1])
        assert task.labelled.tolist() == [bool(whole.tasks[name].labelled[1]), False]
        assert not task.labels[1].any()
    store = prepare(source, tmp_path / "out").store
    assert store.flags == ["", ""]


def test_real_recordings_in_the_challenges_layout(shared_dir: Path, tmp_path: Path) -> None:
    """PTB-XL's own tables beside them: published folds, PTB-XL's classes, labels only for records that have a row."""
    tables = shared_dir / "data" / "ptbxl"
    source = ptbxl_challenge_source(shared_dir / "data" / "cinc2021", tables)
    assert len(source.names) == 18
    assert source.split.tolist() == [known_split(name) for name in source.names]
    listed = [f"{name[2:]}_lr" in ptbxl_source(tables).names for name in source.names]
    assert [not note for note in source.notes] == listed
    assert source.tasks["all"].labelled.tolist() == listed
    store = prepare(source, tmp_path / "out").store
    assert store.flags == [""] * 18
    assert (store.fs, len(store.classes("super"))) == (100.0, 5)


def test_labels_of_the_tables_agree_with_those_of_the_headers(shared_dir: Path) -> None:
    """Atrial fibrillation: the code in a Challenge header (164889003), and PTB-XL's statement."""
    root = shared_dir / "data" / "cinc2021"
    source = ptbxl_challenge_source(root, shared_dir / "data" / "ptbxl")
    rhythm = source.tasks["rhythm"]
    if not rhythm.labelled.any():
        pytest.skip("none of the HR records here has a row in the ptbxl_database.csv here")
    for row in np.flatnonzero(rhythm.labelled):
        codes = diagnosis_codes(root / f"{source.paths[row]}.hea") or ()
        assert ("164889003" in codes) == bool(rhythm.labels[row, rhythm.classes.index("AFIB")])


def test_the_tables_of_the_challenges_copy_are_asked_for_by_name(tmp_path: Path) -> None:
    root = write_challenge(tmp_path / "in" / "g1", {"HR00002": "1"}).parent
    with pytest.raises(SourceError, match=r"copy from the Challenges.*with --tables"):
        ptbxl_source(root)
    with pytest.raises(SourceError, match="--tables must be the folder of PTB-XL") as caught:
        ptbxl_challenge_source(root, tmp_path)
    assert "--root" not in str(caught.value)


def test_the_real_sample(shared_dir: Path, tmp_path: Path) -> None:
    root = shared_dir / "data" / "cinc2021"
    source = cinc2021_source(root)
    assert Counter(name.rstrip("0123456789") for name in source.names) == {
        "A": 10, "E": 47, "HR": 18, "JS": 57, "Q": 20, "S": 7,
    }  # fmt: skip
    assert {name: count for name, count in _positives(source).items() if count} == {
        "AF": 9, "AFL": 8, "Brady": 3, "CRBBB": 13, "IAVB": 5, "IRBBB": 4, "LAD": 2, "LAnFB": 4, "LQRSV": 1, "LQT": 6,
        "NSIVCB": 7, "NSR": 44, "PAC": 18, "PR": 2, "PRWP": 1, "PVC": 9, "QAb": 3, "RAD": 1, "SA": 6, "SB": 27,
        "STach": 22, "TAb": 16, "TInv": 8,
    }  # fmt: skip
    store = prepare(cinc2021_source(root, ["E", "HR"]), tmp_path / "out").store
    assert store.flags == [""] * 65
    sides = dict(zip(source.names, source.split.tolist(), strict=True))
    assert store.split.tolist() == [sides[name] for name in store.names]


def _positives(source: Source) -> dict[str, int]:
    task = source.tasks["cinc2021"]
    return dict(zip(task.classes, task.labels.sum(axis=0).tolist(), strict=True))
