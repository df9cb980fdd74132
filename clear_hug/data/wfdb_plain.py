"""The plainest WFDB records, which most data sets are made of, read with one compiled look at their header.

All their signals lie in one file of format 16, at one rate and one after another. Whatever is unusual or wrong about a
record is left to `wfdb_reader.py`, which reads these too, and says what is wrong.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clear_hug.data import native
from clear_hug.data.wfdb_format16 import checksum_notes, decode_format_16, read_counts
from clear_hug.data.wfdb_leads import WFDBLeads, described_leads

__all__ = ["MAX_SAMPLES", "WFDBSignals", "read_plain"]

MAX_SAMPLES = 1 << 31
"""Of all signals of a record together."""


class WFDBSignals(NamedTuple):
    """What a record holds.

    Attributes:
        signal: float [n, leads], mV, NaN where there is no sample; lead by lead in memory.
        fs: rate, Hz.
        leads: the signals that are leads.
        comments: of the header.
        notes: remarks that do not prevent use.
    """

    signal: NDArray[np.floating]
    fs: float
    leads: WFDBLeads
    comments: tuple[str, ...]
    notes: tuple[str, ...]


def read_plain(header: bytes, folder: str, name: str, dtype: type[np.floating]) -> WFDBSignals | None:
    """Read a record of the plainest kind.

    Args:
        header: the text of its header.
        folder: where it lies, with the separator at its end.
        name: of the record, as its files have it.
        dtype: of the signal, float64 or float32.

    Returns:
        None where it is of another kind, where its signal file is not as promised, or without compiled kernels.

    Raises:
        RecordError: its leads cannot be used, see `ecg_leads`.
    """
    if native.KERNELS is None or sys.byteorder != "little":
        return None
    found = native.KERNELS.plain_header(header)
    if found is None:
        return None
    fs, samples, file, offset, signals, checksums, comments = found
    size = 2 * samples * len(signals)
    if samples * len(signals) >= MAX_SAMPLES:
        return None
    path = folder + file
    if file.rpartition(".")[0] != name:
        return None
    try:
        about = os.stat(path)  # noqa: PTH116
        if not stat.S_ISREG(about.st_mode) or about.st_size - offset < size:
            return None
        held = read_counts(path, offset, size)
    except OSError:
        return None
    if len(held) != size:
        return None
    leads = described_leads(signals, name)
    values, sums = decode_format_16(held, len(signals), leads.columns, leads, slice(None), dtype)
    notes = leads.notes + checksum_notes(leads.names, sums, checksums[leads.columns])
    return WFDBSignals(values.T, fs, leads, comments, notes)
