"""`clear-hug tasks`: what is published, and what a folder or a store holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dataset_files import write_challenge, write_mimic
from typer.testing import CliRunner

from clear_hug.cli import app
from clear_hug.data import cpsc2018_source, csn_source, mimic_source, prepare, ptbxl_source
from clear_hug.data.known_sources import KNOWN_SOURCES
from clear_hug.data.task_list import TASK_LIST


def _call(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.output


def test_tasks_lists_all_of_them() -> None:
    text = _call("tasks")
    for info in TASK_LIST:
        assert f"{info.data_set}: task {info.name}" in text
    assert "  CD HYP MI NORM STTC\n" in text
    assert _call("tasks", "--task", "super").count("task ") == 1
    assert "no data set has a task 'x'" in _call("tasks", "--task", "x", code=2)


def test_tasks_counts_a_store(tmp_path: Path) -> None:
    codes = {"JS00001": "426177001,164934002", "JS00006": "426177001", "JS00008": "426783006"}
    root = write_challenge(tmp_path / "in", codes)
    (root / "JS00006.mat").write_bytes(b"")
    prepare(csn_source(root), tmp_path / "out")
    text = " ".join(_call("tasks", "--store", tmp_path / "out", "--task", "csn-corrected").split())
    assert "csn-corrected (1 flagged record left out)" in text
    assert "records │ 1 │ 0 │ 1" in text.replace("┃", "│")
    assert "SB │ 1 │ 0 │ 0" in text
    assert "task csn " in _call("tasks", "--store", tmp_path / "out")
    prepare(mimic_source(write_mimic(tmp_path / "mimic", [(10000001, 5)])), tmp_path / "none")
    assert "no tasks" in _call("tasks", "--store", tmp_path / "none")
    assert "has no task 'x'" in _call("tasks", "--store", tmp_path / "out", "--task", "x", code=2)


def test_published_numbers_are_those_of_the_classes() -> None:
    by_name = {info.name: info for info in TASK_LIST}
    for info in TASK_LIST:
        assert info.data_set in KNOWN_SOURCES
        for positives in info.positives.values():
            assert set(positives) <= set(info.classes)
    assert sum(by_name["cpsc2018"].positives["train"].values()) == 5314  # 4 950 records, some with several classes
    assert sum(by_name["super"].positives["test"].values()) == 2792  # 2 158 records
    assert "  positives in train: AFIB 873 VPC 501 NORM 649 1AVB 504 CRBBB 1,359 STE 170" in _call("tasks", "cpsc2018")
    assert "positives in test, of some classes: PRC(S) 1 STE_ 3 TAB_ 3" in _call("tasks", "ptbxl", "--task", "form")


def test_the_tasks_of_one_data_set() -> None:
    text = _call("tasks", "csn")
    assert (text.count("task "), text.count("csn: task ")) == (2, 2)
    assert "mimic-iv-ecg has no labels" in _call("tasks", "mimic-iv-ecg")
    assert "csn has no task 'super'; those known are csn, csn-corrected" in _call(
        "tasks", "csn", "--task", "super", code=2
    )
    assert "unknown data set 'x'; choose one of ptbxl" in _call("tasks", "x", code=2)


def _rows(text: str) -> dict[str, list[int]]:
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]
    return {name: [int(number) for number in numbers] for name, *numbers in cells}


def test_a_folder_is_counted_without_preparing_it(tmp_path: Path) -> None:
    """Recordings are not looked at: one that would be flagged counts."""
    codes = {"JS00001": "426177001,164934002", "JS00006": "426177001", "JS00008": "426783006"}
    root = write_challenge(tmp_path / "in", codes)
    (root / "JS00006.mat").write_bytes(b"")
    rows = _rows(_call("tasks", "csn", "--root", root, "--task", "csn-corrected"))
    assert len(rows) == 40
    assert (rows["records"], rows["SB"]) == ([2, 0, 1], [2, 0, 0])
    assert "task csn " in _call("tasks", "csn", "--root", root)
    assert "has no task 'x'; it has csn, csn-corrected" in _call("tasks", "csn", "--root", root, "--task", "x", code=2)
    assert "name the data set" in _call("tasks", "--root", root, code=2)
    assert "--store brings its own" in _call("tasks", "csn", "--store", root, code=2)
    unlabelled = write_mimic(tmp_path / "mimic", [(10000001, 5)])
    assert "1 record without labels" in _call("tasks", "mimic-iv-ecg", "--root", unlabelled)


@pytest.mark.parametrize(("data_set", "task"), [("ptbxl", "all"), ("ptbxl", "diagnostic"), ("cpsc2018", "cpsc2018")])
def test_counts_of_the_real_sample(shared_dir: Path, data_set: str, task: str) -> None:
    root = shared_dir / "data" / {"ptbxl": "ptbxl", "cpsc2018": "cinc2021"}[data_set]
    rows = _rows(_call("tasks", data_set, "--root", root, "--task", task))
    source = {"ptbxl": ptbxl_source, "cpsc2018": cpsc2018_source}[data_set](root)
    labels = source.tasks[task]
    for split in range(3):
        members = labels.labelled & (source.split == split)
        assert rows["records"][split] == members.sum()
        counted = [rows[name][split] for name in labels.classes]
        np.testing.assert_array_equal(counted, labels.labels[members].sum(axis=0))
