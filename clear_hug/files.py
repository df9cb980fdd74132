"""Atomic writes and content hashes: a reader never sees half a file."""

from __future__ import annotations

import errno
import hashlib
import json
import mmap
import os
import stat
import tokenize
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

_PIECE = 1 << 22
"""Bytes of a file that are mapped at a time."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it takes the place of `path`, on an error it is removed."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}.{uuid.uuid4().hex[:8]}{target.suffix}")
    try:
        yield temporary
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: str | Path, text: str) -> Path:
    """Write UTF-8 text atomically, its line ends as they are on every system."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")
    return Path(path)


def write_json(path: str | Path, data: Any) -> Path:
    """Write JSON atomically, readable, NaN refused."""
    return write_text(path, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read JSON.

    Raises:
        ValueError: not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); delete it and run the step again") from error


def map_array(path: str | Path) -> np.memmap[Any, np.dtype[Any]]:
    """A `.npy` file as a read-only memory map.

    Raises:
        OSError: it cannot be opened.
        ValueError: it holds no array, or is damaged; NumPy raises much else for headers of which a byte was changed.
    """
    try:
        found: np.memmap[Any, np.dtype[Any]] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (EOFError, OverflowError, SyntaxError, TypeError, tokenize.TokenError) as error:
        raise ValueError(f"{path} is no array of NumPy ({error})") from error
    return found


def check_regular(path: str | Path) -> None:
    """Raise OSError for anything but a regular file: opening a pipe, for one, would wait without end."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
        raise OSError(errno.EINVAL, "not a regular file", str(path))


def file_hash(path: str | Path) -> str:
    """SHA-256 of the file's bytes, hexadecimal: what tells one file from another, also on purpose."""
    return _digest(path, hashlib.sha256)


def file_checksum(path: str | Path) -> str:
    """XXH3 of 128 bits of the file's bytes, hexadecimal: tells damage, in much less time than SHA-256."""
    return _digest(path, xxhash.xxh3_128)


def _digest(path: str | Path, kind: Callable[[], Any]) -> str:
    digest = kind()
    with Path(path).open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        for start in range(0, size, _PIECE):
            length = min(_PIECE, size - start)
            with mmap.mmap(stream.fileno(), length, access=mmap.ACCESS_READ, offset=start) as piece:
                digest.update(piece)
    return str(digest.hexdigest())


def settings_hash(settings: Any) -> str:
    """SHA-256 of JSON-ready settings, independent of the order of keys."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()
