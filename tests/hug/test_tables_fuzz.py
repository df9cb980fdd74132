"""Damaged tables of data sets: a source whose parts agree, or a `SourceError`; nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
import synthetic_ecg as made
from damage import damage, edits
from dataset_files import write_contest_cpsc2018, write_mimic
from hypothesis import HealthCheck, given, settings
from ptbxl_files import write_ptbxl

from clear_hug.data import Source, SourceError, cpsc2018_source, mimic_source, ptbxl_source, wfdb_source

Case = tuple[Path, Callable[[], Source]]


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
    return {
        "ptbxl_database": (ptbxl / "ptbxl_database.csv", lambda: ptbxl_source(ptbxl)),
        "scp_statements": (ptbxl / "scp_statements.csv", lambda: ptbxl_source(ptbxl)),
        "record_list": (mimic / "record_list.csv", lambda: mimic_source(mimic)),
        "REFERENCE": (next(cpsc.rglob("REFERENCE.csv")), lambda: cpsc2018_source(cpsc)),
        "labels": (labels, lambda: wfdb_source(folder / "own", labels)),
        "RECORDS": (records, lambda: wfdb_source(folder / "own")),
    }


@pytest.mark.parametrize("name", ["ptbxl_database", "scp_statements", "record_list", "REFERENCE", "labels", "RECORDS"])
@settings(max_examples=40, deadline=5_000, derandomize=True, suppress_health_check=list(HealthCheck))
@given(changes=edits)
def test_damaged_tables(cases: dict[str, Case], name: str, changes: list[tuple[float, tuple[str, bytes]]]) -> None:
    table, read = cases[name]
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
