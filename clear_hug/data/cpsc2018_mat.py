"""CPSC2018's own files: a MATLAB structure `ECG` with sex, age and the samples of the twelve leads in mV at 500 Hz."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from clear_hug.data.record import Record, RecordError
from clear_hug.files import check_regular
from clear_hug.leads import STANDARD_LEADS

__all__ = ["read_cpsc2018_mat"]

FS = 500.0
_MAX_BYTES = 1 << 26  # the longest recording, 144 s, has 7 MB
_HEADER_BYTES, _COMPRESSED = 128, 15  # of MATLAB's format
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
    import scipy.io  # only this layout needs it

    try:
        check_regular(path)
        if path.stat().st_size > _MAX_BYTES:
            raise RecordError(f"record {name}: {path.stat().st_size} bytes are no recording of CPSC2018")
        held = path.read_bytes()
        if _inflated(held) > _MAX_BYTES:
            raise RecordError(
                f"record {name}: {path} inflates to more than {_MAX_BYTES >> 20} MB, as no recording does"
            )
        stream: Any = io.BytesIO(held)  # files are taken too, whatever the stubs say
        structure = scipy.io.loadmat(stream, variable_names=["ECG"], struct_as_record=True)["ECG"]
    except OSError as error:
        raise RecordError(f"record {name}: {path} cannot be read ({error.strerror or error})") from error
    except RecordError:
        raise
    except Exception as error:  # the decoder raises whatever the bytes lead it to
        raise RecordError(f"record {name}: {path} is no MATLAB file with a variable ECG ({error!r})") from error
    fields = structure.dtype.names or ()
    if "data" not in fields or structure.size != 1:
        raise RecordError(f"record {name}: ECG in {path} is no structure with a field data")
    data = structure["data"].flat[0]
    if not isinstance(data, np.ndarray) or data.ndim != 2 or data.shape[0] != _LEADS or data.dtype.kind not in "fiu":
        shape = getattr(data, "shape", None)
        raise RecordError(f"record {name}: ECG.data in {path} has shape {shape}, but must be [{_LEADS}, samples]")
    comments = tuple(
        f"{field.capitalize()}: {np.ravel(structure[field].flat[0])[0]}"
        for field in ("age", "sex")
        if field in fields and np.size(structure[field].flat[0])
    )
    signal = np.ascontiguousarray(data.T, dtype=np.float64)
    return Record(signal, FS, STANDARD_LEADS, name, str(path), comments)


def _inflated(held: bytes) -> int:
    """Bytes of the compressed elements of a MATLAB file of version 5, counted to a little over `_MAX_BYTES`."""
    order = ">" if held[126:128] == b"MI" else "<"
    at, total = _HEADER_BYTES, 0
    while at + 8 <= len(held) and total <= _MAX_BYTES:
        kind, size = struct.unpack_from(order + "II", held, at)
        if kind == _COMPRESSED:
            total += len(zlib.decompressobj().decompress(held[at + 8 : at + 8 + size], _MAX_BYTES + 1 - total))
        at += 8 + size
    return total
