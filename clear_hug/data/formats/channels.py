"""What every reader of a file format shares: bounded reading, and from decoded channels to a `Record`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.record import Record, RecordError
from clear_hug.data.units import millivolts
from clear_hug.leads import canonical_lead

__all__ = [
    "MAX_FILE_BYTES",
    "Channel",
    "damage_as_error",
    "is_lead",
    "read_bytes",
    "record_name",
    "record_of_channels",
    "scale_of",
]

MAX_FILE_BYTES = 1 << 28
"""Files above 256 MiB are refused: 10 s of twelve leads are about 0.1 MB, a day about 200 MB."""

_MAX_CHANNELS = 512
_HIGHEST_FS = 1e6


@dataclass(frozen=True, eq=False)
class Channel:
    """One decoded channel.

    Attributes:
        name: as the file spells it.
        values: float64 [n], mV; NaN where a sample is missing.
        resolution: mV per step of the stored integers; None where the file has none.
    """

    name: str
    values: NDArray[np.float64]
    resolution: float | None = None


def read_bytes(path: Path, limit: int = MAX_FILE_BYTES) -> bytes:
    """The whole file.

    Raises:
        RecordError: it cannot be read, is empty, or is larger than `limit` bytes.
    """
    try:
        if path.exists() and not path.is_file():
            raise RecordError(f"record {path.stem}: {path} is no file")
        size = path.stat().st_size
        if size > limit:
            raise RecordError(
                f"record {path.stem}: {path} has {size / 2**20:.0f} MiB, at most {limit / 2**20:.0f} are read; cut the "
                "recording into shorter files"
            )
        with path.open("rb") as stream:
            content = stream.read(size + 1)  # `read` sets aside as much as it is asked for
    except OSError as error:
        raise RecordError(f"record {path.stem}: {path} cannot be read ({error.strerror or error})") from error
    if not content:
        raise RecordError(f"record {path.stem}: {path} is empty; fetch it again")
    return content


def record_name(path: Path) -> str:
    """The file's name without its suffix, if that is one: unique identifiers ("1.2.840.1") keep their dots."""
    return path.stem if path.suffix[1:].isalnum() and not path.suffix[1:].isdigit() else path.name


def is_lead(name: str) -> bool:
    """Whether a channel of that name is a standard lead."""
    try:
        canonical_lead(name)
    except ValueError:
        return False
    return True


def scale_of(value: float, unit: str, path: Path, lead: str) -> float:
    """How many mV there are per step of a stored integer, from a step of `value` `unit`.

    Raises:
        RecordError: zero, no number, or no unit of voltage.
    """
    try:
        step = value * millivolts(unit)
    except ValueError as error:
        raise RecordError(f"record {path.stem}: lead {lead} of {path.name}: {error}") from error
    if not math.isfinite(step) or step == 0:
        raise RecordError(
            f"record {path.stem}: lead {lead} of {path.name} has a step of {value:g} {unit}, so its voltage is "
            "unknown; export the file again with its gain"
        )
    return step


def record_of_channels(
    path: Path,
    file_format: str,
    channels: Sequence[Channel],
    fs: float,
    comments: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Record:
    """Put the channels that are standard leads side by side.

    Args:
        path: the file; the record is called by its name without suffix.
        file_format: what kind of file it is.
        channels: all that were decoded. Channels that are no standard lead are left out with a note; shorter ones are
            filled up with NaN, with a note.
        fs: rate of all of them, Hz.
        comments: text of the file that names nobody.
        notes: remarks so far.

    Raises:
        RecordError: no standard lead, one of them twice, no sample, or an impossible rate.
    """
    name = record_name(path)
    if not (math.isfinite(fs) and 0 < fs <= _HIGHEST_FS):
        raise RecordError(f"record {name}: {path.name} has a sampling rate of {fs:g} Hz, but it must be positive")
    if len(channels) > _MAX_CHANNELS:
        raise RecordError(f"record {name}: {path.name} has {len(channels)} channels, which no ECG has")
    found: dict[str, Channel] = {}
    others: list[str] = []
    for channel in channels:
        try:
            lead = canonical_lead(channel.name)
        except ValueError:
            others.append(repr(channel.name[:24]))
            continue
        if lead in found:
            raise RecordError(
                f"record {name}: channels {found[lead].name!r} and {channel.name!r} of {path.name} both are lead "
                f"{lead}; keep one"
            )
        found[lead] = channel
    if not found:
        said = ", ".join(others[:12]) or "none at all"
        raise RecordError(f"record {name}: {path.name} has no channel that is a standard lead (found {said})")
    lengths = {lead: len(channel.values) for lead, channel in found.items()}
    samples = max(lengths.values())
    signal = np.full((samples, len(found)), np.nan)  # [n, leads]
    for column, channel in enumerate(found.values()):
        signal[: len(channel.values), column] = channel.values
    if not np.isfinite(signal).any():
        raise RecordError(f"record {name}: no lead of {path.name} holds a single sample")
    said_of = list(notes)
    if others:
        said_of.append(f"{', '.join(others[:6])}{' …' * (len(others) > 6)} no standard lead, left out")
    short = [f"{lead} ({count})" for lead, count in lengths.items() if count < samples]
    if short:
        said_of.append(f"{' '.join(short)} shorter than the others ({samples} samples)")
    steps = {lead: abs(channel.resolution) for lead, channel in found.items() if channel.resolution}
    return Record(signal, fs, tuple(found), name, str(path), tuple(comments), tuple(said_of), steps, file_format)


@contextmanager
def damage_as_error(path: Path, file_format: str) -> Iterator[None]:
    """Whatever a decoder raises over damaged bytes becomes a `RecordError` that names the file."""
    try:
        yield
    except RecordError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise RecordError(
            f"record {path.stem}: {path} cannot be decoded as {file_format} ({reason}); export or fetch it again"
        ) from error
