"""Interrupted at any moment and run again, `prepare` gives the identical store; other settings are refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import synthetic_ecg as made

from clear_hug.data import (
    BeatStore,
    PrepareSettings,
    Record,
    StoreError,
    prepare,
    prepare_record,
    read_wfdb,
    wfdb_source,
)
from clear_hug.data import store_writer as writer_module
from clear_hug.data.store_format import MANIFEST

RECORDS = 9
SETTINGS = PrepareSettings(beats=4, beat_samples=40)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(writer_module, "CHUNK_RECORDS", 2)
    for number in range(RECORDS):
        signal = made.record(fs=100.0, seconds=4.0, bpm=60.0 + 5 * number).signal
        made.write_record(tmp_path / "in", f"r{number}", signal, fs=100.0)
    (tmp_path / "in" / "r4.dat").write_bytes(b"short")
    return tmp_path / "in"


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_row_is_its_own_record(folder: Path, tmp_path: Path) -> None:
    store = prepare(wfdb_source(folder), tmp_path / "out", SETTINGS).store
    for number in set(range(RECORDS)) - {4}:
        row = prepare_record(read_wfdb(folder / f"r{number}"), SETTINGS)
        np.testing.assert_array_equal(store.tokens[number], row.tokens)
        np.testing.assert_array_equal(store.r_index[number], row.r_index)
    assert not store.tokens[4].any()


class Killed(BaseException):
    """Stands for a process that ends: nothing catches it."""


def _dying_reader(reads: list[Path], after: int):
    def read(path: Path) -> Record:
        if len(reads) >= after:
            raise Killed
        reads.append(path)
        return read_wfdb(path)

    return read


@pytest.mark.parametrize("store", ["tokens", "signals"])
@pytest.mark.parametrize("after", range(RECORDS))
def test_killed_while_reading(folder: Path, tmp_path: Path, after: int, store: str) -> None:
    source = wfdb_source(folder)
    prepare(source, tmp_path / "whole", SETTINGS, store=store)
    with pytest.raises(Killed):
        prepare(source, tmp_path / "out", SETTINGS, store=store, read=_dying_reader([], after))
    assert not (tmp_path / "out").exists()
    reads: list[Path] = []
    result = prepare(source, tmp_path / "out", SETTINGS, store=store, read=_dying_reader(reads, RECORDS))
    assert len(reads) == result.made == RECORDS - after // 2 * 2  # finished chunks of two are not made again
    assert _files(tmp_path / "out") == _files(tmp_path / "whole")
    assert not (tmp_path / "out.partial").exists()


FINISHING = ["np.save", "replacing", "file_checksum", "write_json", "shutil.rmtree", "_publish"]


@pytest.mark.parametrize("store", ["tokens", "signals"])
@pytest.mark.parametrize("step", FINISHING)
def test_killed_while_finishing(
    folder: Path, tmp_path: Path, step: str, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = wfdb_source(folder)
    prepare(source, tmp_path / "whole", SETTINGS, store=store)

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        if step == "_publish":
            patch.setattr(writer_module.BeatStoreWriter, "_publish", die)
        elif step == "write_json":
            real = writer_module.write_json
            patch.setattr(
                writer_module,
                "write_json",
                lambda path, data: die() if path.name == "manifest.json" else real(path, data),
            )
        else:
            target = {"np.save": "numpy.save", "shutil.rmtree": "shutil.rmtree"}.get(
                step, f"{writer_module.__name__}.{step}"
            )
            patch.setattr(target, die)
        with pytest.raises(Killed):
            prepare(source, tmp_path / "out", SETTINGS, store=store)
    assert not (tmp_path / "out").exists()
    # What SIGKILL leaves of a file that has not taken its name yet.
    (tmp_path / "out.partial" / ".tokens.0badcafe.npy").write_bytes(b"half")
    prepare(source, tmp_path / "out", SETTINGS, store=store)
    assert _files(tmp_path / "out") == _files(tmp_path / "whole")
    BeatStore.open(tmp_path / "out").verify()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records enough for five chunks, and the store that is made of them without a disturbance."""
    base = tmp_path_factory.mktemp("many")
    originals = [made.record(fs=500.0, seconds=10.0, bpm=50.0 + 10 * number).signal for number in range(7)]
    paths = [made.write_record(base / "made", f"m{number}", signal) for number, signal in enumerate(originals)]
    (base / "in").mkdir()
    for number in range(MANY):
        path = paths[number % len(paths)]
        header = path.with_suffix(".hea").read_text().replace(path.stem, f"r{number:03d}")
        (base / "in" / f"r{number:03d}.hea").write_text(header)
        os.link(path.with_suffix(".dat"), base / "in" / f"r{number:03d}.dat")
    for store in ("tokens", "signals"):
        prepare(wfdb_source(base / "in"), base / store, store=store)
    return base


