"""A prepared data set, memory-mapped: beats, masks, labels and splits of every recording, and how they were made."""

from __future__ import annotations

import csv
import difflib
import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.lazy_rows import LazyRows, ShardedRows
from clear_hug.data.packed_rows import PackedRows
from clear_hug.data.quality import quality_codes
from clear_hug.data.shards import Shards
from clear_hug.data.signal_rows import CutRows, SignalShards
from clear_hug.data.store_format import (
    CHECKSUM,
    FORMAT,
    MANIFEST,
    NOTE_SEPARATOR,
    READABLE_VERSIONS,
    RECORD_COLUMNS,
    RECORDS,
    ArraySpec,
    StoreError,
    StoreLayout,
    check_manifest,
    label_arrays,
)
from clear_hug.files import file_checksum, file_hash, map_array

__all__ = ["BeatStore", "StoreError"]

SPLITS = {"train": 0, "val": 1, "test": 2}
"""Numbers in `BeatStore.split`; -1 stands for unassigned."""
_NAMES_COMPARED = 20_000


class BeatStore:
    """Read-only view of a store; R records, L leads, T beat slots per lead, S samples per token.

    Nothing is read before it is asked for, so a store of any size opens in milliseconds, and processes share its pages.
    A store that is sent to another process is opened there anew.
    """

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self._path = path
        self._manifest = manifest
        self._layout = StoreLayout.of(manifest)
        self._arrays = self._layout.row_arrays()
        sizes = {name: len(task["classes"]) for name, task in manifest["tasks"].items()}
        self._labels = label_arrays(self._layout.rows, sizes)

    def __reduce__(self) -> tuple[Any, ...]:
        return BeatStore.open, (self._path,)

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
            check_manifest(manifest)
            store = cls(path, manifest)
            sizes = {name: int(entry["bytes"]) for name, entry in manifest["files"].items()}
            labels = [spec.file for pair in store._labels.values() for spec in pair]
            expected = [*store._layout.files, *labels, RECORDS]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(f"{path / MANIFEST} is no manifest of a store ({error!r}); prepare it again") from error
        with os.scandir(path) as entries:  # by one pass: there may be a thousand of them
            held = {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
        for name in expected:
            if name not in sizes:
                raise StoreError(f"{path / MANIFEST} does not list {name}; prepare the store again")
            if held.get(name) != sizes[name]:
                state = "is missing" if name not in held else f"has {held[name]} bytes instead of {sizes[name]}"
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

    @property
    def mode(self) -> str:
        """What is kept: "tokens", or "signals" from which the tokens are cut when they are asked for."""
        return self._layout.mode

    @property
    def shards(self) -> int:
        """Files that the tokens or signals are divided into."""
        return len(self._layout.starts)

    @cached_property
    def tokens(self) -> LazyRows:
        """float32 [R, L, T, S], mV, R peak at sample S//2, zero outside the beat; indexed by rows first."""
        layout = self._layout
        if layout.mode == "signals":
            return CutRows(self.signals, self.r_index, self.valid, layout.beat_samples)
        shape = (layout.rows, layout.leads, layout.beats, layout.beat_samples)
        if layout.packed:
            return PackedRows(self._shards, self._offsets, shape)
        return ShardedRows(self._shards, shape, np.dtype(np.float32))

    @cached_property
    def signals(self) -> SignalShards:
        """The signals that the tokens are cut from, at `fs`.

        Raises:
            StoreError: the store keeps tokens.
        """
        if self.mode != "signals":
            raise StoreError(f"{self._path} keeps tokens, no signals; prepare it with --store signals to have them")
        return SignalShards(self._shards, self._offsets, self._map(self._arrays["gain"]))

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
        return self._column("record")

    @cached_property
    def flags(self) -> list[str]:
        """ "" for a good record, else the reason why it is not used."""
        return self._column("flag")

    @cached_property
    def notes(self) -> list[str]:
        """Remarks about each record, joined with "; "."""
        return self._column("notes")

    @cached_property
    def quality(self) -> list[str]:
        """Findings about the leads of each record, such as "flat:V1,V2 noisy:V6"; "" for none (docs/formats.md)."""
        return [quality_codes(note.split(NOTE_SEPARATOR)) for note in self.notes]

    @cached_property
    def sources(self) -> list[str]:
        """Path of each record inside the source folder."""
        return self._column("source")

    def row_of(self, record: str) -> int:
        """Row of a record, by its name or else, in a store whose records have no numbers for names, by its row number.

        Raises:
            StoreError: there is none.
        """
        if record in self.names:
            return self.names.index(record)
        if record.isdecimal() and int(record) < len(self):
            if not any(name.isdecimal() for name in self.names):
                return int(record)
            raise StoreError(
                f"{self._path} has no record {record!r}; as its records have numbers for names, none is looked up by "
                f"its row (row {record} is record {self.names[int(record)]!r})"
            )
        close = difflib.get_close_matches(record, self.names[:_NAMES_COMPARED], 3)
        remedy = f"is it {', '.join(close)}?" if close else f"names are like {self.names[0]!r}"
        raise StoreError(f"{self._path} has no record {record!r}, and no row of that number; {remedy}")

    def verify(self) -> None:
        """Read every file and compare its checksum with the manifest's.

        Raises:
            StoreError: naming the first file that differs.
        """
        for name, entry in self._manifest["files"].items():
            path = self._path / name
            found = file_checksum(path) if CHECKSUM in entry else file_hash(path)
            if found != entry.get(CHECKSUM, entry.get("sha256")):
                raise StoreError(f"{path} was changed or damaged; prepare the store with --overwrite")

    @cached_property
    def _offsets(self) -> NDArray[np.int64]:
        """Where each recording begins in the shards.

        Raises:
            StoreError: they do not increase, or a recording has more beats than slots.
        """
        layout = self._layout
        spec = self._arrays[layout.offsets]
        offsets: NDArray[np.int64] = self._map(spec)
        counts = np.diff(offsets)
        most = layout.beats if layout.mode == "tokens" else np.iinfo(np.int64).max
        if offsets[0] != 0 or ((counts < 0) | (counts > most)).any():
            raise StoreError(f"{self._path / spec.file} is damaged; prepare the store with --overwrite")
        return offsets

    @cached_property
    def _shards(self) -> Shards:
        layout = self._layout
        offsets = self._offsets if layout.packed else None
        return Shards(lambda number: self._map(layout.shard(number, offsets)), layout.starts)

    def _known(self, task: str) -> str:
        if task not in self._manifest["tasks"]:
            known = ", ".join(self.tasks) or "none: it was prepared without labels"
            raise StoreError(f"{self._path} has no task {task!r}; its tasks are {known}")
        return task

    def _map(self, spec: ArraySpec) -> NDArray[Any]:
        path = self._path / spec.file
        try:
            array = map_array(path)
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} cannot be read ({error}); prepare the store with --overwrite") from error
        if array.shape != spec.shape or array.dtype != spec.dtype:
            raise StoreError(f"{path} holds {array.dtype} {array.shape} instead of {spec.dtype} {spec.shape}")
        return array.view(np.ndarray)  # still mapped: rows of a memmap object take several times as long to index

    def _column(self, name: str) -> list[str]:
        """One column of the table of records; the others are not kept, since there may be a million rows."""
        path, column = self._path / RECORDS, RECORD_COLUMNS.index(name)
        try:
            with path.open(newline="", encoding="utf-8") as stream:
                reader = csv.reader(stream)
                header = tuple(next(reader, ()))
                values = [row[column] if column < len(row) else "" for row in reader]
        except (OSError, ValueError, csv.Error) as error:
            raise StoreError(f"{path} cannot be read ({error}); prepare the store with --overwrite") from error
        if header not in (RECORD_COLUMNS, RECORD_COLUMNS[:-1]) or len(values) != len(self):
            raise StoreError(f"{path} lists {len(values)} of {len(self)} records; prepare the store with --overwrite")
        return values


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
    if manifest.get("version") not in READABLE_VERSIONS:
        known = " and ".join(map(str, READABLE_VERSIONS))
        raise StoreError(
            f"{path} is a store of format version {manifest.get('version')}, this package reads versions {known}; "
            "prepare it again with --overwrite"
        )
    return manifest
