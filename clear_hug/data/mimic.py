"""MIMIC-IV-ECG 1.0 (Gow et al. 2023, doi.org/10.13026/4nqg-sb35): 800 035 records without labels, for pre-training."""

from __future__ import annotations

import re
from array import array
from pathlib import Path

from clear_hug.data.source import Source, SourceError
from clear_hug.data.splits import hashed_split
from clear_hug.data.table import inside, read_rows

__all__ = ["mimic_source"]

_TABLE = "record_list.csv"
_COLUMNS = ("subject_id", "study_id", "path")
_SHARES = (0.9, 0.1, 0.0)
_NUMBER = re.compile(r"\d{1,18}")


def mimic_source(root: str | Path, present_only: bool = False) -> Source:
    """Read `record_list.csv`: records are named after their study, in the table's order.

    Nine patients of ten are for training, one for validation, drawn by `subject_id`: all records of a patient are on
    one side. (The published preparation drew records, so that most validation patients were trained on.)

    The files' leads come in the order I II III aVR aVF aVL V1 …, and are told apart by name.

    Args:
        root: the folder with `record_list.csv` and `files`.
        present_only: leave out records whose header is not there, for part of a download; else they keep a flagged row.

    Raises:
        SourceError: the table is missing or not as published, or no record is there.
    """
    root = Path(root)
    table = root / _TABLE
    names, paths, patients = [], [], array("q")
    rows = read_rows(table, _COLUMNS, "--root must be the folder of MIMIC-IV-ECG that holds it")
    for line, row in enumerate(rows, 2):  # of which there are 800 035, so nothing more is kept of them
        path = inside(row["path"], table, line)
        if present_only and not (root / f"{path}.hea").is_file():
            continue
        names.append(row["study_id"].strip())
        paths.append(path)
        patients.append(_patient(row["subject_id"], table, line))
    if not names:
        raise SourceError(f"{table} lists no record" + (" that is there" if present_only else ""))
    return Source(
        kind="mimic-iv-ecg",
        root=root,
        names=tuple(names),
        paths=tuple(paths),
        split=hashed_split(map(str, patients), _SHARES, "mimic-iv-ecg"),
        options={"split_by": "subject_id"},
    )


def _patient(text: str, table: Path, line: int) -> int:
    if _NUMBER.fullmatch(text.strip()) is None:
        raise SourceError(f"{table}, row {line}: subject_id {text[:40]!r} is no number; fetch the table again")
    return int(text)
