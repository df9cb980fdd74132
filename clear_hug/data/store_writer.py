"""Writing a store so that it can be interrupted at any moment, continued, and never seen half-finished.

Everything is made in `OUT.partial`: arrays of the final size, which workers fill in chunks of consecutive records, one
shard per chunk for its tokens or signals, and a small file that says that the chunk is there. When all chunks are
there, tables and at last the manifest are written, and the folder is renamed to `OUT`.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from clear_hug.data.chunk_files import CHUNKS, marker, read_chunk
from clear_hug.data.quality import quality_codes
from clear_hug.data.source import Source
from clear_hug.data.store_format import (
    CHECKSUM,
    FORMAT,
    MANIFEST,
    NOTE_SEPARATOR,
    RECORD_COLUMNS,
    RECORDS,
    VERSION,
    StoreError,
    StoreLayout,
    label_arrays,
)
from clear_hug.files import file_checksum, read_json, replacing, write_json

__all__ = ["CHUNK_RECORDS", "BeatStoreWriter", "is_store"]

CHUNK_RECORDS = 128
"""At least (but for the last chunk)."""
MOST_CHUNKS = 1024
"""Each is a file that opening a store looks for."""
_IDENTITY = "identity.json"


@dataclass(frozen=True)
class BeatStoreWriter:
    """A store in the making.

    Attributes:
        out: where the finished store goes.
        identity: JSON values (settings and source) that tell this store from another; a partial store is continued
            only when they agree.
        source: names, labels, splits and notes of the records.
        shape: L, T, S of the tokens.
        mode: what is kept, "tokens" or "signals".
    """

    out: Path
    identity: dict[str, Any]
    source: Source
    shape: tuple[int, int, int]
    mode: str = "tokens"

    @property
    def partial(self) -> Path:
        """The folder everything is made in."""
        return self.out.with_name(self.out.name + ".partial")

    @property
    def discarded(self) -> Path:
        """Where a folder of ours that has to go waits for it: no other name is ever deleted."""
        return self.out.with_name(f".{self.out.name}.discarded")

    def layout(self) -> StoreLayout:
        """The arrays that chunks are written to."""
        starts = tuple(rows.start for rows in self._chunks())
        return StoreLayout(self.mode, len(self.source.names), *self.shape, starts)

    def start(self, restart: bool = False) -> list[range]:
        """Make or continue the partial store.

        Args:
            restart: throw away a partial store of other settings or source.

        Returns:
            The chunks of rows that are still to be made; none as well when the store turned out to be finished.

        Raises:
            StoreError: a partial store of other settings is there, and `restart` is False; or a folder of something
                else is in its place.
        """
        if self.discarded.exists():
            shutil.rmtree(self.discarded)
        if self.partial.exists() and not self._continues(restart):
            if any(self.partial.iterdir()) and not (self.partial / CHUNKS).is_dir() and not is_store(self.partial):
                raise StoreError(
                    f"{self.partial} is a folder of something else, in the place of the unfinished store; move it "
                    "away, or name another --out"
                )
            self._discard(self.partial)
        for left in self.partial.glob(".*"):  # by a run that was killed before a file took its name
            left.unlink()
        if (self.partial / MANIFEST).exists():  # killed after the last word was written, before the folder's renaming
            self._publish()
            return []
        if not self.partial.exists():
            (self.partial / CHUNKS).mkdir(parents=True)
            layout = self.layout()
            rows = layout.row_arrays()
            for spec in (rows[name] for name in ("valid", "seconds", "r_index", "gain") if name in rows):
                np.lib.format.open_memmap(self.partial / spec.file, "w+", spec.dtype, spec.shape).flush()
            write_json(self.partial / _IDENTITY, self.identity)  # last: without it the folder is made anew
        return [rows for rows in self._chunks() if not marker(self.partial, rows).exists()]

    def finish(self, about: dict[str, Any]) -> dict[str, Any]:
        """Write tables, labels, checksums and the manifest, and put the store in its place.

        Args:
            about: JSON values for the manifest: settings, source, package versions.

        Returns:
            The manifest.
        """
        if not self.partial.exists():
            return dict(read_json(self.out / MANIFEST))
        tally, layout, checksums = _Tally(len(self.source.names)), self.layout(), dict[str, str]()
        with replacing(self.partial / RECORDS) as temporary, temporary.open("w", newline="", encoding="utf-8") as table:
            writer = csv.DictWriter(table, RECORD_COLUMNS, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            for rows, shard in zip(self._chunks(), layout.shard_files, strict=True):
                chunk = read_chunk(self.partial, rows)
                checksums[shard] = chunk.checksum
                for row, entry in zip(rows, chunk.records, strict=True):
                    record = self._record(row, entry)
                    writer.writerow(record)
                    tally.add(row, record)
        arrays = layout.row_arrays()
        held = tally.samples if self.mode == "signals" else tally.beats
        np.save(self.partial / arrays[layout.offsets].file, np.concatenate(([0], np.cumsum(held))))
        np.save(self.partial / arrays["split"].file, self.source.split.astype(np.int8))
        np.save(self.partial / arrays["usable"].file, tally.usable)
        sizes = {name: len(task.classes) for name, task in self.source.tasks.items()}
        labels = label_arrays(layout.rows, sizes)
        for name, (values, labelled) in labels.items():
            np.save(self.partial / values.file, self.source.tasks[name].labels.astype(np.uint8))
            np.save(self.partial / labelled.file, self.source.tasks[name].labelled.astype(bool))
        files = [*layout.files, *(spec.file for pair in labels.values() for spec in pair), RECORDS]
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "store": self.mode,
            **about,
            "tasks": {name: _task_summary(self.source, name) for name in sizes},
            "counts": tally.counts(),
            "flags": tally.reasons(),
            "shards": list(layout.starts),
            "identity": self.identity,
            "files": {
                name: {
                    "bytes": (path := self.partial / name).stat().st_size,
                    CHECKSUM: checksums.get(name) or file_checksum(path),
                }
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
        shutil.rmtree(self.partial / CHUNKS, ignore_errors=True)
        (self.partial / _IDENTITY).unlink(missing_ok=True)
        if self.out.exists():
            self.out.replace(self.discarded)
        self.partial.replace(self.out)
        if self.discarded.exists():
            shutil.rmtree(self.discarded)

    def _discard(self, folder: Path) -> None:
        """Out of the way at once, so that a kill while it is deleted leaves nothing that looks like something else."""
        folder.replace(self.discarded)
        shutil.rmtree(self.discarded)

    def _chunks(self) -> list[range]:
        rows = len(self.source.names)
        size = max(CHUNK_RECORDS, -(-rows // MOST_CHUNKS))
        return [range(start, min(start + size, rows)) for start in range(0, rows, size)]

    def _record(self, row: int, entry: dict[str, Any]) -> dict[str, Any]:
        """One line of the table of records."""
        notes = [" ".join(note.split()) for note in (*self.source.notes[row], *entry["notes"])]
        own = {"row": row, "record": self.source.names[row], "source": self.source.paths[row]}
        return {**entry, **own, "notes": NOTE_SEPARATOR.join(notes), "quality": quality_codes(notes)}


@dataclass(eq=False)
class _Tally:
    """What the manifest says of the records, gathered one by one."""

    rows: int
    noted: int = 0
    beats_found: int = 0
    kinds: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.usable = np.ones(self.rows, dtype=bool)
        self.samples, self.beats = np.zeros((2, self.rows), dtype=np.int64)

    def add(self, row: int, record: dict[str, Any]) -> None:
        if record["flag"]:
            self.usable[row] = False
            self.kinds[record["flag"].split(":")[0]] += 1
        self.samples[row], self.beats[row] = record["samples"], record["kept"]
        self.noted += bool(record["notes"])
        self.beats_found += record["beats"]

    def counts(self) -> dict[str, int]:
        return {
            "records": self.rows,
            "flagged": self.rows - int(self.usable.sum()),
            "noted": self.noted,
            "beats": int(self.beats.sum()),
            "beats_found": self.beats_found,
        }

    def reasons(self) -> dict[str, int]:
        """Flagged records by the first words of the reason, most frequent first."""
        return dict(sorted(self.kinds.items(), key=lambda item: (-item[1], item[0])))


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


def _task_summary(source: Source, name: str) -> dict[str, Any]:
    task = source.tasks[name]
    positives = task.labels[task.labelled].sum(axis=0, dtype=np.int64).tolist()
    return {"classes": list(task.classes), "labelled": int(task.labelled.sum()), "positives": positives}


def is_store(folder: Path) -> bool:
    """Whether the folder's manifest is that of a store, of any version."""
    try:
        manifest = read_json(folder / MANIFEST)
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("format") == FORMAT
