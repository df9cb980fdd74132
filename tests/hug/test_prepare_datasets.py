"""`clear-hug prepare` for every data set by name, its tasks, and the same store after any interruption."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dataset_files import write_challenge, write_code15, write_contest_cpsc2018, write_mimic, write_plain_csn
from ptbxl_files import write_ptbxl
from typer.testing import CliRunner

from clear_hug.cli import app
from clear_hug.data import BeatStore, PrepareSettings, Record, Source, prepare, ptbxl_source
from clear_hug.data import store_writer as writer_module
from clear_hug.data.code15 import code15_source
from clear_hug.data.cpsc2018 import cpsc2018_source
from clear_hug.data.csn import csn_source
from clear_hug.data.mimic import mimic_source
from clear_hug.data.task_list import TASK_LIST

SETTINGS = PrepareSettings(beats=4, beat_samples=40)
MAKERS: dict[str, Callable[[Path], Source]] = {
    "cpsc2018": lambda root: cpsc2018_source(write_contest_cpsc2018(root, {f"A{n:04d}": (n,) for n in range(1, 8)})),
    "csn": lambda root: csn_source(write_plain_csn(root, {f"JS{n:05d}": "426783006" for n in range(1, 8)})),
    "mimic": lambda root: mimic_source(write_mimic(root, [(10000000 + n, 40000000 + n) for n in range(7)])),
    "code15": lambda root: code15_source(write_code15(root, [(n, n, ("SB",)) for n in range(1, 8)], per_file=3)),
}


class Killed(BaseException):
    """Stands for a process that ends: nothing catches it."""


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _dying(read: Callable[[Path], Record], after: int) -> Callable[[Path], Record]:
    reads: list[Path] = []

    def reader(path: Path) -> Record:
        if len(reads) == after:
            raise Killed
        reads.append(path)
        return read(path)

    return reader


@pytest.mark.parametrize("kind", MAKERS)
def test_interrupted_and_run_again_the_store_is_the_same(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "CHUNK_RECORDS", 2)
    source = MAKERS[kind](tmp_path / "in")
    prepare(source, tmp_path / "whole", SETTINGS)
    for after in (1, 2, 3):
        with pytest.raises(Killed):
            prepare(replace(source, read=_dying(source.read, after)), tmp_path / "out", SETTINGS)
    store = prepare(source, tmp_path / "out", SETTINGS).store
    assert _files(tmp_path / "out") == _files(tmp_path / "whole")
    assert store.flags == [""] * 7


def _call(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.parametrize(
    ("command", "make", "said"),
    [
        ("cpsc2018", lambda root: write_challenge(root, {"A0001": "59118001"}), "task cpsc2018: 1 record; AFIB 0"),
        ("csn", lambda root: write_challenge(root, {"JS00006": "426177001"}), "task csn-corrected: 1 record; AQW 0"),
        ("mimic-iv-ecg", lambda root: write_mimic(root, [(10000001, 5)]), "1 record, 4 beats"),
        ("code15", lambda root: write_code15(root, [(1, 1, ("AF",))]), "LBBB 0 SB 0 ST 0 AF 1"),
        ("cinc2021", lambda root: write_challenge(root, {"E00001": "164889003"}), "task cinc2021: 1 record; AF 1"),
    ],
)
def test_commands_take_every_option(command: str, make: Callable[[Path], Path], said: str, tmp_path: Path) -> None:
    text = _call(
        "prepare", command, "--root", make(tmp_path / "in"), "--out", tmp_path / "out", "--fs", 125, "--beats", 12,
        "--beat-samples", 80, "--leads", "II,V5", "--tokenizer", "beats", "--workers", 1,
    )  # fmt: skip
    assert said in text
    store = BeatStore.open(tmp_path / "out")
    assert (store.fs, store.leads, store.tokens.shape) == (125.0, ("II", "V5"), (1, 2, 12, 80))
    assert f"clear-hug prepare {command} --root" in _call("prepare", command, "--help")


def test_the_official_tokenizer_on_another_data_set(tmp_path: Path) -> None:
    root = write_challenge(tmp_path / "in", {"A0001": "59118001"})
    _call("prepare", "cpsc2018", "--root", root, "--out", tmp_path / "out", "--tokenizer", "official")
    assert BeatStore.open(tmp_path / "out").tokens.shape == (1, 12, 15, 96)


def test_ptbxl_from_the_challenges(tmp_path: Path) -> None:
    tables = write_ptbxl(tmp_path / "tables", [{"scp_codes": "{'NORM': 1}"}], signals=False)
    root = write_challenge(tmp_path / "in", {"HR00001": "426783006"})
    text = _call("prepare", "ptbxl", "--root", root, "--tables", tables, "--out", tmp_path / "out")
    assert "task super: 1 record; CD 0 MI 0 NORM 1 STTC 0" in text
    words = ("prepare", "ptbxl", "--root", root, "--tables", tables, "--out", tmp_path / "other", "--rate", 500)
    assert "--rate 500 does not go with --tables" in _call(*words, code=2)


def test_the_wrong_folder_is_one_line(tmp_path: Path) -> None:
    for command in ("cpsc2018", "csn", "mimic-iv-ecg", "ludb", "code15", "cinc2021"):
        text = _call("prepare", command, "--root", tmp_path, "--out", tmp_path / "out", code=2)
        assert "Error:" in text
        assert "Traceback" not in text
    assert not (tmp_path / "out").exists()


def test_the_list_has_ptbxls_own_classes(shared_dir: Path) -> None:
    source = ptbxl_source(shared_dir / "data" / "ptbxl")
    listed = {info.name: info.classes for info in TASK_LIST if info.data_set == "ptbxl"}
    assert listed == {name: task.classes for name, task in source.tasks.items()}
    assert [len(listed[name]) for name in ("super", "sub", "form", "rhythm", "all", "diagnostic")] == [
        5, 23, 19, 12, 71, 44,
    ]  # fmt: skip
    for info in TASK_LIST:
        assert len(set(info.classes)) == len(info.classes)


def test_no_recording_has_two_sides_across_data_sets(shared_dir: Path) -> None:
    """PTB-XL's folds, whatever name a recording goes by."""
    from clear_hug.data.splits import known_split

    source = ptbxl_source(shared_dir / "data" / "ptbxl")
    copies = [known_split(f"HR{name[:5]}") for name in source.names]
    np.testing.assert_array_equal(copies, source.split)


def test_every_class_has_a_full_name() -> None:
    from clear_hug.class_names import class_names

    for info in TASK_LIST:
        if info.data_set != "ptbxl":
            assert set(class_names({"kind": info.data_set}, info.classes)) == set(info.classes)
    assert class_names({"kind": "wfdb"}, ["AF"]) == {}
