"""How a store lies on the disk: names, types and shapes of its files, and what is written in its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["FORMAT", "MANIFEST", "RECORDS", "VERSION", "ArraySpec", "StoreError", "beat_arrays", "label_arrays"]

FORMAT = "clear_hug.beat_store"
VERSION = 1
MANIFEST = "manifest.json"
RECORDS = "records.csv"
RECORD_COLUMNS = ("row", "record", "source", "fs", "duration", "beats", "flag", "notes")
NOTE_SEPARATOR = "; "


class StoreError(ValueError):
    """A store that is missing, damaged or of another format; the message names the file and the remedy."""


@dataclass(frozen=True)
class ArraySpec:
    """One `.npy` file of a store."""

    file: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


def beat_arrays(rows: int, leads: int, beats: int, beat_samples: int) -> dict[str, ArraySpec]:
    """The arrays that every store has: R rows, L leads, T beat slots, S samples."""
    specs: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
        "tokens": (np.float32, (rows, leads, beats, beat_samples)),
        "valid": (np.bool_, (rows, leads, beats)),
        "seconds": (np.int32, (rows, beats)),
        "r_index": (np.int32, (rows, beats)),
        "split": (np.int8, (rows,)),
        "usable": (np.bool_, (rows,)),
    }
    return {name: ArraySpec(f"{name}.npy", np.dtype(dtype), shape) for name, (dtype, shape) in specs.items()}


def label_arrays(rows: int, tasks: Mapping[str, int]) -> dict[str, tuple[ArraySpec, ArraySpec]]:
    """Labels and labelled of each task (name → number of classes); files are numbered, as a name may be any text."""
    return {
        task: (
            ArraySpec(f"labels_{number}.npy", np.dtype(np.uint8), (rows, classes)),
            ArraySpec(f"labelled_{number}.npy", np.dtype(np.bool_), (rows,)),
        )
        for number, (task, classes) in enumerate(tasks.items())
    }
