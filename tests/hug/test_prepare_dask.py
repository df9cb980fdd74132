"""The same store from the workers of a Dask cluster, which the command line is told by its scheduler's address."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import joblib
import pytest
import synthetic_ecg as made
from typer.testing import CliRunner

from clear_hug.cli import app
from clear_hug.data import prepare, wfdb_source
from clear_hug.data.scheduler import SchedulerError, on_scheduler

RECORDS = 150  # three chunks


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a scheduler that is a process of its own, with two worker processes, on the loopback interface."""
    pytest.importorskip("distributed", reason="Dask is not installed: pip install 'clear-hug[dask]'")
    folder = tmp_path_factory.mktemp("dask")
    file = folder / "scheduler.json"
    log = (folder / "log").open("w")

    def start(program: str, *options: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "distributed.cli." + program, "--scheduler-file", str(file), *options]
        return subprocess.Popen(words, cwd=folder, stdout=log, stderr=log)

    processes = [start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")]
    worker = ("--host", "127.0.0.1", "--nworkers", "2", "--nthreads", "1", "--no-dashboard")
    processes.append(start("dask_worker", *worker, "--local-directory", str(folder)))
    try:
        begin = time.monotonic()
        while not file.exists() and time.monotonic() - begin < 60:
            assert processes[0].poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        from distributed import Client

        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
        yield address
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(30)
        log.close()


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("records")
    for number in range(RECORDS):
        signal = made.record(fs=100.0, seconds=4.0, bpm=50.0 + number % 100).signal
        made.write_record(folder, f"r{number:03d}", signal, fs=100.0)
    (folder / "r004.dat").write_bytes(b"short")
    return folder


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.slow
def test_a_cluster_gives_the_identical_store(scheduler: str, records: Path, tmp_path: Path) -> None:
    prepare(wfdb_source(records), tmp_path / "here")
    words = ["prepare", "wfdb", "--root", str(records), "--out", str(tmp_path / "there"), "--scheduler", scheduler]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "150 records" in done.output
    assert _contents(tmp_path / "there") == _contents(tmp_path / "here")


@pytest.mark.slow
def test_the_work_is_done_by_the_workers(scheduler: str) -> None:

    with on_scheduler(scheduler) as threads:
        assert threads == 2
        found = joblib.Parallel(n_jobs=threads)(joblib.delayed(os.getpid)() for _ in range(20))
    assert os.getpid() not in found


def test_no_scheduler_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed: pip install 'clear-hug[dask]'")
    monkeypatch.setattr("clear_hug.data.scheduler._PATIENCE_S", 1)
    with (
        pytest.raises(SchedulerError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9 "),
        on_scheduler("tcp://127.0.0.1:9"),
    ):
        pass


@pytest.mark.parametrize("address", ["foo", "tcp://localhost:port", "abc://localhost:1"])
def test_no_client_is_made_of_an_address_that_is_none(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would print a traceback half a minute later, when it is deleted."""
    distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install 'clear-hug[dask]'")
    monkeypatch.setattr(distributed, "Client", lambda *_, **__: pytest.fail("a client was made"))
    with pytest.raises(SchedulerError, match=f"no Dask scheduler answers at {address} "), on_scheduler(address):
        pass


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SchedulerError, match=r"pip install 'clear-hug\[dask\]'"), on_scheduler("tcp://127.0.0.1:9"):
        pass
