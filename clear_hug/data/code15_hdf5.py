"""The HDF5 files of CODE-15 %: `exam_id` [n] and `tracings` [n, 4096, 12], mV at 400 Hz, zeros around the recording."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.record import Record, RecordError
from clear_hug.data.source import SourceError
from clear_hug.files import check_regular
from clear_hug.leads import STANDARD_LEADS

__all__ = ["list_exams", "read_code15_hdf5"]

FS = 400.0
_MOST = 1 << 16  # samples of a tracing; published ones have 4 096
_MOST_EXAMS = 1 << 20  # of a file; published ones have 20 001
_MOST_CHUNK_BYTES = 1 << 28
_LEADS = len(STANDARD_LEADS)  # DI DII DIII AVR AVL AVF V1 … V6


@lru_cache(maxsize=32)
def list_exams(path: Path) -> tuple[str, ...]:
    """Exam numbers in one file, in its order; the filler at its end, numbered 0, left out.

    Raises:
        SourceError: h5py is not installed, or the file is not as published.
    """
    try:
        with _open(path) as stream:
            numbers, _ = _datasets(stream)
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"{path} is no HDF5 file with exam_id and tracings ({error}); fetch it again") from error
    return tuple(str(int(number)) for number in numbers if number != 0)


def read_code15_hdf5(path: str | Path) -> Record:
    """Read one exam.

    Args:
        path: `FILE.hdf5/EXAM`: the exam's number below the file.

    Raises:
        RecordError: the file cannot be read, does not hold the exam, or only zeros for it.
    """
    path = Path(path)
    name, file = path.name, path.parent
    try:
        with _open(file) as stream:
            numbers, tracings = _datasets(stream)
            rows = np.flatnonzero(numbers == int(name))
            if len(rows) != 1:
                raise RecordError(f"record {name}: {file} holds it {len(rows)} times instead of once")
            tracing = tracings[int(rows[0])]  # [m, leads]
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        if isinstance(error, RecordError):
            raise
        raise RecordError(f"record {name}: {file} cannot be read ({error})") from error
    with np.errstate(invalid="ignore"):  # NaN of the kind that signals itself
        tracing = tracing.astype(np.float64)
    recorded = np.flatnonzero(tracing.any(axis=1))
    if not len(recorded):
        raise RecordError(f"record {name}: {file} holds only zeros for it")
    return Record(tracing[recorded[0] : recorded[-1] + 1], FS, STANDARD_LEADS, name, str(file))


def _datasets(stream: Any) -> tuple[NDArray[Any], Any]:
    """Exam numbers [n], and the tracings, not yet read.

    Raises:
        ValueError: they are not as published, lie in another file, or would take more memory than a tracing does.
    """
    numbers, tracings = (_dataset(stream, name) for name in ("exam_id", "tracings"))
    shape, count = tracings.shape, math.prod(numbers.shape)
    if len(numbers.shape) != 1 or len(shape) != 3 or shape[::2] != (count, _LEADS) or shape[1] > _MOST:
        raise ValueError(
            f"exam_id has shape {numbers.shape} and tracings {shape}, not [n] and [n, up to {_MOST}, {_LEADS}]"
        )
    if numbers.dtype.kind not in "iu" or tracings.dtype.kind != "f" or count > _MOST_EXAMS:
        raise ValueError(f"exam_id is {count} {numbers.dtype} and tracings are {tracings.dtype}")
    return np.asarray(numbers), tracings


def _dataset(stream: Any, name: str) -> Any:
    """One dataset of the file itself: HDF5 also links to other files, and unpacks chunks of any size."""
    link, found = stream.get(name, getlink=True), stream[name]
    if type(link).__name__ != "HardLink" or not hasattr(found, "chunks") or found.is_virtual or found.external:
        raise ValueError(f"{name} is no dataset of this file")
    if math.prod(found.chunks or ()) * found.dtype.itemsize > _MOST_CHUNK_BYTES:
        raise ValueError(f"{name} has chunks of {found.chunks}")
    return found


def _open(path: Path) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise SourceError(
            "reading CODE-15 %'s HDF5 files needs h5py; install it with pip install 'clear-hug[hdf5]'"
        ) from error
    check_regular(path)
    return h5py.File(path, "r")
