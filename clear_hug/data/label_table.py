"""A table of labels: one row per record, one column per class."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.source import SourceError
from clear_hug.data.store import SPLITS

__all__ = ["LabelTable", "read_label_table"]

_VALUES = {
    **dict.fromkeys(("0", "0.0", "0,0", "false", "no"), 0),
    **dict.fromkeys(("1", "1.0", "1,0", "true", "yes"), 1),
}
_SPLITS = {
    **dict.fromkeys(("train", "training"), SPLITS["train"]),
    **dict.fromkeys(("val", "valid", "validation"), SPLITS["val"]),
    **dict.fromkeys(("test", "testing"), SPLITS["test"]),
}
_DELIMITERS = (",", ";", "\t")
_OWN_COLUMNS = ("record", "split")


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

    `true`, `false`, `yes`, `no`, `training`, `validation` and the like count too, in any case.
    Fields may be separated by commas, semicolons or tabs, as spreadsheets write them; the text is UTF-8 or UTF-16.

    Raises:
        SourceError: the file cannot be read, columns are missing or repeated, a value is not one of those above, or a
            record has two rows; the message names the line.
    """
    path = Path(path)
    lines = _lines(path)
    if not lines:
        raise SourceError(f"{path} is empty; its first line must name the columns: record, split, and the classes")
    header = [_column_name(name) for name in lines[0][1]]
    if len(set(header)) != len(header) or "" in header:
        raise SourceError(f"{path}: column names must be unique and not empty, got {', '.join(header)}")
    if "record" not in header:
        raise SourceError(f"{path} has no column 'record'; its columns are {', '.join(header)}")
    classes = tuple(name for name in header if name not in _OWN_COLUMNS)
    if not classes:
        raise SourceError(f"{path} has no class columns beside {', '.join(header)}")
    rows = [_row(path, number, header, line) for number, line in lines[1:]]
    if not rows:
        raise SourceError(f"{path} has column names, but not a single record")
    records = tuple(row["record"] for row in rows)
    seen: dict[str, int] = {}
    for (number, _), record in zip(lines[1:], records, strict=True):
        if record in seen:
            raise SourceError(f"{path}: record {record!r} has two rows, {seen[record]} and {number}; keep one")
        seen[record] = number
    labels = np.array([[_VALUES[row[name].casefold()] for name in classes] for row in rows], dtype=np.uint8)
    split = np.array([_SPLITS[row["split"].casefold()] for row in rows], dtype=np.int8) if "split" in header else None
    return LabelTable(path, records, classes, labels, split)


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """The fields of each line that has any, with its number."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"the labels {path} cannot be read ({error.strerror})") from error
    try:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is no text in UTF-8 ({error.reason}); save it as CSV in UTF-8") from error
    first = text.partition("\n")[0]
    named = (d for d in _DELIMITERS if "record" in {_column_name(field) for field in first.strip("\r").split(d)})
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=next(named, ","))
        return [(reader.line_num, line) for line in reader if line]
    except csv.Error as error:
        raise SourceError(f"{path} is no table ({error}); save it as CSV in UTF-8") from error


def _column_name(text: str) -> str:
    """Without blanks and quotes; `record` and `split` in any case."""
    name = text.strip().strip('"').strip()
    return name.lower() if name.lower() in _OWN_COLUMNS else name


def _row(path: Path, number: int, header: list[str], line: list[str]) -> dict[str, str]:
    if len(line) != len(header):
        raise SourceError(f"{path}, row {number}: {len(line)} fields for {len(header)} columns")
    row = {name: value.strip() for name, value in zip(header, line, strict=True)}
    if not row["record"]:
        raise SourceError(f"{path}, row {number}: the record has no name")
    for name, value in row.items():
        if name == "split" and value.casefold() not in _SPLITS:
            raise SourceError(f"{path}, row {number}: split {value!r} is none of {', '.join(SPLITS)}")
        if name not in _OWN_COLUMNS and value.casefold() not in _VALUES:
            remedy = "" if value else "; leave records without a known label out of the table"
            raise SourceError(f"{path}, row {number}, column {name!r}: {value!r} is neither 0 nor 1{remedy}")
    return row
