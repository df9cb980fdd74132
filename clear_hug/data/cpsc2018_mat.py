"""CPSC2018's own files: a MATLAB structure `ECG` with sex, age and the samples of the twelve leads in mV at 500 Hz."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clear_hug.data.mat5 import MatError, MatValue, read_structure
from clear_hug.data.record import Record, RecordError
from clear_hug.files import check_regular
from clear_hug.leads import STANDARD_LEADS

__all__ = ["read_cpsc2018_mat"]

FS = 500.0
_MAX_BYTES = 1 << 26  # the longest recording, 144 s, has 7 MB
_LEADS = len(STANDARD_LEADS)


def read_cpsc2018_mat(path: str | Path) -> Record:
    """Read one recording.

    Args:
        path: the file, with or without `.mat`.

    Raises:
        RecordError: no such file, no MATLAB file (version 5), or without a structure `ECG` whose `data` is [12, n].
    """
    path = Path(path)
    path = path if path.suffix.lower() == ".mat" else path.with_name(path.name + ".mat")
    name = path.stem
    try:
        check_regular(path)
        if path.stat().st_size > _MAX_BYTES:
            raise RecordError(f"record {name}: {path.stat().st_size} bytes are no recording of CPSC2018")
        fields = read_structure(path.read_bytes(), "ECG", _MAX_BYTES)
    except OSError as error:
        raise RecordError(f"record {name}: {path} cannot be read ({error.strerror or error})") from error
    except MatError as error:
        raise RecordError(f"record {name}: {path} is no MATLAB file with a structure ECG ({error})") from error
    data = fields.get("data")
    if not isinstance(data, np.ndarray) or data.ndim != 2 or data.shape[0] != _LEADS:
        shape = getattr(data, "shape", None)
        raise RecordError(f"record {name}: ECG.data in {path} has shape {shape}, but must be [{_LEADS}, samples]")
    comments = tuple(f"{key.capitalize()}: {said}" for key in ("age", "sex") if (said := _said(fields.get(key))))
    signal = np.ascontiguousarray(data.T, dtype=np.float64)
    return Record(signal, FS, STANDARD_LEADS, name, str(path), comments)


def _said(value: MatValue) -> str:
    """A text, or the first of an array of numbers, in words."""
    return value if isinstance(value, str) else str(value.flat[0]) if value is not None and value.size else ""
