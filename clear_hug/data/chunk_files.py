"""What one worker writes: its rows into the arrays of a partial store, and the file that says that they are there."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.row import PreparedRow
from clear_hug.data.store_format import StoreLayout
from clear_hug.files import file_checksum, map_array, read_json, replacing, write_text

__all__ = ["CHUNKS", "Chunk", "marker", "read_chunk", "write_chunk", "write_rows"]

CHUNKS = "chunks"
_ROW_ARRAYS = ("valid", "seconds", "r_index")
_BUFFER = 1 << 19
"""Bytes that are written by one call: some recordings, but no more than a second-level cache holds."""


class Chunk(NamedTuple):
    """What the file that says that a chunk is there says.

    Attributes:
        records: of each record, what the table of records will say.
        checksum: of the shard.
    """

    records: list[dict[str, Any]]
    checksum: str


def write_chunk(partial: Path, layout: StoreLayout, rows: range, prepared: Iterable[PreparedRow]) -> int:
    """Write the rows of one chunk, and then the file that says so; safe from many processes at once.

    Args:
        partial: folder of the partial store.
        layout: its arrays; a chunk is a shard.
        rows: consecutive row numbers.
        prepared: one result per row; asked for one at a time, so that none of them is held for long.

    Returns:
        How many of them are flagged.
    """
    small: dict[str, list[NDArray[np.generic]]] = defaultdict(list)
    entries: list[dict[str, Any]] = []

    def large() -> Iterator[NDArray[np.generic]]:
        for row in prepared:
            for name in _ROW_ARRAYS:
                small[name].append(getattr(row, name))
            entries.append(_entry(row))
            if row.signal is None:
                yield from row.tokens[:, : entries[-1]["kept"]]  # [beats, S] of each lead
            else:
                small["gain"].append(row.signal.gain)
                yield row.signal.samples

    path = partial / layout.shard_files[layout.starts.index(rows.start)]
    write_array(path, *layout.shard_rows, large())
    for name, values in small.items():
        write_rows(partial / f"{name}.npy", rows.start, np.stack(values))
    _to_disk([path, *(partial / f"{name}.npy" for name in small)])
    # In one line, which the JSON encoder writes several times faster than it indents.
    said = json.dumps(Chunk(entries, file_checksum(path))._asdict(), ensure_ascii=False, allow_nan=False)
    write_text(marker(partial, rows), said + "\n")
    return sum(bool(entry["flag"]) for entry in entries)


def read_chunk(partial: Path, rows: range) -> Chunk:
    """What `write_chunk` said of a chunk."""
    return Chunk(**read_json(marker(partial, rows)))


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


def marker(partial: Path, rows: range) -> Path:
    """The file that says that a chunk is there."""
    return partial / CHUNKS / f"{rows.start:09d}.json"


def write_array(path: Path, dtype: np.dtype[Any], width: int, values: Iterable[NDArray[np.generic]]) -> None:
    """Write C-contiguous arrays [n, width] of any n, one after another, as one `.npy` file."""
    with replacing(path) as temporary, temporary.open("xb", buffering=_BUFFER) as stream:
        stream.write(_header(dtype, 0, width))
        rows = 0
        for value in values:
            stream.write(value.data)
            rows += len(value)
        stream.seek(0)
        stream.write(_header(dtype, rows, width))


def _header(dtype: np.dtype[Any], rows: int, width: int) -> bytes:
    """Of a `.npy` file; its length does not depend on the number of rows."""
    stream = BytesIO()
    about = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (rows, width)}
    np.lib.format.write_array_header_1_0(stream, about)
    return stream.getvalue()


def write_rows(path: Path, first: int, values: NDArray[np.generic]) -> None:
    """Overwrite rows of a `.npy` file, from the row `first` on.

    Not through a memory map: on a full disk that would end the process, where this is an ordinary error.
    """
    array = map_array(path)
    with path.open("r+b") as stream:
        stream.seek(array.offset + first * array[:1].nbytes)
        stream.write(np.ascontiguousarray(values, dtype=array.dtype).data)


def _to_disk(paths: Iterable[Path]) -> None:
    """Wait until the files are there, all of them at a time: the first one takes most of the others along."""
    for path in paths:
        with path.open("r+b", buffering=0) as stream:
            os.fsync(stream.fileno())
