"""Every task that the data sets known by name come with, without any of their files.

The numbers were counted in the published files: PTB-XL 1.0.3's tables, and the published splits of CPSC2018 and CSN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
        positives: published numbers of positives by class, as far as there are any, below what they were counted in.
    """

    data_set: str
    name: str
    classes: tuple[str, ...]
    records: tuple[int, int, int] | None
    about: str
    positives: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


_PTBXL_TEST = {
    "super": {"CD": 496, "HYP": 262, "MI": 550, "NORM": 963, "STTC": 521},
    "sub": {"PMI": 2, "SEHYP": 2},
    "form": {"PRC(S)": 1, "STE_": 3, "TAB_": 3},
    "rhythm": {"PSVT": 2, "SVTAC": 3, "TRIGU": 2},
}
_PTBXL: dict[str, tuple[tuple[int, int, int] | None, str]] = {
    "super": ((17084, 2146, 2158), "classes of the diagnostic statements"),
    "sub": ((17084, 2146, 2158), "subclasses of the diagnostic statements"),
    "form": ((7197, 901, 880), "statements on the form of the waves"),
    "rhythm": ((16832, 2100, 2098), "statements on the rhythm"),
    "all": (None, "all statements"),
    "diagnostic": ((17084, 2146, 2158), "all diagnostic statements"),  # each has a class, so the records are super's
}
_CPSC2018_TRAIN = dict(zip(CPSC2018_CLASSES, (873, 501, 649, 504, 1359, 170, 442, 172, 644), strict=True))
_CSN_STATED = {"AF": 4753, "VB": 916, "AVB": 913, "ST": 6338, "SA": 2828, "CR": 216, "2AVB": 38}
_CSN_REAL = {"AF": 3340, "VB": 3, "AVB": 176, "ST": 5154, "SA": 2107, "CR": 75, "2AVB": 22}


def _in(where: str, positives: Mapping[str, int] | None) -> dict[str, Mapping[str, int]]:
    return {where: positives} if positives else {}


# fmt: off
TASK_LIST: tuple[TaskInfo, ...] = (
    *(
        TaskInfo("ptbxl", name, PTBXL_CLASSES[name], *known, _in("test", _PTBXL_TEST.get(name)))
        for name, known in _PTBXL.items()
    ),
    TaskInfo(
        "cpsc2018", "cpsc2018", CPSC2018_CLASSES, (4950, 551, 1376), "the contest's nine classes",
        _in("train", _CPSC2018_TRAIN),
    ),
    TaskInfo(
        "csn", "csn", CSN_CLASSES, (16546, 1860, 4620), "as published, substring matches and all",
        _in("all splits", _CSN_STATED) | _in("all splits, with that very diagnosis", _CSN_REAL),
    ),
    TaskInfo("csn", "csn-corrected", CSN_CORRECTED_CLASSES, None, "exact codes, every record, sinus bradycardia too"),
    TaskInfo("code15", "code15", CODE15_CLASSES, None, "six abnormalities, from exams.csv"),
    TaskInfo("code15", "chagas", ("chagas",), None, "Chagas disease, from the Challenge 2025's headers"),
    TaskInfo("cinc2021", "cinc2021", CINC2021_CLASSES, None, "the Challenge 2021's scored diagnoses"),
    *(TaskInfo("ludb", name, (), None, f"column {column!r} of ludb.csv") for name, column in LUDB_TASKS.items()),
)
# fmt: on
