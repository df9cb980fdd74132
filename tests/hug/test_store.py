"""The store: what it says, how it is opened, and what happens when its files are damaged."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import synthetic_ecg as made

from clear_hug.data import BeatStore, PrepareSettings, StoreError, prepare, prepare_record, read_wfdb, wfdb_source

SETTINGS = PrepareSettings(leads=("II", "V1", "aVR"), beats=6, beat_samples=50)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folder of three records, and the store made of it."""
    base = tmp_path_factory.mktemp("store")
    for number, bpm in enumerate((50.0, 70.0, 110.0)):
        made.write_record(base / "in", f"r{number}", made.record(fs=500.0, seconds=5.0, bpm=bpm).signal)
    (base / "in" / "r1.dat").write_bytes(b"")
    (base / "labels.csv").write_text("record,split,A,B\nr0,train,1,0\nr1,val,0,1\nr2,test,1,1\n")
    prepare(wfdb_source(base / "in", base / "labels.csv"), base / "out", SETTINGS)
    return base / "in", base / "out"


@pytest.fixture
def copy(finished: tuple[Path, Path], tmp_path: Path) -> Path:
    target = tmp_path / "copy"
    target.mkdir()
    for path in finished[1].iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def test_what_a_store_says(finished: tuple[Path, Path]) -> None:
    store = BeatStore.open(finished[1])
    assert len(store) == 3
    assert store.names == ["r0", "r1", "r2"]
    assert store.leads == ("II", "V1", "aVR")
    assert store.fs == 100.0
    assert [bool(flag) for flag in store.flags] == [False, True, False]
    assert store.usable.tolist() == [True, False, True]
    assert store.notes[2] == "9 beats, first 6 kept"
    assert store.split.tolist() == [0, 1, 2]
    assert store.tasks == ["labels"]
    assert store.labels("labels").tolist() == [[1, 0], [0, 1], [1, 1]]
    assert (store.tokens.shape, store.tokens.dtype) == ((3, 3, 6, 50), np.float32)
    assert (store.valid.shape, store.seconds.shape, store.r_index.shape) == ((3, 3, 6), (3, 6), (3, 6))
    manifest = store.manifest
    assert (manifest["fs"], manifest["leads"], manifest["beats"]) == (100.0, ["II", "V1", "aVR"], 6)
    assert manifest["counts"] == {"records": 3, "flagged": 1, "noted": 1, "beats": 10, "beats_found": 13}
    assert manifest["tasks"]["labels"] == {"classes": ["A", "B"], "labelled": 3, "positives": [2, 2]}
    assert {"numpy", "scipy", "wfdb", "python"} <= set(manifest["packages"])
    assert manifest["source"]["kind"] == "wfdb"
    store.verify()


