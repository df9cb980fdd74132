"""WFDB format 16, interleaved little-endian int16, to mV lead by lead."""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from clear_hug.data import native
from clear_hug.data.wfdb_leads import WFDBLeads

__all__ = ["decode_format_16"]

_MISSING = np.iinfo(np.int16).min


def decode_format_16(
    held: bytes, width: int, picked: NDArray[np.int64], leads: WFDBLeads, which: NDArray[np.int64] | slice
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Decode the signals of one file.

    Args:
        held: the file's samples.
        width: signals in the file.
        picked: int64 [L], which of them.
        leads: how they become mV.
        which: int64 [L] or a slice, which of those leads they are.

    Returns:
        float64 [L, n], mV, NaN where there is no sample; and int32 [L], the sum of the counts, which may
        wrap round.
    """
    baseline, gain, unit = leads.baseline[which], leads.gain[which], leads.unit[which]
    if native.KERNELS is not None and sys.byteorder == "little":
        found: tuple[NDArray[np.float64], NDArray[np.int32]] = native.KERNELS.decode(
            held, width, picked, baseline, gain, unit
        )
        return found
    stored = np.ascontiguousarray(np.frombuffer(held, "<i2").reshape(-1, width).T[picked])  # [L, n]
    # Subtract and divide in this order, in float64: the same bits as wfdb.rdsamp.
    values = (stored - baseline[:, None]) / gain[:, None]
    values *= unit[:, None]
    values[stored == _MISSING] = np.nan
    return values, stored.sum(axis=1, dtype=np.int32)