MANY = 300
RUN = (
    "import sys; from pathlib import Path; from clear_hug.data import prepare, wfdb_source\n"
    "prepare(wfdb_source(sys.argv[1]), sys.argv[2], store=sys.argv[3], workers=int(sys.argv[4]))"
)


def _works(lock: Path, pid: int) -> bool:
    """Whether that process has begun."""
    try:
        return bool(json.loads(lock.read_text())["pid"] == pid)
    except (OSError, ValueError):
        return False


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("store", ["tokens", "signals"])
def test_processes_that_are_really_killed(many: Path, tmp_path: Path, store: str, workers: int) -> None:
    command = [sys.executable, "-c", RUN, str(many / "in"), str(tmp_path / "out"), store, str(workers)]
    chunks = tmp_path / "out.partial" / "chunks"
    rng = np.random.default_rng([workers, len(store)])
    found = []
    for _ in range(4):
        process = subprocess.Popen(command, start_new_session=True)
        while not _works(tmp_path / "out.lock", process.pid) and process.poll() is None:
            time.sleep(0.005)
        time.sleep(rng.uniform(0.0, 0.4))  # somewhere in the work that a whole run takes 1 to 2 s for
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if (tmp_path / "out").exists() or (tmp_path / "out.partial" / MANIFEST).exists():
            break  # finished, but perhaps for its name: chunks are no longer needed
        found.append(len(list(chunks.glob("0*.json"))))
    assert found  # killed before it was done
    assert found == sorted(found)  # and no chunk was lost again
    subprocess.run(command, check=True)
    assert _files(tmp_path / "out") == _files(many / store)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


