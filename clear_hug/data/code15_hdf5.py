"""The HDF5 files of CODE-15 %: `exam_id` [n] and `tracings` [n, 4096, 12], mV at 400 Hz, zeros around the recording."""

from __future__ import annotations

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
_LEADS = len(STANDARD_LEADS)  # DI DII DIII AVR AVL AVF V1 … V6


@lru_cache(maxsize=32)
def list_exams(path: Path) -> tuple[str, ...]:
    """Exam numbers in one file, in its order; the filler at its end, numbered 0, left out.

    Raises:
        SourceError: h5py is not installed, or the file is not as published.
    """
    try:
        with _open(path) as stream:
            numbers = np.asarray(stream["exam_id"])
            shape = stream["tracings"].shape
    except (OSError, KeyError, AttributeError) as error:
        raise SourceError(f"{path} is no HDF5 file with exam_id and tracings ({error}); fetch it again") from error
    if not _fits(shape, numbers):
        shapes = f"exam_id has shape {numbers.shape} and tracings {shape}"
        raise SourceError(f"{path}: {shapes}, not [n] and [n, up to {_MOST}, {_LEADS}]; fetch it again")
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
            numbers, shape = np.asarray(stream["exam_id"]), stream["tracings"].shape
            if not _fits(shape, numbers):
                raise RecordError(f"record {name}: tracings in {file} have shape {shape}; fetch it again")
            rows = np.flatnonzero(numbers == int(name))
            if len(rows) != 1:
                raise RecordError(f"record {name}: {file} holds it {len(rows)} times instead of once")
            tracing = np.asarray(stream["tracings"][int(rows[0])], dtype=np.float64)  # [m, leads]
    except (OSError, KeyError, ValueError) as error:
        if isinstance(error, RecordError):
            raise
        raise RecordError(f"record {name}: {file} cannot be read ({error})") from error
    recorded = np.flatnonzero(tracing.any(axis=1))
    if not len(recorded):
        raise RecordError(f"record {name}: {file} holds only zeros for it")
    return Record(tracing[recorded[0] : recorded[-1] + 1], FS, STANDARD_LEADS, name, str(file))


def _fits(shape: tuple[int, ...], numbers: NDArray[Any]) -> bool:
    """Whether the file is as published: a tracing [m, leads] of a possible length for every number."""
    return numbers.ndim == 1 and len(shape) == 3 and shape[::2] == (len(numbers), _LEADS) and shape[1] <= _MOST


def _open(path: Path) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise SourceError(
            "reading CODE-15 %'s HDF5 files needs h5py; install it with pip install 'clear-hug[hdf5]'"
        ) from error
    check_regular(path)
    return h5py.File(path, "r")
