"""MIMIC-IV-ECG 1.0 (Gow et al. 2023, doi.org/10.13026/4nqg-sb35): 800 035 records without labels, for pre-training."""

from __future__ import annotations

from pathlib import Path

from clear_hug.data.source import Source, SourceError
from clear_hug.data.splits import hashed_split
from clear_hug.data.table import inside, read_rows

__all__ = ["mimic_source"]

_TABLE = "record_list.csv"
_COLUMNS = ("subject_id", "study_id", "path")
_SHARES = (0.9, 0.1, 0.0)


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
    rows = read_rows(root / _TABLE, _COLUMNS, "--root must be the folder of MIMIC-IV-ECG that holds it")
    paths = [inside(row["path"], root / _TABLE, line) for line, row in enumerate(rows, 2)]
    if present_only:
        there = [(root / f"{path}.hea").is_file() for path in paths]
        rows = [row for row, yes in zip(rows, there, strict=True) if yes]
        paths = [path for path, yes in zip(paths, there, strict=True) if yes]
    if not rows:
        raise SourceError(f"{root / _TABLE} lists no record" + (" that is there" if present_only else ""))
    return Source(
        kind="mimic-iv-ecg",
        root=root,
        names=tuple(row["study_id"].strip() for row in rows),
        paths=tuple(paths),
        split=hashed_split((row["subject_id"].strip() for row in rows), _SHARES, "mimic-iv-ecg"),
        options={"split_by": "subject_id"},
    )