FULL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"  # bytes in one file


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files there")
@pytest.mark.parametrize("store", ["tokens", "signals"])
def test_writes_that_stop_short_lose_nothing(many: Path, tmp_path: Path, store: str) -> None:
    """A file cannot grow any more in the middle of the first chunk: an error, half a file that has no name yet."""
    command = [sys.executable, "-c", FULL + RUN, str(many / "in"), str(tmp_path / "out"), store, "1"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "OSError: [Errno 27] File too large" in ended.stderr
    assert ended.returncode == 1
    partial = tmp_path / "out.partial"
    assert not [path for path in partial.rglob("*") if path.name.startswith((".", "tokens", "0"))]
    prepare(wfdb_source(many / "in"), tmp_path / "out", store=store)
    assert _files(tmp_path / "out") == _files(many / store)


def test_any_number_of_workers_gives_the_same_store(folder: Path, tmp_path: Path) -> None:
    prepare(wfdb_source(folder), tmp_path / "one", SETTINGS, workers=1)
    prepare(wfdb_source(folder), tmp_path / "two", SETTINGS, workers=2)
    assert _files(tmp_path / "one") == _files(tmp_path / "two")


def test_a_complete_store_is_left_alone(folder: Path, tmp_path: Path) -> None:
    first = prepare(wfdb_source(folder), tmp_path / "out", SETTINGS)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    again = prepare(wfdb_source(folder), tmp_path / "out", SETTINGS)
    assert (first.already_complete, again.already_complete, again.made) == (False, True, 0)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert prepare(wfdb_source(folder), tmp_path / "out", SETTINGS, overwrite=True).made == RECORDS


def test_other_settings_are_refused_by_name_and_overwritten_when_asked(folder: Path, tmp_path: Path) -> None:
    prepare(wfdb_source(folder), tmp_path / "out", SETTINGS)
    other = PrepareSettings(beats=5, beat_samples=40)
    with pytest.raises(StoreError, match=r"settings: beats 4 there, 5 now.*--overwrite"):
        prepare(wfdb_source(folder), tmp_path / "out", other)
    (folder / "r8.hea").unlink()
    with pytest.raises(StoreError, match=r"source: records 9 there, 8 now, other records or labels"):
        prepare(wfdb_source(folder), tmp_path / "out", SETTINGS)
    assert len(prepare(wfdb_source(folder), tmp_path / "out", other, overwrite=True).store) == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_an_unfinished_store_with_other_settings_is_refused_too(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        prepare(wfdb_source(folder), tmp_path / "out", SETTINGS, read=_dying_reader([], 5))
    other = PrepareSettings(beats=5, beat_samples=40)
    with pytest.raises(StoreError, match=r"unfinished store with other settings .*beats 4 there, 5 now"):
        prepare(wfdb_source(folder), tmp_path / "out", other)
    assert prepare(wfdb_source(folder), tmp_path / "out", other, overwrite=True).made == RECORDS


def test_folders_of_something_else_are_never_overwritten(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(StoreError, match="mine"):
            prepare(wfdb_source(folder), tmp_path / "mine", SETTINGS, overwrite=overwrite)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is a file"):
        prepare(wfdb_source(folder), tmp_path / "file", SETTINGS)
    (tmp_path / "new").mkdir()
    prepare(wfdb_source(folder), tmp_path / "new", SETTINGS)


def test_a_store_that_cannot_be_opened_is_left_alone_unless_asked(folder: Path, tmp_path: Path) -> None:
    prepare(wfdb_source(folder), tmp_path / "out", SETTINGS)
    (tmp_path / "out" / "valid.npy").unlink()
    there = _files(tmp_path / "out")
    with pytest.raises(StoreError, match=r"cannot be opened: .*valid\.npy is missing; .*--overwrite\. Or name another"):
        prepare(wfdb_source(folder), tmp_path / "out", SETTINGS)
    assert _files(tmp_path / "out") == there
    assert prepare(wfdb_source(folder), tmp_path / "out", SETTINGS, overwrite=True).made == RECORDS


def test_folders_beside_the_store_are_never_deleted(folder: Path, tmp_path: Path) -> None:
    for name in ("out.old", "other.partial", "web"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.txt").write_text("years of work")
    (tmp_path / "web" / "manifest.json").write_text('{"name": "web"}')
    prepare(wfdb_source(folder), tmp_path / "out", SETTINGS)
    prepare(wfdb_source(folder), tmp_path / "out", PrepareSettings(beats=5, beat_samples=40), overwrite=True)
    with pytest.raises(StoreError, match=r"other\.partial is a folder of something else.*; move it away"):
        prepare(wfdb_source(folder), tmp_path / "other", SETTINGS, overwrite=True)
    with pytest.raises(StoreError, match="web is a folder of something else"):
        prepare(wfdb_source(folder), tmp_path / "web", SETTINGS, overwrite=True)
    assert {path.parent.name for path in tmp_path.rglob("thesis.txt")} == {"out.old", "other.partial", "web"}
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_instead_of_a_header_is_flagged_and_not_waited_for(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(folder / "pipe.hea")
    store = prepare(wfdb_source(folder), tmp_path / "out", SETTINGS).store
    assert "not a regular file" in store.notes[store.names.index("pipe")] + store.flags[store.names.index("pipe")]
    assert len(store.names) == RECORDS + 1


def test_an_unexpected_error_flags_the_record_and_goes_on(folder: Path, tmp_path: Path) -> None:
    def read(path: Path) -> Record:
        if path.name == "r2":
            raise RuntimeError("the disk\ncaught fire")
        return read_wfdb(path)

    store = prepare(wfdb_source(folder), tmp_path / "out", SETTINGS, read=read).store
    assert store.flags[2] == "internal error: RuntimeError: the disk caught fire"
    assert store.flags[4].startswith("unreadable: record r4: r4.dat is truncated")
    assert [bool(flag) for flag in store.flags] == [number in (2, 4) for number in range(RECORDS)]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["flags"] == {"internal error": 1, "unreadable": 1}
    assert manifest["counts"]["flagged"] == 2
