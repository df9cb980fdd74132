"""Every task that the data sets known by name come with, without any of their files."""

from __future__ import annotations

from dataclasses import dataclass

from clear_hug.data.cinc2021 import CINC2021_CLASSES
from clear_hug.data.code15 import CODE15_CLASSES
from clear_hug.data.cpsc2018 import CPSC2018_CLASSES
from clear_hug.data.csn import CSN_CLASSES, CSN_CORRECTED_CLASSES
from clear_hug.data.ludb import LUDB_TASKS
from clear_hug.data.ptbxl_classes import PTBXL_CLASSES

__all__ = ["TASK_LIST", "TaskInfo"]


@dataclass(frozen=True)
class TaskInfo:
    """One task.

    Attributes:
        data_set: as `clear-hug prepare` calls it.
        name: of the task.
        classes: in the order of the label columns; empty where the data set's own table names them.
        records: published numbers of train, validation and test records; None where nothing is published.
        about: one line.
    """

    data_set: str
    name: str
    classes: tuple[str, ...]
    records: tuple[int, int, int] | None
    about: str


_PTBXL = {
    "super": ((17084, 2146, 2158), "classes of the diagnostic statements"),
    "sub": ((17084, 2146, 2158), "subclasses of the diagnostic statements"),
    "form": ((7197, 901, 880), "statements on the form of the waves"),
    "rhythm": ((16832, 2100, 2098), "statements on the rhythm"),
    "all": (None, "all statements"),
    "diagnostic": (None, "all diagnostic statements"),
}

TASK_LIST: tuple[TaskInfo, ...] = (
    *(TaskInfo("ptbxl", name, PTBXL_CLASSES[name], *known) for name, known in _PTBXL.items()),
    TaskInfo("cpsc2018", "cpsc2018", CPSC2018_CLASSES, (4950, 551, 1376), "the contest's nine classes"),
    TaskInfo("csn", "csn", CSN_CLASSES, (16546, 1860, 4620), "as published, substring matches and all"),
    TaskInfo("csn", "csn-corrected", CSN_CORRECTED_CLASSES, None, "exact codes, every record, sinus bradycardia too"),
    TaskInfo("code15", "code15", CODE15_CLASSES, None, "six abnormalities, from exams.csv"),
    TaskInfo("code15", "chagas", ("chagas",), None, "Chagas disease, from the Challenge 2025's headers"),
    TaskInfo("cinc2021", "cinc2021", CINC2021_CLASSES, None, "the Challenge 2021's scored diagnoses"),
    *(TaskInfo("ludb", name, (), None, f"column {column!r} of ludb.csv") for name, column in LUDB_TASKS.items()),
)
