"""CPSC2018 (Liu et al. 2018, doi.org/10.1166/jmihi.2018.2442), as the contest gave it out or from the Challenges."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np

from clear_hug.data.cpsc2018_mat import read_cpsc2018_mat
from clear_hug.data.snomed import CPSC2018_CODES, diagnosis_codes
from clear_hug.data.source import Source, SourceError, multi_hot
from clear_hug.data.splits import known_split
from clear_hug.data.table import read_rows
from clear_hug.data.walk import walk_files
from clear_hug.data.wfdb_folder import find_named
from clear_hug.data.wfdb_reader import read_wfdb
from clear_hug.files import file_hash

__all__ = ["CPSC2018_CLASSES", "cpsc2018_source"]

CPSC2018_CLASSES = ("AFIB", "VPC", "NORM", "1AVB", "CRBBB", "STE", "PAC", "CLBBB", "STD")

_NUMBERED = dict(enumerate(("NORM", "AFIB", "1AVB", "CLBBB", "CRBBB", "PAC", "VPC", "STD", "STE"), 1))
_REFERENCE, _COLUMNS = "REFERENCE.csv", ("First_label", "Second_label", "Third_label")


def cpsc2018_source(root: str | Path) -> Source:
    """Read a folder of CPSC2018, task "cpsc2018".

    Two layouts: the contest's `A0001.mat` (MATLAB structures, no header) with `REFERENCE.csv`, or the Challenges'
    `A0001.hea` and `.mat` with SNOMED CT codes. Where there is a `REFERENCE.csv`, the labels come from it. The split is
    the published one, by record name, so that part of the data set has it too. Other data sets' records are left out.

    Raises:
        SourceError: no such record, or a `REFERENCE.csv` that is missing in the contest's layout or not as published.
    """
    root = Path(root)
    try:
        found, layout = find_named(root, r"A\d{4}", "CPSC2018"), "challenge"
    except SourceError:
        found, layout = find_named(root, r"A\d{4}", "CPSC2018", ".mat"), "contest"
    reference = _find_reference(root, found.values())
    if reference is None and layout == "contest":
        raise SourceError(
            f"{root} has CPSC2018's .mat files but no {_REFERENCE}, which holds their labels; put it there"
        )
    names = tuple(found)
    options = {"layout": layout}
    notes: tuple[tuple[str, ...], ...] = ()
    own: list[list[str] | None]
    if reference is None:
        codes = [diagnosis_codes(root / f"{path}.hea") for path in found.values()]
        own = [None if code is None else [CPSC2018_CODES[c] for c in code if c in CPSC2018_CODES] for code in codes]
    else:
        table = _read_reference(reference)
        own = [table.get(name) for name in names]
        notes = tuple(() if name in table else (f"no row in {_REFERENCE}",) for name in names)
        options["labels_sha256"] = file_hash(reference)
    return Source(
        kind="cpsc2018",
        root=root,
        names=names,
        paths=tuple(found.values()),
        split=np.array([known_split(name) for name in names], dtype=np.int8),
        tasks={"cpsc2018": multi_hot(CPSC2018_CLASSES, own)},
        notes=notes,
        options=options,
        read=read_wfdb if layout == "challenge" else read_cpsc2018_mat,
    )


def _find_reference(root: Path, paths: Iterable[str]) -> Path | None:
    """The table beside the records or in a folder above them; else any with its columns: other data sets use the name.

    Args:
        root: the folder of all.
        paths: of the records inside it.
    """
    above = {root / folder for path in paths for folder in PurePosixPath(path).parents}
    tables = [folder / _REFERENCE for folder, files in walk_files(root) if _REFERENCE in files]
    tables.sort(key=lambda path: (path.parent not in above, len(path.parts), path))
    return next((path for path in tables if path.parent in above or _has_columns(path)), None)


def _has_columns(path: Path) -> bool:
    try:
        next(read_rows(path, ("Recording", *_COLUMNS), ""), None)
    except SourceError:
        return False
    return True


def _read_reference(path: Path) -> dict[str, list[str]]:
    """Record name → its classes."""
    table: dict[str, list[str]] = {}
    remedy = f"the columns must be Recording, {', '.join(_COLUMNS)}"
    for line, row in enumerate(read_rows(path, ("Recording", *_COLUMNS), remedy), 2):
        name = row["Recording"].strip()
        if name in table:
            raise SourceError(f"{path}, row {line}: record {name!r} has two rows; keep one")
        table[name] = [_class_named(row[column], path, line) for column in _COLUMNS if row[column].strip()]
    return table


def _class_named(text: str, path: Path, line: int) -> str:
    try:
        return _NUMBERED[int(float(text))]
    except (ValueError, KeyError, OverflowError):
        raise SourceError(f"{path}, row {line}: label {text!r} is none of 1 to 9") from None
