"""CPSC2018's own files: a MATLAB structure `ECG` with sex, age and the samples of the twelve leads in mV at 500 Hz."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clear_hug.data.record import Record, RecordError
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
    import scipy.io  # only this layout needs it

    try:
        if path.stat().st_size > _MAX_BYTES:
            raise RecordError(f"record {name}: {path.stat().st_size} bytes are no recording of CPSC2018")
        structure = scipy.io.loadmat(path, variable_names=["ECG"], struct_as_record=True)["ECG"]
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
