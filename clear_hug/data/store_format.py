"""How a store lies on the disk: names, types and shapes of its files, and what is written in its manifest.

Version 4 keeps tokens without their empty slots, and a shard is what was prepared at a time; before, all slots were
there, and shards were of limited size. Version 3 has checksums by XXH3 where version 2 had SHA-256. A version 1 store
is a version 2 store of tokens in one shard, and is read as such.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
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
    "VERSION",
    "ArraySpec",
    "StoreError",
    "StoreLayout",
    "check_manifest",
    "label_arrays",
]

FORMAT = "clear_hug.beat_store"
VERSION = 4
READABLE_VERSIONS = (1, 2, 3, 4)
CHECKSUM = "xxh3_128"
"""The key of a file's checksum in the manifest; before version 3 it was "sha256"."""
MODES = ("tokens", "signals")
"""What a store keeps: float32 tokens, or int16 signals from which tokens are cut when they are asked for."""
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
        packed: recordings take as many rows of a shard as they need; False for tokens with all their slots.
    """

    mode: str
    rows: int
    leads: int
    beats: int
    beat_samples: int
    starts: tuple[int, ...] = (0,)
    packed: bool = True

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
        sizes = int(manifest["beats"]), int(manifest["beat_samples"])
        return cls(mode, rows, leads, *sizes, starts, packed=mode == "signals" or manifest["version"] > 3)

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
    def shard_rows(self) -> tuple[np.dtype[Any], int]:
        """Type and width of a row of a packed shard: a sample of all leads, or a token."""
        if self.mode == "signals":
            return np.dtype(np.int16), self.leads
        return np.dtype(np.float32), self.beat_samples

    @property
    def offsets(self) -> str:
        """Array of where each recording begins, counted over all packed shards, in samples or beats."""
        return "signal_start" if self.mode == "signals" else "beat_start"

    def shard(self, number: int, offsets: NDArray[np.int64] | None) -> ArraySpec:
        """One shard: int16 [samples, L], float32 [L beats, S], or float32 [rows, L, T, S] in older stores of tokens.

        Args:
            number: of the shard.
            offsets: int64 [R + 1], the array that `offsets` names; None for shards that are not packed.
        """
        file, start, stop = self.shard_files[number], self.starts[number], self.stops[number]
        dtype, width = self.shard_rows
        if offsets is None:
            return ArraySpec(file, dtype, (stop - start, self.leads, self.beats, width))
        count = int(offsets[stop] - offsets[start])
        return ArraySpec(file, dtype, (count if self.mode == "signals" else count * self.leads, width))

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
        if self.packed:
            specs[self.offsets] = (np.int64, (rows + 1,))
        return {name: ArraySpec(f"{name}.npy", np.dtype(dtype), shape) for name, (dtype, shape) in specs.items()}

    @property
    def files(self) -> list[str]:
        """All of them, labels and tables apart."""
        return [*self.shard_files, *(spec.file for spec in self.row_arrays().values())]


def check_manifest(manifest: Mapping[str, Any]) -> None:
    """Look at all that is used of a manifest without another question, besides what its layout takes.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: something is missing, or of another kind.
    """
    if not 0 < float(manifest["fs"]) < math.inf:
        raise ValueError(f"a rate of {manifest['fs']} Hz")
    counts = [manifest["counts"][name] for name in ("flagged", "noted", "beats", "beats_found")]
    texts = [*manifest["leads"], manifest["tokenizer"], manifest["detector"]]
    texts += [manifest["source"][name] for name in ("kind", "root")]
    for task in manifest["tasks"].values():
        texts += task["classes"]
    counts += manifest["flags"].values()
    texts += [*manifest["flags"], *manifest["packages"].values(), *manifest["identity"]]
    if not all(isinstance(value, int) for value in counts) or not all(isinstance(value, str) for value in texts):
        raise ValueError("numbers or texts of another kind")


def label_arrays(rows: int, tasks: Mapping[str, int]) -> dict[str, tuple[ArraySpec, ArraySpec]]:
    """Labels and labelled of each task (name → number of classes); files are numbered, as a name may be any text."""
    return {
        task: (
            ArraySpec(f"labels_{number}.npy", np.dtype(np.uint8), (rows, classes)),
            ArraySpec(f"labelled_{number}.npy", np.dtype(np.bool_), (rows,)),
        )
        for number, (task, classes) in enumerate(tasks.items())
    }
