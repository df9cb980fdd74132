"""WFDB records → `Record`: units to mV, leads by name, and a plain sentence for whatever is wrong."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.record import Record, RecordError
from clear_hug.data.units import MILLIVOLTS
from clear_hug.data.wfdb_header import DEFAULT_GAIN, HeaderSignal, WFDBHeader, parse_header
from clear_hug.leads import canonical_lead

__all__ = ["read_wfdb"]

_SUFFIXES = (".hea", ".dat", ".mat")
_BYTES_PER_SAMPLE = {"8": 1.0, "80": 1.0, "16": 2.0, "61": 2.0, "160": 2.0, "212": 1.5, "24": 3.0, "32": 4.0}
_MISSING_16 = np.iinfo(np.int16).min
_MAX_HEADER_BYTES = 1 << 20
_MAX_SAMPLES = 1 << 31


@dataclass(frozen=True)
class _Wanted:
    """A signal that is an ECG lead: its place in the header, and its standard name."""

    column: int
    lead: str
    signal: HeaderSignal


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
    base = Path(path)
    if base.suffix.lower() in _SUFFIXES:
        base = base.with_suffix("")
    header_path = base.with_name(base.name + ".hea")
    header = parse_header(_header_text(header_path, base.name), base.name)
    wanted, notes = _ecg_leads(header, base.name)
    counts = {signal.samples_per_frame for signal in header.signals}
    if counts != {1}:
        raise RecordError(
            f"record {base.name}: signals of several rates ({sorted(counts)} samples per frame) are not read; "
            "write it again at one rate"
        )
    samples = _check_files(header, base)
    if all(signal.fmt == "16" and signal.skew == 0 for signal in header.signals):
        signal = _read_format_16(header, base, wanted, samples, notes)
    else:
        signal = _read_with_wfdb(base, wanted)
    if np.isnan(signal[0]).any() and np.isnan(signal).all():
        raise RecordError(f"record {base.name}: no lead holds a single sample")
    steps = {w.lead: MILLIVOLTS[w.signal.units.casefold()] / abs(w.signal.gain) for w in wanted if w.signal.gain_given}
    leads = tuple(item.lead for item in wanted)
    return Record(
        signal, header.fs, leads, base.name, str(header_path), header.comments, tuple(notes), steps, file_format="WFDB"
    )


def _header_text(path: Path, name: str) -> str:
    try:
        if path.stat().st_size > _MAX_HEADER_BYTES:
            raise RecordError(f"record {name}: the header has {path.stat().st_size} bytes, which no WFDB header has")
        return path.read_bytes().decode("utf-8", errors="replace")
    except OSError as error:
        raise RecordError(f"record {name}: the header {path} cannot be read ({error.strerror or error})") from error


def _ecg_leads(header: WFDBHeader, name: str) -> tuple[list[_Wanted], list[str]]:
    wanted: list[_Wanted] = []
    notes: list[str] = []
    for column, signal in enumerate(header.signals):
        try:
            lead = canonical_lead(signal.name)
        except ValueError:
            notes.append(f"signal {signal.name!r} is no standard lead and was left out")
            continue
        twin = next((item.signal.name for item in wanted if item.lead == lead), None)
        if twin is not None:
            raise RecordError(f"record {name}: signals {twin!r} and {signal.name!r} both are lead {lead}; rename one")
        if signal.units.casefold() not in MILLIVOLTS:
            raise RecordError(
                f"record {name}: lead {lead} is in {signal.units!r}, which is no unit of voltage; "
                "use mV, uV or V in the header"
            )
        if not math.isfinite(signal.gain) or signal.gain == 0:
            raise RecordError(
                f"record {name}: lead {lead} has gain {signal.gain:g}, so its voltage is unknown; "
                "write the gain (ADC units per mV) into the header"
            )
        if not signal.gain_given:
            notes.append(f"{lead} has no gain in the header, {DEFAULT_GAIN:g} per mV assumed")
        wanted.append(_Wanted(column, lead, signal))
    if not wanted:
        found = ", ".join(repr(signal.name) for signal in header.signals[:12])
        raise RecordError(f"record {name}: no signal is a standard lead (found {found}); rename them in the header")
    return wanted, notes


def _check_files(header: WFDBHeader, base: Path) -> int | None:
    """Samples per signal (None: only the format's own decoder can tell); refuses missing and truncated files."""
    samples = header.samples
    for file_name in dict.fromkeys(signal.file_name for signal in header.signals):
        group = [signal for signal in header.signals if signal.file_name == file_name]
        if len({(signal.fmt, signal.byte_offset) for signal in group}) > 1:
            raise RecordError(f"record {base.name}: {file_name} is described with several formats or offsets")
        path = base.with_name(file_name)
        if not path.is_file():
            raise RecordError(f"record {base.name}: its signal file {path} is missing")
        per_sample = _BYTES_PER_SAMPLE.get(group[0].fmt)
        if per_sample is None:
            continue
        held = int((path.stat().st_size - group[0].byte_offset) / (per_sample * len(group)))
        if samples is None:
            samples = held
        if held < samples:
            raise RecordError(
                f"record {base.name}: {file_name} is truncated: it holds {max(held, 0)} of {samples} samples; "
                "fetch it again"
            )
    if samples is not None and not 0 < samples * len(header.signals) < _MAX_SAMPLES:
        raise RecordError(f"record {base.name}: {samples} samples of {len(header.signals)} signals cannot be read")
    return samples


def _read_format_16(
    header: WFDBHeader, base: Path, wanted: list[_Wanted], samples: int | None, notes: list[str]
) -> NDArray[np.float64]:
    """Little-endian int16, signals of one file interleaved: one read, one subtraction, one division."""
    assert samples is not None  # format 16 has a fixed sample size, so `_check_files` always knows
    files = tuple(dict.fromkeys(item.signal.file_name for item in wanted))
    parts = [_file_of_format_16(header, base, file, wanted, samples, notes) for file in files]
    if len(parts) == 1:
        return parts[0].T
    rows = np.empty((len(wanted), samples))
    for file, part in zip(files, parts, strict=True):
        rows[[index for index, item in enumerate(wanted) if item.signal.file_name == file]] = part
    return rows.T


def _file_of_format_16(
    header: WFDBHeader, base: Path, file: str, wanted: list[_Wanted], samples: int, notes: list[str]
) -> NDArray[np.float64]:
    """The wanted leads of one file [leads, n], one after another in memory, as all that follows works along them."""
    columns = [column for column, other in enumerate(header.signals) if other.file_name == file]
    offset = header.signals[columns[0]].byte_offset
    with base.with_name(file).open("rb", buffering=0) as stream:
        stream.seek(offset)
        held = stream.read(2 * samples * len(columns))
    counts = np.frombuffer(held, "<i2").reshape(samples, len(columns)).T  # [signals of this file, n]
    mine = [item for item in wanted if item.signal.file_name == file]
    picked = [columns.index(item.column) for item in mine]
    stored = np.ascontiguousarray(counts if picked == list(range(len(columns))) else counts[picked])  # [leads, n]
    baseline = np.array([[item.signal.baseline] for item in mine], dtype=np.float64)
    gain = np.array([[item.signal.gain] for item in mine])
    unit = np.array([[MILLIVOLTS[item.signal.units.casefold()]] for item in mine])
    # Subtract and divide in this order, in float64: the same bits as wfdb.rdsamp.
    values = stored.astype(np.float64)
    if baseline.any():
        values -= baseline
    values /= gain
    if (unit != 1.0).any():
        values *= unit
    if stored.min(initial=0) == _MISSING_16:
        values[stored == _MISSING_16] = np.nan
    sums = stored.sum(axis=1, dtype=np.int32).tolist()  # may wrap round: the checksum has but 16 bits
    for item, total in zip(mine, sums, strict=True):
        if item.signal.checksum is not None and (total - item.signal.checksum) % 65536:
            notes.append(f"{item.lead} differs from the checksum in its header, the file may be damaged")
    return values


def _read_with_wfdb(base: Path, wanted: list[_Wanted]) -> NDArray[np.float64]:
    import wfdb  # takes a second to import, and most records do without it

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            record = wfdb.rdrecord(str(base.resolve()), channels=[item.column for item in wanted])
            signal = np.asarray(record.p_signal, dtype=np.float64)
    except Exception as error:  # the decoders raise whatever the bytes lead them to
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RecordError(f"record {base.name}: the signal cannot be decoded ({reason})") from error
    if signal.ndim != 2 or signal.shape[1] != len(wanted) or signal.size == 0:
        raise RecordError(f"record {base.name}: the decoder gave {signal.shape} for {len(wanted)} leads")
    return signal * np.array([MILLIVOLTS[item.signal.units.casefold()] for item in wanted])
