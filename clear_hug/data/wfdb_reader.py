"""WFDB records → `Record`: units to mV, leads by name, and a plain sentence for whatever is wrong."""

from __future__ import annotations

import os
import stat
import warnings
from io import FileIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.record import Record, RecordError
from clear_hug.data.wfdb_format16 import decode_format_16
from clear_hug.data.wfdb_header import WFDBHeader, parse_header
from clear_hug.data.wfdb_leads import WFDBLeads, ecg_leads

__all__ = ["read_wfdb"]

_SUFFIXES = (".hea", ".dat", ".mat")
_BYTES_PER_SAMPLE = {"8": 1.0, "80": 1.0, "16": 2.0, "61": 2.0, "160": 2.0, "212": 1.5, "24": 3.0, "32": 4.0}
_MAX_HEADER_BYTES, _USUAL_HEADER_BYTES = 1 << 20, 1 << 13
_MAX_SAMPLES = 1 << 31


def read_wfdb(path: str | Path) -> Record:
    """Read one WFDB record.

    Args:
        path: the record, with or without `.hea`, `.dat` or `.mat`; PhysioNet Challenge `.mat` files are WFDB too.

    Returns:
        The record with every signal that is a standard lead, in the file's order. Other signals (respiration,
        pressure …) are left out with a note.

    Raises:
        RecordError: header or signal file missing or shorter than promised, no standard lead, unknown unit, gain 0,
            signals of several rates, several segments, a file name outside the record's folder, no sample at all.
    """
    base = str(Path(path))  # joining strings takes a tenth of the time of joining paths
    stem, suffix = os.path.splitext(base)  # noqa: PTH122
    if suffix.lower() in _SUFFIXES:
        base = stem
    name = os.path.basename(base)  # noqa: PTH119
    folder = base[: len(base) - len(name)]  # with the separator at its end
    header_path = f"{base}.hea"
    header = parse_header(_header_text(header_path, name), name)
    leads = ecg_leads(header.signals, name)
    notes = list(leads.notes)
    if any(signal.samples_per_frame != 1 for signal in header.signals):
        counts = {signal.samples_per_frame for signal in header.signals}
        raise RecordError(
            f"record {name}: signals of several rates ({sorted(counts)} samples per frame) are not read; "
            "write it again at one rate"
        )
    samples = _check_files(header, folder, name)
    if all(signal.fmt == "16" and signal.skew == 0 for signal in header.signals):
        signal = _read_format_16(header, folder, leads, samples, notes)
    else:
        signal = _read_with_wfdb(base, leads)
    if np.isnan(signal[0]).any() and np.isnan(signal).all():
        raise RecordError(f"record {name}: no lead holds a single sample")
    return Record(signal, header.fs, leads.names, name, header_path, header.comments, tuple(notes), leads.steps, "WFDB")


def _header_text(path: str, name: str) -> str:
    try:
        with FileIO(path) as stream:
            text = stream.read(_USUAL_HEADER_BYTES)  # sets aside as much as it is asked for
            if len(text) == _USUAL_HEADER_BYTES:
                text += stream.read(_MAX_HEADER_BYTES + 1 - len(text))
    except OSError as error:
        raise RecordError(f"record {name}: the header {path} cannot be read ({error.strerror or error})") from error
    if len(text) > _MAX_HEADER_BYTES:
        raise RecordError(f"record {name}: the header has more than {_MAX_HEADER_BYTES} bytes, as no WFDB header has")
    return text.decode("utf-8", errors="replace")


def _check_files(header: WFDBHeader, folder: str, name: str) -> int | None:
    """Samples per signal (None: only the format's own decoder can tell); refuses missing and truncated files."""
    samples = header.samples
    for file_name in dict.fromkeys(signal.file_name for signal in header.signals):
        group = [signal for signal in header.signals if signal.file_name == file_name]
        if len({(signal.fmt, signal.byte_offset) for signal in group}) > 1:
            raise RecordError(f"record {name}: {file_name} is described with several formats or offsets")
        path = folder + file_name
        try:
            about = os.stat(path)  # noqa: PTH116
        except OSError:
            about = None
        if about is None or not stat.S_ISREG(about.st_mode):
            raise RecordError(f"record {name}: its signal file {path} is missing")
        per_sample = _BYTES_PER_SAMPLE.get(group[0].fmt)
        if per_sample is None:
            continue
        held = int((about.st_size - group[0].byte_offset) / (per_sample * len(group)))
        if samples is None:
            samples = held
        if held < samples:
            raise RecordError(
                f"record {name}: {file_name} is truncated: it holds {max(held, 0)} of {samples} samples; fetch it again"
            )
    if samples is not None and not 0 < samples * len(header.signals) < _MAX_SAMPLES:
        raise RecordError(f"record {name}: {samples} samples of {len(header.signals)} signals cannot be read")
    return samples


def _read_format_16(
    header: WFDBHeader, folder: str, leads: WFDBLeads, samples: int | None, notes: list[str]
) -> NDArray[np.float64]:
    """[n, leads], lead by lead in memory, as all that follows works along them."""
    assert samples is not None  # format 16 has a fixed sample size, so `_check_files` always knows
    files = [signal.file_name for signal in header.signals]
    rows: NDArray[np.float64] | None = None
    for file in dict.fromkeys(files[column] for column in leads.columns.tolist()):
        columns = [column for column, other in enumerate(files) if other == file]
        with FileIO(folder + file) as stream:
            if offset := header.signals[columns[0]].byte_offset:
                stream.seek(offset)
            held = stream.read(2 * samples * len(columns))
        which: NDArray[np.int64] | slice = slice(None)
        if len(columns) < len(files):
            which = np.isin(leads.columns, columns).nonzero()[0]
        picked = leads.columns[which]
        values, sums = decode_format_16(held, len(columns), np.searchsorted(columns, picked), leads, which)
        for column, total in zip(picked.tolist(), sums.tolist(), strict=True):
            checksum = header.signals[column].checksum
            if checksum is not None and (total - checksum) % 65536:
                name = leads.names[leads.columns.tolist().index(column)]
                notes.append(f"{name} differs from the checksum in its header, the file may be damaged")
        if len(columns) == len(files):
            return values.T
        if rows is None:
            rows = np.empty((len(leads.names), samples))
        rows[which] = values
    assert rows is not None  # there is at least one lead
    return rows.T


def _read_with_wfdb(base: str, leads: WFDBLeads) -> NDArray[np.float64]:
    import wfdb  # takes a second to import, and most records do without it

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            record = wfdb.rdrecord(str(Path(base).resolve()), channels=leads.columns.tolist())
            signal = np.asarray(record.p_signal, dtype=np.float64)
    except Exception as error:  # the decoders raise whatever the bytes lead them to
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RecordError(f"record {Path(base).name}: the signal cannot be decoded ({reason})") from error
    if signal.ndim != 2 or signal.shape[1] != len(leads.names) or signal.size == 0:
        raise RecordError(f"record {Path(base).name}: the decoder gave {signal.shape} for {len(leads.names)} leads")
    return signal * leads.unit
