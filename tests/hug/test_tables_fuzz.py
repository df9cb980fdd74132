"""Damaged tables of data sets: a source whose parts agree, or a `SourceError`; nothing else."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import synthetic_ecg as made
from damage import Changes, damage, edits, examples
from dataset_files import write_code15, write_contest_cpsc2018, write_mimic
from hypothesis import given
from ptbxl_files import write_ptbxl

from clear_hug.data import (
    Source,
    SourceError,
    code15_source,
    cpsc2018_source,
    ludb_source,
    mimic_source,
    ptbxl_source,
    wfdb_source,
)
from clear_hug.data.ludb import LUDB_TASKS


class Case(NamedTuple):
    """A table, the reader of its data set, and the record that a row is about."""

    table: Path
    read: Callable[[], Source]
    record_of: Callable[[str], str] = str


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """A sound table of each kind, and the reader of its data set."""
    folder = tmp_path_factory.mktemp("sets")
    ptbxl = write_ptbxl(folder / "ptbxl", [{"scp_codes": "{'NORM': 1}"}, {"strat_fold": "10"}], signals=False)
    mimic = write_mimic(folder / "mimic", [(10000001, 5), (10000002, 6)])
    cpsc = write_contest_cpsc2018(folder / "cpsc", {"A0001": (1,), "A0002": (2, 3)})
    for name in ("a", "b"):
        made.write_record(folder / "own", name, made.record(fs=250.0, seconds=2.0).signal, fs=250.0)
    labels, records = folder / "labels.csv", folder / "own" / "RECORDS"
    labels.write_text("record,split,AF,SR\na,train,1,0\nb,val,0,1\n")
    records.write_text("a\nb\n")
    code15 = write_code15(folder / "code15", [(11, 7, ("SB",)), (22, 8, ()), (33, 7, ("AF", "RBBB"))])
    ludb = folder / "ludb"
    for name in ("1", "2", "3"):
        made.write_record(ludb / "data", name, made.record(fs=250.0, seconds=2.0).signal, fs=250.0)
    with (ludb / "ludb.csv").open("w", newline="") as stream:
        rows = [("1", "Sinus rhythm", "normal"), ("2", "AF\nFlutter", ""), ("3", "Sinus rhythm", "vertical")]
        csv.writer(stream).writerows([("ID", *LUDB_TASKS.values()), *(row + ("",) * 7 for row in rows)])
    return {
        "ptbxl_database": Case(ptbxl / "ptbxl_database.csv", lambda: ptbxl_source(ptbxl), lambda key: f"{key:0>5}_lr"),
        "scp_statements": Case(ptbxl / "scp_statements.csv", lambda: ptbxl_source(ptbxl)),
        "record_list": Case(mimic / "record_list.csv", lambda: mimic_source(mimic)),
        "REFERENCE": Case(next(cpsc.rglob("REFERENCE.csv")), lambda: cpsc2018_source(cpsc)),
        "exams": Case(code15 / "exams.csv", lambda: code15_source(code15)),
        "ludb": Case(ludb / "ludb.csv", lambda: ludb_source(ludb)),
        "labels": Case(labels, lambda: wfdb_source(folder / "own", labels)),
        "RECORDS": Case(records, lambda: wfdb_source(folder / "own")),
    }


def _labels(source: Source) -> dict[str, dict[str, frozenset[str] | None]]:
    """Record → task → its classes; None where nothing is known."""
    return {
        name: {
            task: frozenset(of.classes[column] for column in of.labels[row].nonzero()[0]) if of.labelled[row] else None
            for task, of in source.tasks.items()
        }
        for row, name in enumerate(source.names)
    }


TABLES = ["ptbxl_database", "scp_statements", "record_list", "REFERENCE", "exams", "ludb", "labels", "RECORDS"]


@pytest.mark.parametrize("name", TABLES)
@examples(60, seconds=5)
@given(changes=edits)
def test_damaged_tables(cases: dict[str, Case], name: str, changes: Changes) -> None:
    table, read, _ = cases[name]
    sound = table.read_bytes()
    table.write_bytes(damage(sound, changes))
    source = None
    try:
        with contextlib.suppress(SourceError):
            source = read()
    finally:
        table.write_bytes(sound)
    if source is not None:
        rows = len(source.names)
        assert len(source.paths) == len(source.split) == len(source.notes) == rows
        assert not any(path.startswith("/") or ".." in path.split("/") for path in source.paths)
        for task in source.tasks.values():
            assert task.labels.shape == (rows, len(task.classes))
            assert task.labelled.shape == (rows,)


LABEL_TABLES = ["ptbxl_database", "REFERENCE", "exams", "labels"]


@pytest.mark.parametrize("name", LABEL_TABLES)
@examples(60, seconds=5)
@given(changes=edits)
def test_whole_rows_keep_their_labels(cases: dict[str, Case], name: str, changes: Changes) -> None:
    """Whatever happens to other rows: a record whose row is unharmed has the labels of that row, or none."""
    table, read, record_of = cases[name]
    sound = table.read_bytes()
    original = _labels(read())
    header, *rows = sound.splitlines()
    table.write_bytes(damage(sound, changes))
    left = table.read_bytes().splitlines()
    found = {}
    try:
        with contextlib.suppress(SourceError):
            found = _labels(read())
    finally:
        table.write_bytes(sound)
    if left[:1] != [header]:
        return
    for row in rows:
        record = record_of(row.split(b",")[0].decode())
        for task, classes in found.get(record, {}).items() if row in left else ():
            assert classes in (None, original[record][task])
