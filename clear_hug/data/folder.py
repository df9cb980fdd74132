"""Your own recordings: a folder of files in any of the formats known, with or without a table of labels."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from clear_hug.data.formats import ECG_SUFFIXES, SignalFacts, holds_ecg, read_ecg
from clear_hug.data.label_table import LabelTable, read_label_table
from clear_hug.data.source import Source, SourceError, TaskLabels, seeded_split
from clear_hug.data.splits import sides_of_recordings
from clear_hug.data.walk import walk_files
from clear_hug.data.wfdb_folder import TASK
from clear_hug.files import file_hash

__all__ = ["folder_source"]

_PARTS_OF_WFDB = (".dat", ".mat")
_NOT_LISTED = (".txt",)
"""Read when named, but not looked for: a text file in a folder is a note more often than a table of samples."""


def folder_source(
    root: str | Path, labels: str | Path | None = None, seed: int = 0, facts: SignalFacts | None = None
) -> Source:
    """List the recordings of a folder and its subfolders, whatever their formats.

    Every file whose suffix is that of a recording keeps a row, and so do files without a known suffix that begin as
    DICOM, SCP-ECG, EDF or NumPy files do; what cannot be read is flagged. Hidden files, side files (`.json`), the
    table of labels and stores inside the folder are passed over.

    Args:
        root: the folder.
        labels: a table for `read_label_table`, in which a record goes by its file name or path, with or without
            suffix; None for a store without tasks.
        seed: of the 70/15/15 split, where the table has no column `split`. Files that share a name share their split:
            they may be one recording in two formats.
        facts: rate, leads, unit and gain of tables and arrays that do not say them.

    Returns:
        The source. A record is named after its file, without suffix, or after its path where several share that name.

    Raises:
        SourceError: no folder, no recording in it, a table that is not as described, names a record that is not there,
            or one of several that share a name.
    """
    root = Path(root)
    if not root.is_dir():
        raise SourceError(f"there is no folder {root}")
    paths = _found(root, Path(labels) if labels is not None else None)
    if not paths:
        raise SourceError(
            f"{root} holds no recording (files ending in {' '.join(ECG_SUFFIXES)}), nor do its subfolders"
        )
    names = _names(paths)
    facts = facts or SignalFacts()
    options: dict[str, Any] = {"seed": seed}
    said = {"fs": facts.fs, "leads": facts.leads, "units": facts.units, "gain": facts.gain}
    options |= {
        f"file_{key}": list(value) if isinstance(value, tuple) else value for key, value in said.items() if value
    }
    read = partial(read_ecg, facts=facts)
    stems = (PurePosixPath(_without_suffix(path)).name for path in paths)
    split = sides_of_recordings(stems, seeded_split(len(paths), seed))
    if labels is None:
        return Source("folder", root, names, tuple(paths), split, options=options, read=read)
    table = read_label_table(labels)
    rows = _rows(table, paths)
    options |= {"labels": Path(labels).name, "labels_sha256": file_hash(labels)}
    if table.split is not None:
        split = np.full(len(names), -1, dtype=np.int8)
        split[rows] = table.split
    labelled = np.isin(np.arange(len(names)), rows)
    values = np.zeros((len(names), len(table.classes)), dtype=np.uint8)
    values[rows] = table.labels
    tasks = {TASK: TaskLabels(table.classes, values, labelled)}
    notes = tuple(() if known else (f"no row in {Path(labels).name}",) for known in labelled)
    return Source("folder", root, names, tuple(paths), split, tasks, notes, options, read)


def _found(root: Path, labels: Path | None) -> list[str]:
    """Paths inside the folder of all files that are recordings, sorted."""
    table = labels.resolve() if labels is not None else None
    found: list[str] = []
    for folder, files in walk_files(root, _is_store):
        headers = {name[:-4] for name in files if name.lower().endswith(".hea")}
        for name in files:
            path = folder / name
            part = path.suffix.lower() in _PARTS_OF_WFDB and path.stem in headers
            if name.startswith(".") or part or path.resolve() == table or not _is_recording(path):
                continue
            found.append(path.relative_to(root).as_posix())
    return sorted(found)


def _is_store(folder: Path) -> bool:
    return folder.name.startswith(".") or folder.name.endswith(".partial") or (folder / "manifest.json").is_file()


def _is_recording(path: Path) -> bool:
    suffix = path.suffix.lower()
    return (suffix in ECG_SUFFIXES and suffix not in _NOT_LISTED) or holds_ecg(path)


def _without_suffix(path: str) -> str:
    pure = PurePosixPath(path)
    return str(pure.with_suffix("")) if pure.suffix.lower() in ECG_SUFFIXES else path


def _names(paths: list[str]) -> tuple[str, ...]:
    """Shortest of: file name without suffix, path without suffix, path, that no other file has too."""
    bare = [_without_suffix(path) for path in paths]
    stems, whole = Counter(PurePosixPath(path).name for path in bare), Counter(bare)
    return tuple(
        PurePosixPath(short).name if stems[PurePosixPath(short).name] == 1 else short if whole[short] == 1 else path
        for path, short in zip(paths, bare, strict=True)
    )


def _rows(table: LabelTable, paths: list[str]) -> list[int]:
    """Row of each record of the table."""
    spelled: dict[str, set[int]] = defaultdict(set)
    for row, path in enumerate(paths):
        bare = _without_suffix(path)
        for spelling in (path, bare, PurePosixPath(path).name, PurePosixPath(bare).name):
            spelled[spelling].add(row)
    taken: dict[int, str] = {}
    for record in table.records:
        rows = spelled.get(record, set())
        if len(rows) != 1:
            problem = (
                f"stands for {len(rows)} files; write the whole path"
                if rows
                else "is no file in the folder; remove its row"
            )
            raise SourceError(f"{table.path}: record {record!r} {problem}")
        (row,) = rows
        if row in taken:
            raise SourceError(f"{table.path}: records {taken[row]!r} and {record!r} are the same file; keep one")
        taken[row] = record
    return list(taken)
