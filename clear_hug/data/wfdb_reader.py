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
from clear_hug.data.wfdb_format16 import checksum_notes, decode_format_16, read_counts
from clear_hug.data.wfdb_header import WFDBHeader, parse_header
from clear_hug.data.wfdb_leads import WFDBLeads, ecg_leads
from clear_hug.data.wfdb_plain import MAX_SAMPLES, WFDBSignals, read_plain
from clear_hug.files import check_regular

__all__ = ["read_wfdb"]

_SUFFIXES = (".hea", ".dat", ".mat")
_STORED = {
    "8": (1, 1), "80": (1, 1), "16": (2, 1), "61": (2, 1), "160": (2, 1), "24": (3, 1), "32": (4, 1),
    "212": (3, 2), "310": (4, 3), "311": (4, 3),
}  # fmt: skip
"""Format → bytes, and how many samples they hold."""
_MAX_HEADER_BYTES, _USUAL_HEADER_BYTES = 1 << 20, 1 << 13


def read_wfdb(path: str | Path, dtype: type[np.floating] = np.float64) -> Record:
    """Read one WFDB record.

    Args:
        path: the record, with or without `.hea`, `.dat` or `.mat`; PhysioNet Challenge `.mat` files are WFDB too.
        dtype: of the signal; float32 takes half of the memory and is exact to a ten-thousandth of a recorder's step.

    Returns:
        The record with every signal that is a standard lead, in the file's order. Other signals (respiration,
        pressure …) are left out with a note. Another note says where the header names another record than its file.

    Raises:
        RecordError: header or signal file missing or shorter than promised, no standard lead, unknown unit, gain 0,
            signals of several rates, several segments, a file name outside the record's folder, no sample at all.
    """
    base = str(path if isinstance(path, Path) else Path(path))  # joining strings is ten times faster
    stem, suffix = os.path.splitext(base)  # noqa: PTH122
    if suffix.lower() in _SUFFIXES:
        base = stem
    name = os.path.basename(base)  # noqa: PTH119
    folder = base[: len(base) - len(name)]  # with the separator at its end
    header_path = f"{base}.hea"
    text = _header_text(header_path, name)
    found = read_plain(text, folder, name, dtype) or _read_any(text, base, name, dtype)
    signal, fs, leads, comments, notes = found
    if np.isnan(signal[0, 0]) and np.isnan(signal).all():
        raise RecordError(f"record {name}: no lead holds a single sample")
    notes += _named_otherwise(text, name)
    return Record(signal, fs, leads.names, name, header_path, comments, notes, leads.steps, "WFDB")


def _read_any(text: bytes, base: str, name: str, dtype: type[np.floating]) -> WFDBSignals:
    folder = base[: len(base) - len(name)]
    header = parse_header(text.decode("utf-8", errors="replace"), name)
    leads = ecg_leads(header.signals, name)
    if any(signal.samples_per_frame != 1 for signal in header.signals):
        counts = {signal.samples_per_frame for signal in header.signals}
        raise RecordError(
            f"record {name}: signals of several rates ({sorted(counts)} samples per frame) are not read; "
            "write it again at one rate"
        )
    samples, notes = _check_files(header, folder, name), leads.notes
    signal: NDArray[np.floating]
    if samples is not None and all(signal.fmt == "16" and signal.skew == 0 for signal in header.signals):
        signal, more = _read_format_16(header, folder, leads, samples, dtype)
        notes += more
    else:
        signal = _read_with_wfdb(base, leads).astype(dtype, copy=False)
    return WFDBSignals(signal, header.fs, leads, header.comments, notes)


_SMALL_SAMPLES, _MOST_SAMPLES_PER_BYTE = 10_000_000, 64  # of a compressed file, beyond what ECGs give


def _header_text(path: str, name: str) -> bytes:
    try:
        check_regular(path)
        with FileIO(path) as stream:
            text = stream.read(_USUAL_HEADER_BYTES)  # sets aside as much as it is asked for
            if len(text) == _USUAL_HEADER_BYTES:
                text += stream.read(_MAX_HEADER_BYTES + 1 - len(text))
    except OSError as error:
        raise RecordError(f"record {name}: the header {path} cannot be read ({error.strerror or error})") from error
    if len(text) > _MAX_HEADER_BYTES:
        raise RecordError(f"record {name}: the header has more than {_MAX_HEADER_BYTES} bytes, as no WFDB header has")
    return text