def test_records_are_found_by_name_or_row(finished: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    store = BeatStore.open(finished[1])
    assert store.row_of(store.names[1]) == store.row_of("1") == 1
    monkeypatch.setattr(store, "names", ["2", "5", "1"])
    assert store.row_of("1") == 2
    with pytest.raises(StoreError, match=r"has no record '0'; .*\(row 0 is record '2'\)"):
        store.row_of("0")


def test_rows_are_what_the_records_give(finished: tuple[Path, Path]) -> None:
    source, out = finished
    store = BeatStore.open(out)
    for number in (0, 2):
        row = prepare_record(read_wfdb(source / f"r{number}"), SETTINGS)
        np.testing.assert_array_equal(store.tokens[number], row.tokens)
        np.testing.assert_array_equal(store.valid[number], row.valid)
        np.testing.assert_array_equal(store.seconds[number], row.seconds)
        np.testing.assert_array_equal(store.r_index[number], row.r_index)
    assert not store.valid[1].any()
    assert not store.tokens[1].any()
    assert (store.r_index[1] == -1).all()


def test_a_store_is_read_only_and_opens_in_milliseconds(finished: tuple[Path, Path]) -> None:
    begin = time.perf_counter()
    store = BeatStore.open(finished[1])
    assert time.perf_counter() - begin < 0.1
    with pytest.raises(ValueError, match="read-only"):
        store.tokens[0] = 0


def test_unknown_tasks_are_refused_by_name(finished: tuple[Path, Path]) -> None:
    for ask in (BeatStore.labels, BeatStore.labelled, BeatStore.classes):
        with pytest.raises(StoreError, match="no task 'super'; its tasks are labels"):
            ask(BeatStore.open(finished[1]), "super")


def _edit(**values: object) -> Callable[[Path], None]:
    def change(store: Path) -> None:
        manifest = json.loads((store / "manifest.json").read_text())
        (store / "manifest.json").write_text(json.dumps({**manifest, **values}))

    return change


def _cut(name: str) -> Callable[[Path], None]:
    return lambda store: (store / name).write_bytes((store / name).read_bytes()[:-1]) and None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda s: (s / "manifest.json").unlink(), "no manifest.json, so it is no .finished. store"),
        (lambda s: (s / "manifest.json").write_text("{"), "cannot be read"),
        (lambda s: (s / "manifest.json").write_text("[1]"), "does not describe a store"),
        (_edit(format="other"), "does not describe a store"),
        (_edit(version=99), "format version 99, this package reads versions 1 and 2"),
        (_edit(files={}), "does not list tokens.npy"),
        (_edit(counts={}), "no manifest of a store"),
        (_edit(leads=None), "no manifest of a store"),
        (_edit(fs=0), "no manifest of a store"),
        (_edit(flags={"unreadable": "many"}), "no manifest of a store"),
        (_edit(packages={"numpy": 2}), "no manifest of a store"),
        (lambda s: (s / "tokens.npy").unlink(), "tokens.npy is missing"),
        (lambda s: (s / "records.csv").unlink(), "records.csv is missing"),
        (lambda s: (s / "labels_0.npy").unlink(), "labels_0.npy is missing"),
        (_cut("tokens.npy"), "instead of"),
        (_cut("valid.npy"), "instead of"),
        (_cut("records.csv"), "instead of"),
    ],
)
def test_damaged_stores_do_not_open(copy: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(copy)
    with pytest.raises(StoreError, match=message):
        BeatStore.open(copy)


def test_no_store_at_all(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store at"):
        BeatStore.open(tmp_path / "nowhere")


def test_changed_contents_are_found_by_verify(copy: Path) -> None:
    for name in ("tokens.npy", "labels_0.npy", "records.csv"):
        content = (copy / name).read_bytes()
        (copy / name).write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
        with pytest.raises(StoreError, match=f"{name} was changed or damaged"):
            BeatStore.open(copy).verify()
        (copy / name).write_bytes(content)
    BeatStore.open(copy).verify()


def test_an_array_of_another_shape_is_refused(copy: Path) -> None:
    np.save(copy / "split.npy", np.zeros((1, 3), np.int8))
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"]["split.npy"]["bytes"] = (copy / "split.npy").stat().st_size
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match=r"holds int8 \(1, 3\) instead of int8 \(3,\)"):
        _ = BeatStore.open(copy).split


def test_pickles_are_never_loaded(copy: Path) -> None:
    np.save(copy / "split.npy", np.array([{"a": 1}, None, None], dtype=object), allow_pickle=True)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"]["split.npy"]["bytes"] = (copy / "split.npy").stat().st_size
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match="cannot be read"):
        _ = BeatStore.open(copy).split


def test_findings_are_a_column_which_older_stores_do_without(tmp_path: Path) -> None:
    signal = made.record(fs=250.0).signal
    signal[:, 6] = 0.0
    made.write_record(tmp_path / "in", "a", signal, fs=250.0)
    made.write_record(tmp_path / "in", "b", made.record(fs=250.0).signal, fs=250.0)
    store = prepare(wfdb_source(tmp_path / "in"), tmp_path / "out").store
    table = tmp_path / "out" / "records.csv"
    with table.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["quality"] for row in rows] == store.quality == ["flat:V1", ""]
    with table.open("w", newline="", encoding="utf-8") as stream:
        older = csv.DictWriter(stream, list(rows[0])[:-1], extrasaction="ignore", lineterminator="\n")
        older.writeheader()
        older.writerows(rows)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    manifest["files"]["records.csv"]["bytes"] = table.stat().st_size
    (tmp_path / "out" / "manifest.json").write_text(json.dumps(manifest))
    assert BeatStore.open(tmp_path / "out").quality == ["flat:V1", ""]
    assert BeatStore.open(tmp_path / "out").names == ["a", "b"]
