"""PTB-XL's recordings as the Challenges distribute them (`HR00001.hea` and `.mat`), with PTB-XL's own labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clear_hug.data.ptbxl import ptbxl_source
from clear_hug.data.source import Source, TaskLabels
from clear_hug.data.splits import known_split, same_recording
from clear_hug.data.wfdb_folder import find_named

__all__ = ["ptbxl_challenge_source"]


def ptbxl_challenge_source(root: str | Path, tables: str | Path) -> Source:
    """Read Challenge records `HR…`, which are PTB-XL's by `ecg_id`, with labels, folds and remarks of its tables.

    Args:
        root: the folder with the records; its subfolders are searched.
        tables: the folder with `ptbxl_database.csv` and `scp_statements.csv`, which the Challenges leave out.

    Raises:
        SourceError: no such record, or tables that are missing or not as published.
    """
    found = find_named(root, r"HR\d{5}", "PTB-XL in the Challenges")
    own = ptbxl_source(tables, option="--tables")
    row_of = {same_recording(name): row for row, name in enumerate(own.names)}
    rows = np.array([row_of.get(same_recording(name), -1) for name in found])
    there = rows >= 0
    split = np.array([known_split(name) for name in found], dtype=np.int8)
    split[there] = own.split[rows[there]]
    tasks = {}
    for task, of in own.tasks.items():
        labels = np.where(there[:, None], of.labels[rows], 0).astype(np.uint8)
        tasks[task] = TaskLabels(of.classes, labels, there & of.labelled[rows])
    return Source(
        kind="ptbxl",
        root=Path(root),
        names=tuple(found),
        paths=tuple(found.values()),
        split=split,
        tasks=tasks,
        notes=tuple(own.notes[row] if row >= 0 else ("no row in ptbxl_database.csv",) for row in rows),
        options={"layout": "challenge"},
    )
