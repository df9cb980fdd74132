"""LUDB 1.0.1 (Kalyakulina et al. 2020, doi.org/10.1109/ACCESS.2020.3029211): 200 people, every beat marked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from clear_hug.data.record import Record, RecordError
from clear_hug.data.source import Source, SourceError, multi_hot
from clear_hug.data.splits import hashed_split
from clear_hug.data.table import read_rows
from clear_hug.data.wfdb_folder import find_named
from clear_hug.data.wfdb_header import parse_header
from clear_hug.data.wfdb_reader import read_wfdb
from clear_hug.leads import canonical_lead

__all__ = ["LUDB_TASKS", "ludb_source", "read_ludb"]

LUDB_TASKS = {
    "rhythm": "Rhythms",
    "axis": "Electric axis of the heart",
    "conduction": "Conduction abnormalities",
    "extrasystoles": "Extrasystolies",
    "hypertrophy": "Hypertrophies",
    "pacing": "Cardiac pacing",
    "ischemia": "Ischemia",
    "repolarization": "Non-specific repolarization abnormalities",
    "other": "Other states",
}
"""Task → column of `ludb.csv`. Every record has a rhythm and an axis; of the other tasks, most have none."""

COUNTS_PER_MV = 1000.0
_ALWAYS_STATED = ("rhythm", "axis")
_SHARES = (0.7, 0.15, 0.15)
_TABLE = "ludb.csv"


def ludb_source(root: str | Path) -> Source:
    """Read LUDB: the records in `data`, and one task per column of diagnoses in `ludb.csv`.

    Classes are the statements of a column, sorted, without the column's own name where all of them begin with it. A
    record without a rhythm or an axis is left out of that task; in the other tasks it counts as having none of the
    classes. The data set has no split; records are drawn by name, 70/15/15.

    Raises:
        SourceError: no record in the folder, or `ludb.csv` is missing or not as published.
    """
    root = Path(root)
    found = dict(sorted(find_named(root, r"\d{1,3}", "LUDB").items(), key=lambda item: int(item[0])))
    table = root / _TABLE
    rows: dict[str, dict[str, str]] = {}
    for row in read_rows(table, ("ID", *LUDB_TASKS.values()), "--root must be the folder of LUDB that holds it"):
        name = row["ID"].strip()
        if name in rows:
            raise SourceError(f"{table}: record {name} has two rows; keep one")
        rows[name] = row
    if not rows:
        raise SourceError(f"{table} lists no records")
    tasks = {}
    for task, column in LUDB_TASKS.items():
        stated = _without_column_name({record: _statements(row[column]) for record, row in rows.items()}, column)
        classes = sorted(set().union(*stated.values()))
        tasks[task] = multi_hot(classes, [stated.get(name) for name in found], keep_empty=task not in _ALWAYS_STATED)
    return Source(
        kind="ludb",
        root=root,
        names=tuple(found),
        paths=tuple(found.values()),
        split=hashed_split(found, _SHARES, "ludb"),
        tasks={task: labels for task, labels in tasks.items() if labels.classes},
        notes=tuple(() if name in rows else (f"no row in {_TABLE}",) for name in found),
        options={"counts_per_mv": COUNTS_PER_MV},
        read=read_ludb,
    )


def read_ludb(path: str | Path) -> Record:
    """Read one record, its voltages from the stored counts: 1000 per mV.

    The gains in LUDB's headers stretch every lead to a range of 1 mV, which falsifies all voltages and breaks
    I + III = II; the counts themselves are microvolts.

    Args:
        path: the record, with or without suffix.

    Raises:
        RecordError: as `clear_hug.data.read_wfdb`.
    """
    record = read_wfdb(path)
    try:
        header = parse_header(Path(record.source).read_text(encoding="utf-8", errors="replace"), record.name)
    except OSError as error:
        raise RecordError(f"record {record.name}: its header cannot be read ({error.strerror or error})") from error
    stored = {_lead(signal.name): signal for signal in header.signals}
    gain = np.array([stored[lead].gain for lead in record.leads])
    baseline = np.array([stored[lead].baseline for lead in record.leads])
    counts = np.rint(record.signal * gain + baseline)  # exactly what the file holds; NaN stays NaN
    return replace(record, signal=counts / COUNTS_PER_MV)


def _lead(name: str) -> str:
    try:
        return canonical_lead(name)
    except ValueError:
        return ""


def _statements(cell: str) -> set[str]:
    """The statements of one cell, one per line."""
    return {line.strip() for line in cell.splitlines() if line.strip()}


def _without_column_name(stated: dict[str, set[str]], column: str) -> dict[str, set[str]]:
    prefix = f"{column}: "
    if not all(text.startswith(prefix) for own in stated.values() for text in own):
        return stated
    return {record: {text.removeprefix(prefix) for text in own} for record, own in stated.items()}
