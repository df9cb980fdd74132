"""NumPy arrays: `.npy` and `.npz` (numpy.org/doc/stable/reference/generated/numpy.lib.format.html), never unpickled.

A `.npz` may hold ``signal``, ``fs``, ``leads``, ``units``, ``gain``; a `.npy` is the signal, the rest comes from a side
file or from the user. Sizes are compared with the bytes that are there before anything is allocated.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from clear_hug.data.formats.channels import MAX_FILE_BYTES, Channel, damage_as_error, read_bytes, record_of_channels
from clear_hug.data.formats.facts import SignalFacts, side_facts
from clear_hug.data.record import Record, RecordError

__all__ = ["read_npy", "read_npz"]

_SIGNAL_NAMES = ("signal", "ecg", "data", "arr_0")
_FACT_NAMES = ("fs", "leads", "units", "gain")
_MAX_FACT_BYTES = 1 << 16
_FREE_BYTES = 1 << 24
_HIGHEST_RATIO = 100
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npy(path: str | Path, facts: SignalFacts | None = None) -> Record:
    """Read a `.npy` signal, [n, leads], [leads, n] or [n]; which side is which follows from the number of leads.

    Args:
        path: the file.
        facts: rate, names, unit and gain where no side file (`facts.side_facts`) says.

    Raises:
        RecordError: no array of numbers, cut off, nobody knows rate or leads, or integers without a unit.
    """
    path = Path(path)
    with damage_as_error(path, "NPY"):
        array = _parse(read_bytes(path))
        return _record(array, side_facts(path).over(facts or SignalFacts()), path, "NPY")


def read_npz(path: str | Path, facts: SignalFacts | None = None) -> Record:
    """Read a `.npz` archive with `signal` and, optionally, `fs`, `leads`, `units`, `gain`; see `read_npy`.

    Raises:
        RecordError: as for `read_npy`; no signal in the archive; or one that unpacks to far more than its size.
    """
    path = Path(path)
    with damage_as_error(path, "NPZ"):
        with zipfile.ZipFile(io.BytesIO(read_bytes(path))) as archive:
            members = {Path(info.filename).stem: info for info in archive.infolist()}
            own = {
                name: _parse(_unpack(archive, members[name], path, _MAX_FACT_BYTES))
                for name in _FACT_NAMES
                if name in members
            }
            name = next((name for name in _SIGNAL_NAMES if name in members), None)
            if name is None:
                raise RecordError(
                    f"record {path.stem}: {path.name} holds {', '.join(sorted(members)[:8]) or 'nothing'}, but no "
                    "array called 'signal'"
                )
            array = _parse(_unpack(archive, members[name], path, MAX_FILE_BYTES))
        return _record(array, _facts(own).over(side_facts(path)).over(facts or SignalFacts()), path, "NPZ")


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, limit: int) -> bytes:
    """One member, its size checked before and while unpacking: what the archive promises need not be true."""
    if info.file_size > limit or (
        info.file_size > _FREE_BYTES and info.file_size > _HIGHEST_RATIO * info.compress_size
    ):
        raise RecordError(
            f"record {path.stem}: {info.filename!r} in {path.name} unpacks from {info.compress_size} to "
            f"{info.file_size} bytes, which is refused; save it with numpy.savez, or cut the recording"
        )
    with archive.open(info) as stream:
        content = stream.read(info.file_size + 1)
    if len(content) > limit:
        raise RecordError(f"record {path.stem}: {info.filename!r} in {path.name} is larger than it says")
    return content


def _parse(content: bytes) -> NDArray[Any]:
    """An array whose header promises no more than the bytes behind it; objects (pickles) are refused."""
    stream = io.BytesIO(content)
    version = npy.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"version {version} of the format holds no plain numbers")
    shape, fortran, dtype = _HEADERS[version](stream)
    if dtype.hasobject or dtype.kind not in "iufU" or dtype.itemsize == 0:
        raise ValueError(f"an array of {dtype} holds no plain numbers")
    count = 1
    for side in shape:
        count *= int(side)  # Python integers: no overflow, however large a header's promises
    held = (len(content) - stream.tell()) // dtype.itemsize
    if min(shape, default=1) < 0 or count > held:
        raise ValueError(f"an array of shape {shape} is promised, {held} numbers are there")
    flat = np.frombuffer(content, dtype, count, stream.tell())
    return flat.reshape(shape, order="F" if fortran else "C")


def _facts(own: dict[str, NDArray[Any]]) -> SignalFacts:
    def text(name: str) -> str | None:
        return str(own[name].reshape(-1)[0]) if name in own and own[name].size == 1 else None

    def number(name: str) -> float | None:
        said = text(name)
        return None if said is None else float(said)

    leads = tuple(str(name) for name in own["leads"].reshape(-1)) if "leads" in own else None
    return SignalFacts(number("fs"), leads, text("units"), number("gain"))


def _record(array: NDArray[Any], known: SignalFacts, path: Path, file_format: str) -> Record:
    if array.ndim not in (1, 2) or array.dtype.kind not in "iuf" or array.size == 0:
        raise RecordError(
            f"record {path.stem}: {path.name} holds {array.dtype} of shape {array.shape}, but must hold numbers "
            "[samples, leads]"
        )
    array = array.reshape(len(array), -1) if array.ndim == 1 else array
    names = known.known_leads(
        path, len(known.leads) if known.leads and len(known.leads) in array.shape else array.shape[1]
    )
    if array.shape[1] != len(names):
        array = array.T
    if array.dtype.kind != "f" and known.units is None:
        raise RecordError(
            f"record {path.stem}: {path.name} holds integers, and nothing says what voltage one of them is; give "
            '--file-units, or a side file with "units" (and "gain", numbers per unit)'
        )
    scale = known.millivolts()
    notes = () if known.units is not None else ("no unit given, mV assumed",)
    step = scale if array.dtype.kind != "f" else None
    values = array.astype(np.float64) * scale
    channels = [Channel(name, values[:, column], step) for column, name in enumerate(names)]
    return record_of_channels(path, file_format, channels, known.known_fs(path), notes=notes)
