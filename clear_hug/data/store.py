"""A prepared data set, memory-mapped: beats, masks, labels and splits of every recording, and how they were made."""

from __future__ import annotations

import csv
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.quality import quality_codes
from clear_hug.data.store_format import (
    FORMAT,
    MANIFEST,
    NOTE_SEPARATOR,
    RECORD_COLUMNS,
    RECORDS,
    VERSION,
    ArraySpec,
    StoreError,
    beat_arrays,
    label_arrays,
)
from clear_hug.files import file_hash

__all__ = ["BeatStore", "StoreError"]

SPLITS = {"train": 0, "val": 1, "test": 2}
"""Numbers in `BeatStore.split`; -1 stands for unassigned."""


class BeatStore:
    """Read-only view of a store; R records, L leads, T beat slots per lead, S samples per token.

    Nothing is read before it is asked for, so a store of any size opens in milliseconds, and processes share its pages.
    """

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self._path = path
        self._manifest = manifest
        rows, leads = manifest["counts"]["records"], len(manifest["leads"])
        self._arrays = beat_arrays(rows, leads, manifest["beats"], manifest["beat_samples"])
        self._labels = label_arrays(rows, {name: len(task["classes"]) for name, task in manifest["tasks"].items()})

    @classmethod
    def open(cls, path: str | Path) -> BeatStore:
        """Open a store.

        Args:
            path: the folder that `clear-hug prepare` wrote.

        Raises:
            StoreError: no store, an unfinished one, one of another format version, or files that are missing or of
                another size than the manifest says. Contents are compared by `verify`, which reads everything.
        """
        path = Path(path)
        manifest = _read_manifest(path)
        try:
            store = cls(path, manifest)
            sizes = {name: int(entry["bytes"]) for name, entry in manifest["files"].items()}
            expected = [spec.file for spec in store._all_specs()] + [RECORDS]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(f"{path / MANIFEST} is no manifest of a store ({error!r}); prepare it again") from error
        for name in expected:
            if name not in sizes:
                raise StoreError(f"{path / MANIFEST} does not list {name}; prepare the store again")
            held = (path / name).stat().st_size if (path / name).is_file() else None
            if held != sizes[name]:
                state = "is missing" if held is None else f"has {held} bytes instead of {sizes[name]}"
                raise StoreError(f"{path / name} {state}; copy it again or prepare the store with --overwrite")
        return store

    def __len__(self) -> int:
        return int(self._manifest["counts"]["records"])

    def __repr__(self) -> str:
        return f"BeatStore({str(self._path)!r}, records={len(self)}, tasks={self.tasks})"

    @property
    def path(self) -> Path:
        """The folder."""
        return self._path

    @property
    def manifest(self) -> dict[str, Any]:
        """Format version, every setting, source, tasks, counts, package versions, sizes and checksums of the files."""
        return self._manifest

    @property
    def leads(self) -> tuple[str, ...]:
        """Lead names, in the order of the tokens."""
        return tuple(self._manifest["leads"])

    @property
    def fs(self) -> float:
        """Rate of the tokens, Hz."""
        return float(self._manifest["fs"])

    @cached_property
    def tokens(self) -> NDArray[np.float32]:
        """float32 [R, L, T, S], mV, R peak at sample S//2, zero outside the beat."""
        return self._map(self._arrays["tokens"])

    @cached_property
    def valid(self) -> NDArray[np.bool_]:
        """Bool [R, L, T], True where there is a beat."""
        return self._map(self._arrays["valid"])

    @cached_property
    def seconds(self) -> NDArray[np.int32]:
        """int32 [R, T], 1 + the second of the R peak, 0 in empty slots."""
        return self._map(self._arrays["seconds"])

    @cached_property
    def r_index(self) -> NDArray[np.int32]:
        """int32 [R, T], R peaks in samples at `fs`, -1 in empty slots."""
        return self._map(self._arrays["r_index"])

    @cached_property
    def split(self) -> NDArray[np.int8]:
        """int8 [R], 0 train, 1 validation, 2 test, -1 unassigned."""
        return self._map(self._arrays["split"])

    @cached_property
    def usable(self) -> NDArray[np.bool_]:
        """Bool [R], False for flagged records."""
        return self._map(self._arrays["usable"])

    @property
    def tasks(self) -> list[str]:
        """Names of the labelled tasks; empty for a store without labels."""
        return list(self._manifest["tasks"])

    def classes(self, task: str) -> list[str]:
        """Class names of a task, in the order of its label columns."""
        return list(self._manifest["tasks"][self._known(task)]["classes"])

    def labels(self, task: str) -> NDArray[np.uint8]:
        """uint8 [R, C] of 0 and 1."""
        return self._map(self._labels[self._known(task)][0])

    def labelled(self, task: str) -> NDArray[np.bool_]:
        """Bool [R], False for records without a label in this task: they are left out of it."""
        return self._map(self._labels[self._known(task)][1])

    @cached_property
    def names(self) -> list[str]:
        """Record names, in the order of the source."""
        return [row["record"] for row in self._records]

    @cached_property
    def flags(self) -> list[str]:
        """ "" for a good record, else the reason why it is not used."""
        return [row["flag"] for row in self._records]

    @cached_property
    def notes(self) -> list[str]:
        """Remarks about each record, joined with "; "."""
        return [row["notes"] for row in self._records]

    @cached_property
    def quality(self) -> list[str]:
        """Findings about the leads of each record, such as "flat:V1,V2 noisy:V6"; "" for none (docs/formats.md)."""
        return [quality_codes(note.split(NOTE_SEPARATOR)) for note in self.notes]

    @cached_property
    def sources(self) -> list[str]:
        """Path of each record inside the source folder."""
        return [row["source"] for row in self._records]

    def verify(self) -> None:
        """Read every file and compare its SHA-256 with the manifest's.

        Raises:
            StoreError: naming the first file that differs.
        """
        for name, entry in self._manifest["files"].items():
            if file_hash(self._path / name) != entry["sha256"]:
                raise StoreError(f"{self._path / name} was changed or damaged; prepare the store with --overwrite")

    def _known(self, task: str) -> str:
        if task not in self._manifest["tasks"]:
            known = ", ".join(self.tasks) or "none: it was prepared without labels"
            raise StoreError(f"{self._path} has no task {task!r}; its tasks are {known}")
        return task

    def _all_specs(self) -> list[ArraySpec]:
        return [*self._arrays.values(), *(spec for pair in self._labels.values() for spec in pair)]

    def _map(self, spec: ArraySpec) -> NDArray[Any]:
        path = self._path / spec.file
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} cannot be read ({error}); prepare the store with --overwrite") from error
        if array.shape != spec.shape or array.dtype != spec.dtype:
            raise StoreError(f"{path} holds {array.dtype} {array.shape} instead of {spec.dtype} {spec.shape}")
        return array

    @cached_property
    def _records(self) -> list[dict[str, str]]:
        path = self._path / RECORDS
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
        if tuple(reader.fieldnames or ()) != RECORD_COLUMNS or len(rows) != len(self):
            raise StoreError(f"{path} lists {len(rows)} of {len(self)} records; prepare the store with --overwrite")
        return rows


def _read_manifest(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        raise StoreError(f"there is no store at {path}; `clear-hug prepare` makes one")
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StoreError(f"{path} has no {MANIFEST}, so it is no (finished) store; run `clear-hug prepare`") from error
    except (OSError, ValueError) as error:
        raise StoreError(f"{path / MANIFEST} cannot be read ({error}); prepare the store again") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise StoreError(f"{path / MANIFEST} does not describe a store of beats; choose another folder")
    if manifest.get("version") != VERSION:
        raise StoreError(
            f"{path} is a store of format version {manifest.get('version')}, this package reads version {VERSION}; "
            "prepare it again with --overwrite"
        )
    return manifest
