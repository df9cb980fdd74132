"""`clear-hug prepare`: options, summary, and errors in one line."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest
import synthetic_ecg as made
from ptbxl_files import write_ptbxl
from typer.testing import CliRunner

from clear_hug.cli.prepare import prepare_app
from clear_hug.data import BeatStore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        made.write_record(tmp_path / "in", f"r{number}", made.record(fs=257.0, seconds=8.0, bpm=70.0).signal, fs=257.0)
    (tmp_path / "in" / "r1.dat").write_bytes(b"")
    return tmp_path / "in"


def _run(*arguments: object) -> str:
    result = CliRunner().invoke(prepare_app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_wfdb_with_labels(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("record,split,AF,PVC\nr0,train,1,0\nr1,val,0,1\nr2,test,1,1\n")
    text = _run("wfdb", "--root", folder, "--out", tmp_path / "out", "--labels", tmp_path / "labels.csv")
    for part in ("3 records", "18 beats", "flagged: 1", "1 unreadable", "1 train, 1 val, 1 test", "AF 2 PVC 2"):
        assert part in text
    again = _run("wfdb", "--root", folder, "--out", tmp_path / "out", "--labels", tmp_path / "labels.csv")
    assert "prepared now" not in again
    assert "18 beats" in again


def test_ptbxl_with_every_option(tmp_path: Path) -> None:
    root = write_ptbxl(tmp_path / "in", [{"scp_codes": "{'NORM': 1}"}, {"strat_fold": "10"}])
    text = _run(
        "ptbxl", "--root", root, "--out", tmp_path / "out", "--rate", 100, "--fs", 125, "--beats", 5,
        "--beat-samples", 80, "--leads", "II,V5", "--tokenizer", "beats", "--workers", 2,
    )  # fmt: skip
    store = BeatStore.open(tmp_path / "out")
    assert (store.fs, store.leads, store.tokens.shape) == (125.0, ("II", "V5"), (2, 2, 5, 80))
    assert "beyond the first 5 of a record; raise --beats" in text
    assert "task super: 1 record; CD 0 MI 0 NORM 1 STTC 0" in text


def test_the_official_tokenizer_brings_its_own_sizes(folder: Path, tmp_path: Path) -> None:
    _run("wfdb", "--root", folder, "--out", tmp_path / "out", "--tokenizer", "official")
    assert BeatStore.open(tmp_path / "out").tokens.shape == (3, 12, 15, 96)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--leads", "II,V9"), "unknown lead name 'V9'"),
        (("--tokenizer", "words"), "unknown tokenizer 'words'"),
        (("--workers", "0"), "--workers 0"),
        (("--labels", "nowhere.csv"), "nowhere.csv cannot be read"),
        (("--fs", "20"), "20.0 Hz"),
        (("--beats", "100000000"), "720.0 GB of tokens per record; at most 0.3 GB"),
    ],
)
def test_mistakes_are_value_errors_that_say_what_to_do(
    folder: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        _run("wfdb", "--root", folder, "--out", tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("out", [".", "..", "/"])
def test_a_store_needs_a_name_of_its_own(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(ValueError, match=r"is no name of a new folder; add one, as in \S*beats$"):
        _run("wfdb", "--root", folder, "--out", out)
    assert (tmp_path / "empty").is_dir()


@pytest.mark.parametrize(
    ("code", "remedy"), [(errno.ENOSPC, "make room or name another"), (errno.EROFS, "name another")]
)
def test_a_disk_that_takes_no_more_is_one_sentence_and_the_run_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, remedy: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(sys.modules["clear_hug.data.prepare"], "write_chunk", full)
        with pytest.raises(ValueError, match=rf"out\.partial cannot be written \({os.strerror(code)}\); {remedy}"):
            _run("wfdb", "--root", folder, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    _run("wfdb", "--root", folder, "--out", tmp_path / "out")
    assert len(BeatStore.open(tmp_path / "out")) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are set by the resource module")
def test_a_store_larger_than_may_be_written(folder: Path, tmp_path: Path) -> None:
    import resource

    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, usual[1]))
    try:
        with pytest.raises(ValueError, match=r"out\.partial cannot be written \(File too large\); make room"):
            _run("wfdb", "--root", folder, "--out", tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


@pytest.mark.parametrize("command", ["ptbxl", "wfdb"])
def test_help_shows_an_example(command: str) -> None:
    assert f"clear-hug prepare {command} --root" in _run(command, "--help")
