"""What one worker writes: its rows into the arrays of a partial store, and the file that says that they are there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.row import PreparedRow
from clear_hug.data.signal_rows import StoredSignal
from clear_hug.data.store_format import StoreLayout
from clear_hug.files import replacing, write_text

__all__ = ["CHUNKS", "marker", "signal_file", "write_chunk", "write_rows", "write_shard"]

CHUNKS = "chunks"
_ROW_ARRAYS = ("valid", "seconds", "r_index")
_WRITTEN_TOGETHER = 4
"""Rows of tokens: as many as a second-level cache holds."""


def write_chunk(partial: Path, layout: StoreLayout, rows: range, prepared: Iterable[PreparedRow]) -> int:
    """Write the rows of one chunk, and then the file that says so; safe from many processes at once.

    Args:
        partial: folder of the partial store.
        layout: its arrays; a chunk lies within one shard.
        rows: consecutive row numbers.
        prepared: one result per row; asked for a few at a time, so that tokens are written while they are in the cache.

    Returns:
        How many of them are flagged.
    """
    small: dict[str, list[NDArray[np.generic]]] = {name: [] for name in _ROW_ARRAYS}
    signals: list[StoredSignal] = []
    entries: list[dict[str, Any]] = []

    def tokens() -> Iterator[NDArray[np.generic]]:
        for row in prepared:
            for name, values in small.items():
                values.append(getattr(row, name))
            if row.signal is not None:
                signals.append(row.signal)
            entries.append(_entry(row))
            yield row.tokens

    if layout.mode == "tokens":
        shard = int(np.searchsorted(layout.starts, rows.start, side="right")) - 1
        large = partial / layout.shard_files[shard]
        write_rows(large, rows.start - layout.starts[shard], tokens())
    else:
        for _ in tokens():
            pass
        large = partial / "gain.npy"
        write_rows(large, rows.start, [np.stack([signal.gain for signal in signals])])
        with replacing(signal_file(partial, rows)) as temporary:
            np.save(temporary, np.concatenate([signal.samples for signal in signals]))
    for name, values in small.items():
        write_rows(partial / f"{name}.npy", rows.start, [np.stack(values)])
    _to_disk([large, *(partial / f"{name}.npy" for name in small)])
    # In one line, which the JSON encoder writes several times faster than it indents.
    write_text(marker(partial, rows), json.dumps(entries, ensure_ascii=False, allow_nan=False) + "\n")
    return sum(bool(entry["flag"]) for entry in entries)


def _entry(row: PreparedRow) -> dict[str, Any]:
    """What the table of records will say, as JSON values."""
    return {
        "fs": row.fs,
        "duration": round(row.duration, 6),
        "beats": row.beats_found,
        "kept": int(np.count_nonzero(row.r_index >= 0)),
        "samples": 0 if row.signal is None else len(row.signal.samples),
        "flag": row.flag,
        "notes": list(row.notes),
    }


def write_shard(path: Path, parts: Sequence[Path], shape: tuple[int, int]) -> None:
    """Put int16 arrays [samples, L] together in one `.npy` file of that shape, a part at a time."""
    with replacing(path) as temporary, temporary.open("wb") as stream:
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.int16)), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
        for part in parts:
            stream.write(np.load(part, mmap_mode="r", allow_pickle=False).data)  # no copy on the way


def marker(partial: Path, rows: range) -> Path:
    """The file that says that a chunk is there."""
    return partial / CHUNKS / f"{rows.start:09d}.json"


def signal_file(partial: Path, rows: range) -> Path:
    """The signals of a chunk, in a store of signals."""
    return partial / CHUNKS / f"{rows.start:09d}.npy"


def write_rows(path: Path, first: int, values: Iterable[NDArray[np.generic]]) -> None:
    """Overwrite rows of a `.npy` file, from the row `first` on; each value holds one or more of them.

    Not through a memory map: on a full disk that would end the process, where this is an ordinary error.
    """
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    rows = (np.ascontiguousarray(row, dtype=array.dtype).data.cast("B") for row in values)
    with path.open("r+b", buffering=0) as stream:
        stream.seek(array.offset + first * array[:1].nbytes)
        while together := list(islice(rows, _WRITTEN_TOGETHER)):
            _write_all(stream, together)


def _to_disk(paths: Iterable[Path]) -> None:
    """Wait until the files are there, all of them at a time: the first one takes most of the others along."""
    for path in paths:
        with path.open("r+b", buffering=0) as stream:
            os.fsync(stream.fileno())


def _write_all(stream: FileIO, pieces: list[memoryview]) -> None:
    """Several pieces by one call where the system has it: it sets aside larger pages for them then."""
    written = os.writev(stream.fileno(), pieces) if hasattr(os, "writev") else 0
    for piece in pieces:
        left = piece[written:]
        written = max(written - len(piece), 0)
        while left:  # a write may stop short, of a signal or at the end of the disk
            left = left[stream.write(left) :]
