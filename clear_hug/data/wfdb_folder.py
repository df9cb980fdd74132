"""Any folder of WFDB records, with or without a table of labels."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from clear_hug.data.label_table import LabelTable, read_label_table
from clear_hug.data.source import Source, SourceError, TaskLabels, seeded_split
from clear_hug.data.splits import sides_of_recordings
from clear_hug.data.walk import walk_files
from clear_hug.files import file_hash

__all__ = ["TASK", "find_named", "find_records", "wfdb_source"]

TASK = "labels"
"""Name of the task that a table of labels makes."""


def wfdb_source(root: str | Path, labels: str | Path | None = None, seed: int = 0) -> Source:
    """List the WFDB records of a folder and its subfolders.

    Args:
        root: the folder; when it holds a `RECORDS` file, that says which records there are and in which order.
        labels: a table for `read_label_table`; without it, the store has no tasks.
        seed: of the 70/15/15 split, where the table has no column `split`.

    Returns:
        The source. A record is named after its file, or after its path inside `root` where two files share a name.

    Raises:
        SourceError: no folder, no record in it, a table that is not as described, names a record that is not there,
            or names one of several that share a name.
    """
    root = Path(root)
    if not root.is_dir():
        raise SourceError(f"there is no folder {root}")
    paths = _listed(root) if (root / "RECORDS").is_file() else find_records(root)
    if not paths:
        raise SourceError(f"{root} holds no WFDB records (files ending in .hea), nor do its subfolders")
    shared = Counter(PurePosixPath(path).name for path in paths)
    names = tuple(path if shared[PurePosixPath(path).name] > 1 else PurePosixPath(path).name for path in paths)
    options: dict[str, Any] = {"seed": seed}
    split = sides_of_recordings((PurePosixPath(path).name for path in paths), seeded_split(len(names), seed))
    if labels is None:
        return Source("wfdb", root, names, tuple(paths), split, options=options)
    table = read_label_table(labels)
    place = _places(table, names, paths, shared)
    options |= {"labels": Path(labels).name, "labels_sha256": file_hash(labels)}
    if table.split is not None:
        split = np.full(len(names), -1, dtype=np.int8)
        split[place] = table.split
    values = np.zeros((len(names), len(table.classes)), dtype=np.uint8)
    values[place] = table.labels
    labelled = np.zeros(len(names), dtype=bool)
    labelled[place] = True
    notes = tuple(() if known else (f"no row in {Path(labels).name}",) for known in labelled)
    tasks = {TASK: TaskLabels(table.classes, values, labelled)}
    return Source("wfdb", root, names, tuple(paths), split, tasks, notes, options)


def _places(table: LabelTable, names: tuple[str, ...], paths: list[str], shared: Counter[str]) -> list[int]:
    """Row number of each record of the table; a record may be called by its name or by its path."""
    place = {name: index for index, name in enumerate(names)} | {path: index for index, path in enumerate(paths)}
    rows: list[int] = []
    for record in table.records:
        if record not in place:
            count = shared.get(record, 0)
            problem = (
                f"is the name of {count} files; write its path"
                if count > 1
                else "has no .hea file in the folder; remove its row"
            )
            raise SourceError(f"{table.path}: record {record!r} {problem}")
        rows.append(place[record])
    twice = [paths[index] for index, count in Counter(rows).items() if count > 1]
    if twice:
        raise SourceError(f"{table.path}: record {twice[0]!r} has several rows; keep one")
    return rows


def find_records(root: Path, suffix: str = ".hea") -> list[str]:
    """Every header (or other file of that suffix) below the folder: paths inside it, sorted, without suffix."""
    found = []
    for folder, files in walk_files(root):
        inside = folder.relative_to(root)
        found += [
            (inside / name[: -len(suffix)]).as_posix() for name in files if name.endswith(suffix) and name != suffix
        ]
    return sorted(found)


def find_named(root: str | Path, pattern: str, what: str, suffix: str = ".hea") -> dict[str, str]:
    """The records of one data set in a folder that may hold others too.

    Args:
        root: the folder; its subfolders are searched.
        pattern: of the record names.
        what: to call the data set in errors.
        suffix: of the files that stand for a record.

    Returns:
        Record name → path inside the folder, without suffix, in order of names.

    Raises:
        SourceError: no folder, none of these records in it, or one of them twice.
    """
    root = Path(root)
    if not root.is_dir():
        raise SourceError(f"there is no folder {root}")
    found: dict[str, str] = {}
    for path in find_records(root, suffix):
        name = PurePosixPath(path).name
        if re.fullmatch(pattern, name):
            if name in found:
                raise SourceError(f"{root} holds record {name} twice, as {found[name]} and {path}; keep one")
            found[name] = path
    if not found:
        raise SourceError(f"{root} holds no record of {what} (files named {pattern}{suffix}), nor do its subfolders")
    return dict(sorted(found.items()))


def _listed(root: Path) -> list[str]:
    """The records of a RECORDS file; a line that ends in a slash stands for a folder and all below it."""
    paths: list[str] = []
    for line in (root / "RECORDS").read_text(encoding="utf-8", errors="replace").splitlines():
        text = line.strip()
        if not text:
            continue
        path = PurePosixPath(text)
        if path.is_absolute() or ".." in path.parts or ":" in text or "\\" in text:
            raise SourceError(f"{root / 'RECORDS'} names {text[:80]!r}, which is no path inside the folder")
        if text.endswith("/"):
            paths += [str(path / below) for below in find_records(root / path)]
        else:
            paths.append(str(path.with_suffix("") if path.suffix == ".hea" else path))
    twice = [path for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise SourceError(f"{root / 'RECORDS'} names {twice[0]!r} twice; keep one")
    return paths
