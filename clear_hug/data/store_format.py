"""How a store lies on the disk: names, types and shapes of its files, and what is written in its manifest.

Version 4 keeps tokens without their empty slots, one shard for each chunk of records that was prepared at a time;
before, all slots were there, in shards of limited size, as signals are still. Version 3 has checksums by XXH3 where
version 2 had SHA-256. A version 1 store is a version 2 store of tokens in one shard, and is read as such.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CHECKSUM",
    "FORMAT",
    "MANIFEST",
    "MODES",
    "RECORDS",
    "SHARD_BYTES",
    "VERSION",
    "ArraySpec",
    "StoreError",
    "StoreLayout",
    "label_arrays",
]

FORMAT = "clear_hug.beat_store"
VERSION = 4
READABLE_VERSIONS = (1, 2, 3, 4)
CHECKSUM = "xxh3_128"
"""The key of a file's checksum in the manifest; before version 3 it was "sha256"."""
MODES = ("tokens", "signals")
"""What a store keeps: float32 tokens, or int16 signals from which tokens are cut when they are asked for."""
SHARD_BYTES = 1 << 30
"""Signals in one file, at most (but at least one chunk of records)."""
MANIFEST = "manifest.json"
RECORDS = "records.csv"
RECORD_COLUMNS = ("row", "record", "source", "fs", "duration", "beats", "flag", "notes", "quality")
"""Of the table of records; the last one, the findings among the notes as codes, is missing in older stores."""
NOTE_SEPARATOR = "; "


class StoreError(ValueError):
    """A store that is missing, damaged or of another format; the message names the file and the remedy."""


@dataclass(frozen=True)
class ArraySpec:
    """One `.npy` file of a store."""

    file: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class StoreLayout:
    """The arrays of a store, labels apart.

    Attributes:
        mode: one of `MODES`.
        rows: R.
        leads: L.
        beats: T.
        beat_samples: S.
        starts: first row of each shard, from 0 on; no shard is empty.
        packed: tokens are kept without their empty slots.
    """

    mode: str
    rows: int
    leads: int
    beats: int
    beat_samples: int
    starts: tuple[int, ...] = (0,)
    packed: bool = False

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> StoreLayout:
        """The layout that a manifest of any readable version describes.

        Raises:
            ValueError: an unknown mode, or shards out of order.
        """
        rows, leads = int(manifest["counts"]["records"]), len(manifest["leads"])
        starts = tuple(map(int, manifest["shards"])) if manifest["version"] > 1 else (0,)
        mode = manifest["store"] if manifest["version"] > 1 else "tokens"
        if mode not in MODES or starts[:1] != (0,) or list(starts) != sorted({*starts}) or starts[-1] >= max(rows, 1):
            raise ValueError(f"store {mode!r} with shards from rows {list(starts)}")
        packed = mode == "tokens" and manifest["version"] > 3
        return cls(mode, rows, leads, int(manifest["beats"]), int(manifest["beat_samples"]), starts, packed)

    @property
    def stops(self) -> tuple[int, ...]:
        """One past the last row of each shard."""
        return (*self.starts[1:], self.rows)

    @property
    def shard_files(self) -> tuple[str, ...]:
        """File of each shard; no number where there is but one."""
        name = "tokens" if self.mode == "tokens" else "signal"
        if len(self.starts) == 1:
            return (f"{name}.npy",)
        return tuple(f"{name}_{number}.npy" for number in range(len(self.starts)))

    @property
    def offsets(self) -> str | None:
        """Array of where each recording begins, counted over all shards, in samples or beats; None for whole rows."""
        if self.mode == "signals":
            return "signal_start"
        return "beat_start" if self.packed else None

    def shard(self, number: int, offsets: NDArray[np.int64] | None) -> ArraySpec:
        """One shard: int16 [samples, L], float32 [L beats, S], or float32 [rows, L, T, S] in older stores of tokens.

        Args:
            number: of the shard.
            offsets: int64 [R + 1], the array that `offsets` names.
        """
        file, start, stop = self.shard_files[number], self.starts[number], self.stops[number]
        if offsets is None:
            shape = (stop - start, self.leads, self.beats, self.beat_samples)
            return ArraySpec(file, np.dtype(np.float32), shape)
        count = int(offsets[stop] - offsets[start])
        if self.mode == "signals":
            return ArraySpec(file, np.dtype(np.int16), (count, self.leads))
        return ArraySpec(file, np.dtype(np.float32), (count * self.leads, self.beat_samples))

    def row_arrays(self) -> dict[str, ArraySpec]:
        """Arrays of one file with one entry per row, but for the `offsets`, which have one more."""
        rows, leads, beats = self.rows, self.leads, self.beats
        specs: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
            "valid": (np.bool_, (rows, leads, beats)),
            "seconds": (np.int32, (rows, beats)),
            "r_index": (np.int32, (rows, beats)),
            "split": (np.int8, (rows,)),
            "usable": (np.bool_, (rows,)),
        }
        if self.mode == "signals":
            specs["gain"] = (np.float32, (rows, leads))
        if self.offsets is not None:
            specs[self.offsets] = (np.int64, (rows + 1,))
        return {name: ArraySpec(f"{name}.npy", np.dtype(dtype), shape) for name, (dtype, shape) in specs.items()}

    @property
    def files(self) -> list[str]:
        """All of them, labels and tables apart."""
        return [*self.shard_files, *(spec.file for spec in self.row_arrays().values())]


def label_arrays(rows: int, tasks: Mapping[str, int]) -> dict[str, tuple[ArraySpec, ArraySpec]]:
    """Labels and labelled of each task (name → number of classes); files are numbered, as a name may be any text."""
    return {
        task: (
            ArraySpec(f"labels_{number}.npy", np.dtype(np.uint8), (rows, classes)),
            ArraySpec(f"labelled_{number}.npy", np.dtype(np.bool_), (rows,)),
        )
        for number, (task, classes) in enumerate(tasks.items())
    }


def shard_starts(chunks: Sequence[range], chunk_bytes: Sequence[int], limit: int) -> tuple[int, ...]:
    """First rows of shards made of whole chunks, each as large as the limit allows.

    Args:
        chunks: consecutive rows.
        chunk_bytes: of each chunk.
        limit: bytes per shard; a chunk that is larger is a shard of its own.
    """
    starts, held = [0], 0
    for rows, size in zip(chunks, chunk_bytes, strict=True):
        if held and held + size > limit:
            starts.append(rows.start)
            held = 0
        held += size
    return tuple(starts)
