"""PTB-XL (Wagner et al. 2020, doi.org/10.1038/s41597-020-0495-6) as distributed: tables, tasks and folds."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np

from clear_hug.data.source import Source, SourceError, TaskLabels, multi_hot
from clear_hug.data.table import read_rows
from clear_hug.data.walk import walk_files

__all__ = ["PTBXL_TASKS", "ptbxl_source"]

PTBXL_TASKS = ("super", "sub", "form", "rhythm", "all", "diagnostic")
"""super and sub: classes and subclasses of the diagnostic statements; form, rhythm, diagnostic: the statements of that
kind; all: every statement."""

_FILE_COLUMNS = {100: "filename_lr", 500: "filename_hr"}
_PUBLISHED_NAME = re.compile(r"(\d{5})_[lh]r")  # 00001_lr is the recording of ecg_id 1
_SIGNAL_REMARKS = ("baseline_drift", "static_noise", "burst_noise", "electrodes_problems", "extra_beats", "pacemaker")
_SPLIT_OF_FOLD = {**dict.fromkeys(range(1, 9), 0), 9: 1, 10: 2}
_DATABASE, _STATEMENTS = "ptbxl_database.csv", "scp_statements.csv"
_STATEMENT_COLUMNS = ("", "diagnostic", "form", "rhythm")  # the first, without a name, has the codes
_CLASS_COLUMNS = ("diagnostic_class", "diagnostic_subclass")


def ptbxl_source(root: str | Path, rate: int = 100, option: str = "--root") -> Source:
    """Read the tables of PTB-XL.

    A record belongs to a class when one of its statements does, whatever the likelihood noted beside it (0 too). A
    record without any class of a task is left out of that task. Train is folds 1 to 8, validation 9, test 10.

    Args:
        root: the folder with `ptbxl_database.csv` and `scp_statements.csv`.
        rate: 100 for the records in `records100`, 500 for `records500`, Hz.
        option: what the command line calls the folder, for errors.

    Raises:
        SourceError: a table is missing or not as published, or `rate` is neither.
    """
    root = Path(root)
    if rate not in _FILE_COLUMNS:
        raise SourceError(f"PTB-XL has records at 100 and 500 Hz, not at {rate} Hz")
    remedy = _remedy(root, option)
    statements = {row[""]: row for row in read_rows(root / _STATEMENTS, _STATEMENT_COLUMNS, remedy, _CLASS_COLUMNS)}
    needed = ("ecg_id", "scp_codes", "strat_fold", _FILE_COLUMNS[rate])
    rows = list(read_rows(root / _DATABASE, needed, remedy, (*_SIGNAL_REMARKS, "validated_by_human")))
    if not rows:
        raise SourceError(f"{root / _DATABASE} lists no records")
    paths = [_record_path(row[_FILE_COLUMNS[rate]], row["ecg_id"]) for row in rows]
    codes = [_codes(row["scp_codes"], row["ecg_id"]) for row in rows]
    tasks = {}
    for task in PTBXL_TASKS:
        of_code = _classes_of_statements(statements, task)
        tasks[task] = _task_labels(([of_code[code] for code in own if code in of_code] for own in codes), of_code)
    return Source(
        kind="ptbxl",
        root=root,
        names=tuple(PurePosixPath(path).name for path in paths),
        paths=tuple(paths),
        split=np.array([_split(row["strat_fold"], row["ecg_id"]) for row in rows], dtype=np.int8),
        tasks=tasks,
        notes=tuple(_remarks(row) for row in rows),
        options={"rate": rate},
    )


def _remedy(root: Path, option: str) -> str:
    """What to do about a table that cannot be read."""
    if option == "--root" and not (root / _DATABASE).is_file() and _holds_challenge_copy(root):
        return (
            f"--root holds PTB-XL's copy from the Challenges, which comes without {_DATABASE} and {_STATEMENTS}; name "
            "the folder that holds them with --tables"
        )
    return f"{option} must be the folder of PTB-XL that holds {_DATABASE} and {_STATEMENTS}"


def _holds_challenge_copy(root: Path) -> bool:
    return any(name.startswith("HR") and name.endswith(".hea") for _, names in walk_files(root) for name in names)


def _classes_of_statements(statements: dict[str, dict[str, str]], task: str) -> dict[str, str]:
    """Statement code → its class in the task, for the statements that take part in it."""
    if task == "all":
        return {code: code for code in statements}
    if task in ("form", "rhythm", "diagnostic"):
        return {code: code for code, row in statements.items() if _is_one(row[task])}
    column = {"super": "diagnostic_class", "sub": "diagnostic_subclass"}[task]
    found = {code: row[column] for code, row in statements.items() if _is_one(row["diagnostic"])}
    return {code: name for code, name in found.items() if name}


def _task_labels(classes_of_records: Iterable[list[str]], of_code: dict[str, str]) -> TaskLabels:
    # A leading underscore ("_AVB") marks a PTB-XL class that groups several statements; it does not count in the order.
    classes = sorted(set(of_code.values()), key=lambda name: (name.lstrip("_"), name))
    return multi_hot(classes, classes_of_records)


def _codes(text: str, ecg_id: str) -> list[str]:
    """Statement codes of one record: the keys of a Python dict literal, code → likelihood."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise SourceError(f"{_DATABASE}, ecg_id {ecg_id}: scp_codes {text[:60]!r} is no dict of statement codes")
    return [str(code) for code in value]


def _record_path(text: str, ecg_id: str) -> str:
    path = PurePosixPath(text.strip().replace("\\", "/"))
    if not path.name or path.is_absolute() or ".." in path.parts or ":" in text:
        raise SourceError(f"{_DATABASE}, ecg_id {ecg_id}: {text[:80]!r} is no path inside the folder of PTB-XL")
    named = _PUBLISHED_NAME.fullmatch(path.name)
    if named is not None and _number(ecg_id) != int(named[1]):
        raise SourceError(
            f"{_DATABASE}, ecg_id {ecg_id} has the recording {path.name} of another one, so its columns have shifted; "
            "fetch the table again"
        )
    return str(path)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return -1.0


def _split(fold: str, ecg_id: str) -> int:
    try:
        return _SPLIT_OF_FOLD[int(float(fold))]
    except (ValueError, KeyError, OverflowError):
        raise SourceError(f"{_DATABASE}, ecg_id {ecg_id}: strat_fold {fold!r} is none of 1 to 10") from None


def _is_one(text: str) -> bool:
    return text.strip() in ("1", "1.0")


def _remarks(row: dict[str, str]) -> tuple[str, ...]:
    """What the table says about the signal, and whether a human has validated the report."""
    said = [(column, " ".join(row[column].split()).strip(" ,")) for column in _SIGNAL_REMARKS]
    remarks = [f"{column.replace('_', ' ')}: {text}" for column, text in said if text]
    if row["validated_by_human"].strip() == "False":
        remarks.append("report not validated by a human")
    return tuple(remarks)
