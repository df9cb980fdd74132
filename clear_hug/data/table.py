"""Tables that data sets bring along: CSV with the columns that are needed, and paths that stay inside the folder."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from clear_hug.data.source import SourceError

__all__ = ["inside", "read_rows"]


def read_rows(
    path: Path, columns: Sequence[str], remedy: str, optional: Sequence[str] = ()
) -> Iterator[dict[str, str]]:
    """The rows of a CSV file one by one, only the named columns.

    Args:
        path: the file.
        columns: needed in every row.
        remedy: what to do when it cannot be read.
        optional: columns that may be missing, and are then empty.

    Raises:
        SourceError: on the way: the file cannot be read, lacks a column, or has a row with more or fewer fields than
            columns, in which values would stand under the wrong names.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            header = next(reader, [])
            missing = [name for name in columns if header.count(name) != 1]
            if missing:
                many = "several columns" if missing[0] in header else "no column"
                raise SourceError(f"{path} has {many} {missing[0]!r}; {remedy}")
            place = {name: header.index(name) for name in (*columns, *optional) if name in header}
            absent = {name: "" for name in optional if name not in header}
            for row in filter(None, reader):
                if len(row) != len(header):
                    many = "fewer" if len(row) < len(header) else "more"
                    raise SourceError(
                        f"{path}, row {reader.line_num}: {many} fields than columns; fetch the table again"
                    )
                yield {name: row[at] for name, at in place.items()} | absent
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"{path} cannot be read ({reason}); {remedy}") from error


def inside(text: str, table: Path, line: int) -> str:
    """A record's path from a table, refused when it leaves the data set's folder."""
    path = text.strip()
    if not path or path.startswith("/") or path.endswith("/") or ":" in path or "\\" in path or ".." in path.split("/"):
        raise SourceError(f"{table}, row {line}: {text[:80]!r} is no path inside the folder")
    return path
