"""Tables that data sets bring along: CSV with the columns that are needed, and paths that stay inside the folder."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from clear_hug.data.source import SourceError

__all__ = ["inside", "read_rows"]


def read_rows(path: Path, columns: Sequence[str], remedy: str) -> list[dict[str, str]]:
    """All rows of a CSV file, only the named columns, which must be there.

    Args:
        path: the file.
        columns: needed in every row.
        remedy: what to do when it cannot be read.

    Raises:
        SourceError: the file cannot be read, lacks a column, or has a row with fewer fields than columns.
    """
    rows = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise SourceError(f"{path} has no column {missing[0]!r}; {remedy}")
            for line, row in enumerate(reader, 2):
                own = {name: row[name] for name in columns}
                if None in own.values():
                    raise SourceError(f"{path}, row {line}: fewer fields than columns; fetch the table again")
                rows.append(own)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"{path} cannot be read ({reason}); {remedy}") from error
    return rows


def inside(text: str, table: Path, line: int) -> str:
    """A record's path from a table, refused when it leaves the data set's folder."""
    path = text.strip()
    if not path or path.startswith("/") or path.endswith("/") or ":" in path or "\\" in path or ".." in path.split("/"):
        raise SourceError(f"{table}, row {line}: {text[:80]!r} is no path inside the folder")
    return path
