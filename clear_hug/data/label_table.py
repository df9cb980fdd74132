"""A table of labels: one row per record, one column per class."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.source import SourceError
from clear_hug.data.store import SPLITS

__all__ = ["LabelTable", "read_label_table"]

_VALUES = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}


@dataclass(frozen=True, eq=False)
class LabelTable:
    """N records, C classes.

    Attributes:
        path: the file.
        records: N record names or paths.
        classes: C class names.
        labels: uint8 [N, C] of 0 and 1.
        split: int8 [N] (0 train, 1 validation, 2 test), or None where the table has no such column.
    """

    path: Path
    records: tuple[str, ...]
    classes: tuple[str, ...]
    labels: NDArray[np.uint8]
    split: NDArray[np.int8] | None


def read_label_table(path: str | Path) -> LabelTable:
    """Read a CSV file with the columns `record`, optionally `split` (train, val or test), and one per class (0 or 1).

    Raises:
        SourceError: the file cannot be read, columns are missing or repeated, a value is not one of those above, or a
            record has two rows; the message names the line.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            lines = [line for line in csv.reader(stream) if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"the labels {path} cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if not lines:
        raise SourceError(f"{path} is empty; its first line must name the columns: record, split, and the classes")
    header = [name.strip() for name in lines[0]]
    if len(set(header)) != len(header) or "" in header:
        raise SourceError(f"{path}: column names must be unique and not empty, got {', '.join(header)}")
    if "record" not in header:
        raise SourceError(f"{path} has no column 'record'; its columns are {', '.join(header)}")
    classes = tuple(name for name in header if name not in ("record", "split"))
    if not classes:
        raise SourceError(f"{path} has no class columns beside {', '.join(header)}")
    rows = [_row(path, number, header, line) for number, line in enumerate(lines[1:], 2)]
    if not rows:
        raise SourceError(f"{path} has column names, but not a single record")
    records = tuple(row["record"] for row in rows)
    seen: dict[str, int] = {}
    for number, record in enumerate(records, 2):
        if record in seen:
            raise SourceError(f"{path}: record {record!r} has two rows, {seen[record]} and {number}; keep one")
        seen[record] = number
    labels = np.array([[_VALUES[row[name]] for name in classes] for row in rows], dtype=np.uint8)
    split = np.array([SPLITS[row["split"]] for row in rows], dtype=np.int8) if "split" in header else None
    return LabelTable(path, records, classes, labels, split)


def _row(path: Path, number: int, header: list[str], line: list[str]) -> dict[str, str]:
    if len(line) != len(header):
        raise SourceError(f"{path}, row {number}: {len(line)} fields for {len(header)} columns")
    row = {name: value.strip() for name, value in zip(header, line, strict=True)}
    if not row["record"]:
        raise SourceError(f"{path}, row {number}: the record has no name")
    for name, value in row.items():
        if name == "split" and value not in SPLITS:
            raise SourceError(f"{path}, row {number}: split {value!r} is none of {', '.join(SPLITS)}")
        if name not in ("record", "split") and value not in _VALUES:
            raise SourceError(f"{path}, row {number}, column {name!r}: {value!r} is neither 0 nor 1")
    return row
