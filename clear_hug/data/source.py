"""What a data set offers to the preparation: its recordings in order, their labels, and their splits."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.record import Record
from clear_hug.data.wfdb_reader import read_wfdb

__all__ = ["Source", "SourceError", "TaskLabels", "multi_hot", "seeded_split"]

SPLIT_SHARES = (0.70, 0.15, 0.15)
"""Train, validation and test, for data sets that come without a split."""

_PIECE = 4096  # texts hashed at a time


class SourceError(ValueError):
    """A data set whose folder or tables are not as expected; the message names file and remedy."""


@dataclass(frozen=True, eq=False)
class TaskLabels:
    """One task: C class names, uint8 labels [R, C] of 0 and 1, and bool labelled [R] (False: left out)."""

    classes: tuple[str, ...]
    labels: NDArray[np.uint8]
    labelled: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Source:
    """A data set of R recordings.

    Attributes:
        kind: its name, e.g. "ptbxl".
        root: its folder.
        names: record names, unique, in the data set's own order; labels belong to names, never to positions.
        paths: of the recordings, relative to root, without suffix.
        split: int8 [R], 0 train, 1 validation, 2 test, -1 unassigned.
        tasks: labels by task name.
        notes: remarks on each record from the data set's own tables.
        options: how it was read (rate, label file …), for the manifest.
        read: reader of one recording from its path.
    """

    kind: str
    root: Path
    names: tuple[str, ...]
    paths: tuple[str, ...]
    split: NDArray[np.int8]
    tasks: dict[str, TaskLabels] = field(default_factory=dict)
    notes: tuple[tuple[str, ...], ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    read: Callable[[Path], Record] = read_wfdb

    def __post_init__(self) -> None:
        if not self.names:
            raise SourceError(f"{self.root} has no records")
        if len(set(self.names)) != len(self.names):
            twin = Counter(self.names).most_common(1)[0][0]
            raise SourceError(f"record name {twin!r} occurs twice in {self.root}; names must be unique")
        if not self.notes:
            object.__setattr__(self, "notes", ((),) * len(self.names))

    def identity(self) -> dict[str, Any]:
        """JSON values that tell this data set from another: kind, options, and hashes of records, labels, splits."""
        digest = hashlib.sha256()
        for separator, texts in (("", self.names), ("\n", self.paths)):
            for begin in range(0, len(texts), _PIECE):  # MIMIC-IV-ECG's would be 100 MB as one text
                digest.update((separator + "\n".join(texts[begin : begin + _PIECE])).encode())
                separator = "\n"
        digest.update(np.ascontiguousarray(self.split).tobytes())
        for name, task in sorted(self.tasks.items()):
            digest.update("\n".join((name, *task.classes)).encode())
            digest.update(np.ascontiguousarray(task.labels).tobytes() + np.ascontiguousarray(task.labelled).tobytes())
        digest.update(repr(self.notes).encode())
        return {"kind": self.kind, **self.options, "records": len(self.names), "sha256": digest.hexdigest()}


def multi_hot(classes: Sequence[str], names: Iterable[Collection[str] | None], keep_empty: bool = False) -> TaskLabels:
    """Labels from the class names of each record.

    Args:
        classes: C class names, in the order of the columns.
        names: per record, those of its names that are classes count, others are passed over; None: nothing is known.
        keep_empty: count a record without any class as labelled (it has none of them); else it is left out.
    """
    own = list(names)
    column = {name: index for index, name in enumerate(classes)}
    labels = np.zeros((len(own), len(column)), dtype=np.uint8)
    for row, of_record in enumerate(own):
        labels[row, [column[name] for name in of_record or () if name in column]] = 1
    known = np.array([of_record is not None for of_record in own], dtype=bool)
    return TaskLabels(tuple(classes), labels, known if keep_empty else known & labels.any(axis=1))


def seeded_split(records: int, seed: int) -> NDArray[np.int8]:
    """int8 [records]: 70 % train (0), 15 % validation (1), 15 % test (2), drawn by the seed."""
    split = np.zeros(records, dtype=np.int8)
    order = np.random.default_rng(seed).permutation(records)
    held_out = round(records * SPLIT_SHARES[2])
    validation = round(records * SPLIT_SHARES[1])
    split[order[:held_out]] = 2
    split[order[held_out : held_out + validation]] = 1
    return split
