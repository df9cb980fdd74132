"""WFDB format 16, interleaved little-endian int16, to mV lead by lead."""

from __future__ import annotations

import sys
from io import FileIO

import numpy as np
from numpy.typing import NDArray

from clear_hug.data import native
from clear_hug.data.wfdb_leads import WFDBLeads

__all__ = ["checksum_notes", "decode_format_16", "read_counts"]

_MISSING = np.iinfo(np.int16).min


def read_counts(path: str, offset: int, size: int) -> bytes:
    """So many bytes of a file, or those that are there."""
    with FileIO(path) as stream:
        if offset:
            stream.seek(offset)
        held = stream.read(size)
        while len(held) < size and (more := stream.read(size - len(held))):  # systems give 2 GB at a time
            held += more
    return held


def decode_format_16(
    held: bytes,
    width: int,
    picked: NDArray[np.int64],
    leads: WFDBLeads,
    which: NDArray[np.int64] | slice,
    dtype: type[np.floating],
) -> tuple[NDArray[np.floating], NDArray[np.int32]]:
    """Decode the signals of one file.

    Args:
        held: the file's samples.
        width: signals in the file.
        picked: int64 [L], which of them.
        leads: how they become mV.
        which: int64 [L] or a slice, which of those leads they are.
        dtype: float64, or float32 for what that rounds to.

    Returns:
        [L, n], mV, NaN where there is no sample; and int32 [L], the sum of the counts, which may wrap round.
    """
    baseline, gain, unit = leads.baseline[which], leads.gain[which], leads.unit[which]
    if native.KERNELS is not None and sys.byteorder == "little":
        found: tuple[NDArray[np.floating], NDArray[np.int32]] = native.KERNELS.decode(
            held, width, picked, baseline, gain, unit, dtype is np.float32
        )
        return found
    stored = np.ascontiguousarray(np.frombuffer(held, "<i2").reshape(-1, width).T[picked])  # [L, n]
    # Subtract and divide in this order, in float64: the same bits as wfdb.rdsamp.
    values = (stored - baseline[:, None]) / gain[:, None]
    values *= unit[:, None]
    values[stored == _MISSING] = np.nan
    with np.errstate(over="ignore"):
        return values.astype(dtype, copy=False), stored.sum(axis=1, dtype=np.int32)


def checksum_notes(names: tuple[str, ...], sums: NDArray[np.integer], checksums: NDArray[np.int64]) -> tuple[str, ...]:
    """A note for each lead whose counts do not add up to the checksum [L] in its header."""
    differs = (sums - checksums) % 65536 != 0
    if not differs.any():
        return ()
    return tuple(
        f"{names[lead]} differs from the checksum in its header, the file may be damaged"
        for lead in differs.nonzero()[0].tolist()
    )
