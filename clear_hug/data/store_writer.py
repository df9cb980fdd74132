"""Writing a store so that it can be interrupted at any moment, continued, and never seen half-finished.

Everything is made in `OUT.partial`: arrays of the final size, which workers fill in chunks of consecutive records, and
one small file per finished chunk. When all chunks are there, tables, checksums and at last the manifest are written,
and the folder is renamed to `OUT`.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clear_hug.data.row import PreparedRow
from clear_hug.data.source import Source
from clear_hug.data.store_format import (
    FORMAT,
    MANIFEST,
    NOTE_SEPARATOR,
    RECORD_COLUMNS,
    RECORDS,
    VERSION,
    StoreError,
    beat_arrays,
    label_arrays,
)
from clear_hug.files import file_hash, read_json, replacing, write_json

__all__ = ["CHUNK_RECORDS", "BeatStoreWriter", "write_chunk"]

CHUNK_RECORDS = 64
_CHUNKS = "chunks"
_IDENTITY = "identity.json"
_ROW_ARRAYS = ("tokens", "valid", "seconds", "r_index")


@dataclass(frozen=True)
class BeatStoreWriter:
    """A store in the making.

    Attributes:
        out: where the finished store goes.
        identity: JSON values (settings and source) that tell this store from another; a partial store is continued
            only when they agree.
        source: names, labels, splits and notes of the records.
        shape: L, T, S of the tokens.
    """

    out: Path
    identity: dict[str, Any]
    source: Source
    shape: tuple[int, int, int]

    @property
    def partial(self) -> Path:
        """The folder everything is made in."""
        return self.out.with_name(self.out.name + ".partial")

    def start(self, restart: bool = False) -> list[range]:
        """Make or continue the partial store.

        Args:
            restart: throw away a partial store of other settings or source.

        Returns:
            The chunks of rows that are still to be made; none as well when the store turned out to be finished.

        Raises:
            StoreError: a partial store of other settings is there, and `restart` is False.
        """
        if self.partial.exists() and not self._continues(restart):
            shutil.rmtree(self.partial)
        if (self.partial / MANIFEST).exists():  # killed after the last word was written, before the folder's renaming
            self._publish()
            return []
        if not self.partial.exists():
            (self.partial / _CHUNKS).mkdir(parents=True)
            for name in _ROW_ARRAYS:
                spec = beat_arrays(len(self.source.names), *self.shape)[name]
                np.lib.format.open_memmap(self.partial / spec.file, "w+", spec.dtype, spec.shape).flush()
            write_json(self.partial / _IDENTITY, self.identity)  # last: without it the folder is made anew
        return [rows for rows in self._chunks() if not _marker(self.partial, rows).exists()]

    def finish(self, about: dict[str, Any]) -> dict[str, Any]:
        """Write tables, labels, checksums and the manifest, and put the store in its place.

        Args:
            about: JSON values for the manifest: settings, source, package versions.

        Returns:
            The manifest.
        """
        if not self.partial.exists():
            return dict(read_json(self.out / MANIFEST))
        records = self._records()
        arrays = beat_arrays(len(records), *self.shape)
        np.save(self.partial / arrays["split"].file, self.source.split.astype(np.int8))
        np.save(self.partial / arrays["usable"].file, np.array([not record["flag"] for record in records], dtype=bool))
        sizes = {name: len(task.classes) for name, task in self.source.tasks.items()}
        labels = label_arrays(len(records), sizes)
        for name, (values, labelled) in labels.items():
            np.save(self.partial / values.file, self.source.tasks[name].labels.astype(np.uint8))
            np.save(self.partial / labelled.file, self.source.tasks[name].labelled.astype(bool))
        _write_records(self.partial / RECORDS, records)
        files = [spec.file for spec in arrays.values()]
        files += [spec.file for pair in labels.values() for spec in pair] + [RECORDS]
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            **about,
            "tasks": {name: _task_summary(self.source, name) for name in sizes},
            "counts": {
                "records": len(records),
                "flagged": sum(bool(record["flag"]) for record in records),
                "noted": sum(bool(record["notes"]) for record in records),
                "beats": sum(record["kept"] for record in records),
                "beats_found": sum(record["beats"] for record in records),
            },
            "flags": _count_reasons(records),
            "identity": self.identity,
            "files": {
                name: {"bytes": (self.partial / name).stat().st_size, "sha256": file_hash(self.partial / name)}
                for name in files
            },
        }
        write_json(self.partial / MANIFEST, manifest)
        self._publish()
        return manifest

    def _continues(self, restart: bool) -> bool:
        try:
            finished = (self.partial / MANIFEST).exists()
            there = read_json(self.partial / MANIFEST)["identity"] if finished else read_json(self.partial / _IDENTITY)
        except (OSError, ValueError, KeyError):
            return False  # killed before anything was worth keeping
        difference = describe_difference(there, self.identity)
        if difference and not restart:
            raise StoreError(
                f"{self.partial} is an unfinished store with other settings ({difference}); use the same settings to "
                "go on with it, or --overwrite to start anew"
            )
        return not difference

    def _publish(self) -> None:
        """Rename into place; a kill anywhere in here leaves something that the next `start` publishes."""
        shutil.rmtree(self.partial / _CHUNKS, ignore_errors=True)
        (self.partial / _IDENTITY).unlink(missing_ok=True)
        old = self.out.with_name(self.out.name + ".old")
        if old.exists():
            shutil.rmtree(old)
        if self.out.exists():
            self.out.replace(old)
        self.partial.replace(self.out)
        if old.exists():
            shutil.rmtree(old)

    def _chunks(self) -> list[range]:
        rows = len(self.source.names)
        return [range(start, min(start + CHUNK_RECORDS, rows)) for start in range(0, rows, CHUNK_RECORDS)]

    def _records(self) -> list[dict[str, Any]]:
        records: list[dict[str, Any]] = []
        for rows in self._chunks():
            for row, entry in zip(rows, read_json(_marker(self.partial, rows)), strict=True):
                notes = (*self.source.notes[row], *entry.pop("notes"))
                text = NOTE_SEPARATOR.join(" ".join(note.split()) for note in notes)
                own = {"row": row, "record": self.source.names[row], "source": self.source.paths[row], "notes": text}
                records.append({**entry, **own})
        return records


def write_chunk(partial: Path, rows: range, prepared: Sequence[PreparedRow]) -> None:
    """Write the rows of one chunk, and then the file that says so; safe from many processes at once.

    Args:
        partial: folder of the partial store.
        rows: consecutive row numbers.
        prepared: one result per row.
    """
    for name in _ROW_ARRAYS:
        array = np.load(partial / f"{name}.npy", mmap_mode="r+", allow_pickle=False)
        array[rows.start : rows.stop] = np.stack([getattr(row, name) for row in prepared])
        array.flush()
    entries = [
        {
            "fs": row.fs,
            "duration": round(row.duration, 6),
            "beats": row.beats_found,
            "kept": int((row.r_index >= 0).sum()),
            "flag": row.flag,
            "notes": list(row.notes),
        }
        for row in prepared
    ]
    write_json(_marker(partial, rows), entries)


def describe_difference(there: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Which values differ between two identities, as text; "" when none does."""
    parts = []
    for key in sorted({*there, *wanted}):
        old, new = there.get(key), wanted.get(key)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            parts.append(f"{key}: {describe_difference(old, new)}")
        elif key == "sha256":
            parts.append("other records or labels")
        else:
            parts.append(f"{key} {json.dumps(old)} there, {json.dumps(new)} now")
    return ", ".join(parts)


def _marker(partial: Path, rows: range) -> Path:
    return partial / _CHUNKS / f"{rows.start:09d}.json"


def _write_records(path: Path, records: list[dict[str, Any]]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, RECORD_COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)


def _task_summary(source: Source, name: str) -> dict[str, Any]:
    task = source.tasks[name]
    positives = task.labels[task.labelled].sum(axis=0, dtype=np.int64).tolist()
    return {"classes": list(task.classes), "labelled": int(task.labelled.sum()), "positives": positives}


def _count_reasons(records: list[dict[str, Any]]) -> dict[str, int]:
    """Flagged records by the first words of the reason, most frequent first."""
    counts: dict[str, int] = {}
    for record in records:
        if record["flag"]:
            kind = record["flag"].split(":")[0]
            counts[kind] = counts.get(kind, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
