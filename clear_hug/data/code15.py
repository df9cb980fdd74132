"""CODE-15 % (Ribeiro et al. 2021, doi.org/10.5281/zenodo.4916206): as distributed (HDF5), or as WFDB records."""

from __future__ import annotations

import re
from pathlib import Path

from clear_hug.data.code15_hdf5 import list_exams, read_code15_hdf5
from clear_hug.data.source import Source, SourceError, TaskLabels, multi_hot
from clear_hug.data.splits import hashed_split
from clear_hug.data.table import read_rows
from clear_hug.data.walk import walk_files
from clear_hug.data.wfdb_folder import find_named
from clear_hug.data.wfdb_reader import read_wfdb
from clear_hug.files import check_regular

__all__ = ["CODE15_CLASSES", "code15_source"]

CODE15_CLASSES = ("1dAVb", "RBBB", "LBBB", "SB", "ST", "AF")

_TABLE = "exams.csv"
_SHARES = (0.7, 0.15, 0.15)
_VALUES = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
_IN_HEADER = re.compile(r"^#\s*(Patient ID|Chagas label)\s*:\s*(\S+)\s*$", re.MULTILINE | re.IGNORECASE)
_PART = re.compile(r"exams_part.*\.hdf5")
_MAX_HEADER_BYTES = 1 << 20


def code15_source(root: str | Path) -> Source:
    """Read CODE-15 %, task "code15" from `exams.csv`, and task "chagas" from headers that carry that label.

    Two layouts: `exams_part0.hdf5` … with `exams.csv`, as distributed, or WFDB records named after the exam, as the
    Challenge 2025 makes them. Without `exams.csv`, WFDB records have no task "code15". The data set has no split;
    patients are drawn, 70/15/15: all exams of a patient are on one side.

    Raises:
        SourceError: no exam in the folder, a table that is not as published, or HDF5 files without it.
    """
    root = Path(root)
    if not root.is_dir():
        raise SourceError(f"there is no folder {root}")
    files = (folder / name for folder, names in walk_files(root) for name in names if _PART.fullmatch(name))
    parts = sorted(files, key=lambda path: (len(path.name), path.name))
    table = root / _TABLE
    exams = _read_exams(table) if table.is_file() or parts else {}
    if parts:
        paths = {exam: f"{part.relative_to(root).as_posix()}/{exam}" for part in parts for exam in list_exams(part)}
        count = sum(len(list_exams(part)) for part in parts)
        if count != len(paths):
            raise SourceError(f"{root}: {count - len(paths)} exams are in two of the HDF5 files; keep one file of each")
        said: dict[str, dict[str, str]] = {}
    else:
        paths = dict(sorted(find_named(root, r"\d{1,9}", "CODE-15 %").items(), key=lambda item: int(item[0])))
        said = {exam: _header_labels(root / f"{path}.hea") for exam, path in paths.items()}
    tasks: dict[str, TaskLabels] = {}
    if exams:
        stated = [exams[exam][1] if exam in exams else None for exam in paths]
        tasks["code15"] = multi_hot(CODE15_CLASSES, stated, keep_empty=True)
    chagas = [said.get(exam, {}).get("chagas label", "").casefold() for exam in paths]
    if any(chagas):
        known = [None if text not in _VALUES else ["chagas"] if _VALUES[text] else [] for text in chagas]
        tasks["chagas"] = multi_hot(("chagas",), known, keep_empty=True)
    patients = [exams[exam][0] if exam in exams else said.get(exam, {}).get("patient id", exam) for exam in paths]
    missing = [bool(exams) and exam not in exams for exam in paths]
    return Source(
        kind="code15",
        root=root,
        names=tuple(paths),
        paths=tuple(paths.values()),
        split=hashed_split(patients, _SHARES, "code15"),
        tasks=tasks,
        notes=tuple((f"no row in {_TABLE}",) if gone else () for gone in missing),
        options={"layout": "hdf5" if parts else "wfdb", "split_by": "patient_id"},
        read=read_code15_hdf5 if parts else read_wfdb,
    )


def _read_exams(path: Path) -> dict[str, tuple[str, list[str]]]:
    """Exam → patient, and the classes that it has."""
    rows = read_rows(path, ("exam_id", "patient_id", *CODE15_CLASSES), "--root must be the folder that holds it")
    exams: dict[str, tuple[str, list[str]]] = {}
    for line, row in enumerate(rows, 2):
        bad = next((name for name in CODE15_CLASSES if row[name].strip().casefold() not in _VALUES), None)
        if bad is not None:
            raise SourceError(f"{path}, row {line}, column {bad!r}: {row[bad]!r} is neither True nor False")
        exam = row["exam_id"].strip()
        if exam in exams:
            raise SourceError(f"{path}, row {line}: exam {exam} has two rows; keep one")
        has = [name for name in CODE15_CLASSES if _VALUES[row[name].strip().casefold()]]
        exams[exam] = (row["patient_id"].strip(), has)
    return exams


def _header_labels(header: Path) -> dict[str, str]:
    """Patient and Chagas label from the comments of a header."""
    try:
        check_regular(header)
        with header.open("rb") as stream:
            text = stream.read(_MAX_HEADER_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return {}
    return {key.casefold(): value for key, value in _IN_HEADER.findall(text)}
