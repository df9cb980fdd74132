"""Two runs cannot make one store at the same time; a run that was killed is in nobody's way."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import synthetic_ecg as made

from clear_hug.data import StoreError, prepare, read_wfdb, store_lock, wfdb_source
from clear_hug.data.record import Record

HOLD = """
import sys; from pathlib import Path; from clear_hug.data.store_lock import store_lock
with store_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def _holder(out: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.fixture
def records(tmp_path: Path) -> Path:
    made.write_record(tmp_path / "in", "r", made.record(fs=100.0).signal, fs=100.0)
    return tmp_path / "in"


def test_a_second_run_is_told_which_process_is_at_it(records: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = _holder(out)
    try:
        expected = rf"out is being made by process {process.pid} on {socket.gethostname()} \(out\.lock\)"
        with pytest.raises(StoreError, match=expected):
            prepare(wfdb_source(records), out)
        assert not (tmp_path / "out.partial").exists()  # nothing was touched
    finally:
        process.communicate("")
    assert len(prepare(wfdb_source(records), out).store) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_what_a_killed_run_leaves_behind_stops_nobody(records: Path, tmp_path: Path) -> None:
    process = _holder(tmp_path / "out")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert json.loads((tmp_path / "out.lock").read_text()) == {"pid": process.pid, "host": socket.gethostname()}
    assert prepare(wfdb_source(records), tmp_path / "out").made == 1
    assert not (tmp_path / "out.lock").exists()


def test_it_is_given_back_after_an_error(records: Path, tmp_path: Path) -> None:
    def read(path: Path) -> Record:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(wfdb_source(records), tmp_path / "out", read=read)
    assert not (tmp_path / "out.lock").exists()


def test_it_is_held_while_records_are_read(records: Path, tmp_path: Path) -> None:
    def read(path: Path) -> Record:
        with pytest.raises(StoreError, match=f"process {os.getpid()} on"):
            prepare(wfdb_source(records), tmp_path / "out")
        return read_wfdb(path)

    assert prepare(wfdb_source(records), tmp_path / "out", read=read).store.usable.all()


def test_a_finished_store_needs_no_lock(records: Path, tmp_path: Path) -> None:
    prepare(wfdb_source(records), tmp_path / "out")
    process = _holder(tmp_path / "out")
    try:
        assert prepare(wfdb_source(records), tmp_path / "out").already_complete
    finally:
        process.communicate("")


@pytest.mark.parametrize("written", ["", "{", "[]", '{"pid": "x", "host": 1}'])
def test_a_file_with_something_else_in_it(records: Path, tmp_path: Path, written: str) -> None:
    (tmp_path / "out.lock").write_text(written)
    assert prepare(wfdb_source(records), tmp_path / "out").made == 1


@pytest.mark.parametrize(
    ("pid", "host", "refused"), [("alive", "here", True), ("dead", "here", False), ("alive", "there", False)]
)
def test_without_locks_the_process_in_the_file_counts(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pid: str, host: str, refused: bool
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(store_lock.fcntl, "flock", flock)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    holder = {"pid": os.getppid() if pid == "alive" else dead.pid}
    holder |= {"host": socket.gethostname() if host == "here" else "elsewhere"}
    (tmp_path / "out.lock").write_text(json.dumps(holder))
    if refused:
        with pytest.raises(StoreError, match="is being made by"):
            prepare(wfdb_source(records), tmp_path / "out")
    else:
        assert prepare(wfdb_source(records), tmp_path / "out").made == 1