def _named_otherwise(text: bytes, name: str) -> tuple[str, ...]:
    """A note where the header is that of a record of another name: files may have been mixed up."""
    if text.startswith(b"#"):
        lines = (line.lstrip() for line in text.splitlines())
        text = next((line for line in lines if line and not line.startswith(b"#")), b"")
    own = text.split(None, 1)[0].decode("utf-8", errors="replace").partition("/")[0]
    stem, suffix = os.path.splitext(own)  # noqa: PTH122
    if own == name or (stem == name and suffix.lower() in _SUFFIXES):
        return ()
    return (f"its header names another record, {own}",)


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
        other = file_name.rpartition(".")[0]
        if other not in ("", name) and os.path.lexists(f"{folder}{other}.hea"):
            raise RecordError(
                f"record {name}: the header names {file_name}, the signal of record {other}; correct the header"
            )
        packed = _STORED.get(group[0].fmt)
        if packed is None:
            most = max(_SMALL_SAMPLES, _MOST_SAMPLES_PER_BYTE * about.st_size)
            if samples is None or samples * len(group) > most:
                raise RecordError(
                    f"record {name}: the header names {samples or 'no'} samples of {len(group)} signals, but "
                    f"{file_name} has {about.st_size} bytes; correct the header"
                )
            continue
        held = (about.st_size - group[0].byte_offset) * packed[1] // (packed[0] * len(group))
        if samples is None:
            samples = held
        if held < samples:
            raise RecordError(
                f"record {name}: {file_name} is truncated: it holds {max(held, 0)} of {samples} samples; fetch it again"
            )
    if samples is not None and not 0 < samples * len(header.signals) < MAX_SAMPLES:
        raise RecordError(f"record {name}: {samples} samples of {len(header.signals)} signals cannot be read")
    skew = max(signal.skew for signal in header.signals)
    if samples is not None and skew >= samples:
        raise RecordError(f"record {name}: a signal is skewed by {skew} of {samples} samples; correct the header")
    return samples


def _read_format_16(
    header: WFDBHeader, folder: str, leads: WFDBLeads, samples: int, dtype: type[np.floating]
) -> tuple[NDArray[np.floating], tuple[str, ...]]:
    """[n, leads], lead by lead in memory, as all that follows works along them; and notes about the checksums."""
    files = [signal.file_name for signal in header.signals]
    rows = np.empty((len(leads.names), samples), dtype)
    sums = np.zeros(len(rows), dtype=np.int64)
    for file in dict.fromkeys(files[column] for column in leads.columns.tolist()):
        columns = [column for column, other in enumerate(files) if other == file]
        held = read_counts(folder + file, header.signals[columns[0]].byte_offset, 2 * samples * len(columns))
        which = np.isin(leads.columns, columns).nonzero()[0]
        picked = np.searchsorted(columns, leads.columns[which])
        rows[which], sums[which] = decode_format_16(held, len(columns), picked, leads, which, dtype)
    stated = [header.signals[column].checksum for column in leads.columns.tolist()]
    checksums = [total if checksum is None else checksum for checksum, total in zip(stated, sums.tolist(), strict=True)]
    return rows.T, checksum_notes(leads.names, sums, np.array(checksums, dtype=np.int64))


def _read_with_wfdb(base: str, leads: WFDBLeads) -> NDArray[np.float64]:
    import wfdb  # takes a second to import, and most records do without it

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            record = wfdb.rdrecord(str(Path(base).resolve()), channels=leads.columns.tolist(), physical=False)
            record.adc_gain = leads.gain.tolist()  # wfdb reads 2E+2 as 2
            record.baseline = leads.baseline.astype(int).tolist()
            signal = np.asarray(record.dac(), dtype=np.float64)
    except Exception as error:  # the decoders raise whatever the bytes lead them to
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RecordError(f"record {Path(base).name}: the signal cannot be decoded ({reason})") from error
    if signal.ndim != 2 or signal.shape[1] != len(leads.names) or signal.size == 0:
        raise RecordError(f"record {Path(base).name}: the decoder gave {signal.shape} for {len(leads.names)} leads")
    return signal * leads.unit
