"""SCP-ECG (EN 1064:2005+A1:2007, ISO 11073-91064:2009): a strict reader of the rhythm data of sections 2 to 6.

Read: no or any Huffman tables, first and second differences, subtraction of reference beats, bimodal compression. A
record is a CRC, its length, and sections, each behind a header of 16 bytes; section 0 says where they lie. All numbers
are little-endian; samples are counted from 1.
"""

from __future__ import annotations

import binascii
import struct
from dataclasses import dataclass
from math import gcd
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.formats.channels import Channel, damage_as_error, read_bytes, record_of_channels, scale_of
from clear_hug.data.formats.scp_huffman import HuffmanTable, decode_huffman, parse_tables, undo_differences
from clear_hug.data.formats.scp_residual import QRSZones, expand_bimodal, parse_zones
from clear_hug.data.record import Record, RecordError

__all__ = ["looks_like_scp", "read_scp"]

_HEADER = 16
_MAX_BYTES = 1 << 24
_MAX_LEADS = 64
_LEADS = {1: "I", 2: "II", 61: "III", 62: "aVR", 63: "aVL", 64: "aVF"} | {n + 2: f"V{n}" for n in range(1, 7)}
_NANOVOLTS = "nV"


@dataclass(frozen=True)
class _Lead:
    """First and last sample (counted from 1) and identification of one lead, from section 3."""

    start: int
    end: int
    code: int

    @property
    def samples(self) -> int:
        return self.end - self.start + 1


@dataclass(frozen=True)
class _Block:
    """Section 5 or 6: nV per step, µs per sample, kind of differences, flag of bimodal compression, bytes per lead."""

    step: int
    interval: int
    differences: int
    bimodal: bool
    leads: list[bytes]


def looks_like_scp(head: bytes) -> bool:
    """Whether a file may begin so: section 0, which points to itself at byte 7."""
    return (
        len(head) >= 32
        and head[8:10] == b"\0\0"
        and struct.unpack_from("<HI", head, 22)[0] == 0
        and head[28:32] == b"\7\0\0\0"
    )


def read_scp(path: str | Path) -> Record:
    """Read the rhythm leads.

    Args:
        path: the file.

    Raises:
        RecordError: sections that lie outside the file or contradict each other, codes in no table, fewer samples than
            promised, no step of voltage or time. A wrong checksum is only a note.
    """
    path = Path(path)
    content = read_bytes(path, _MAX_BYTES)
    with damage_as_error(path, "SCP-ECG"):
        sections, notes = _sections(content)
        for number, what in ((3, "definition of leads"), (6, "rhythm data")):
            if number not in sections:
                raise RecordError(f"record {path.stem}: {path} has no section {number} ({what}); export it again")
        leads, subtracted = _lead_definitions(sections[3])
        tables = parse_tables(sections[2]) if 2 in sections else None
        rhythm = _block(sections[6], len(leads))
        if rhythm.interval == 0:
            raise ValueError("the time between samples is 0")
        if subtracted or rhythm.bimodal:
            if not {4, 5} <= set(sections):
                raise ValueError("reference beats were subtracted, but sections 4 and 5 are not there")
            zones, beat = parse_zones(sections[4]), _block(sections[5], len(leads))
            signals, step = _with_reference_beats(rhythm, beat, zones, leads, tables, subtracted)
            interval = beat.interval if rhythm.bimodal else rhythm.interval
        else:
            signals = [
                _decode(data, lead.samples, rhythm, tables) for data, lead in zip(rhythm.leads, leads, strict=True)
            ]
            step, interval = rhythm.step, rhythm.interval
        begin = min(lead.start for lead in leads)
        if max(lead.start for lead in leads) - begin > max(map(len, signals)):
            raise ValueError("leads begin later than others end, so they were not recorded together")
        scale = scale_of(step, _NANOVOLTS, path, _name(leads[0]))
        channels = [_channel(lead, values, scale, begin) for lead, values in zip(leads, signals, strict=True)]
        return record_of_channels(path, "SCP-ECG", channels, 1e6 / interval, notes=notes)


def _sections(content: bytes) -> tuple[dict[int, bytes], list[str]]:
    """Bodies of the sections by number, and a note for checksums that differ."""
    if not looks_like_scp(content):
        raise ValueError("it does not begin with section 0")
    length, pointers = struct.unpack_from("<I", content, 2)[0], struct.unpack_from("<I", content, 10)[0]
    if length > len(content):
        raise ValueError(f"{length} bytes are promised, {len(content)} are there")
    end = 6 + pointers
    if not _HEADER + 10 <= pointers <= len(content) - 6:
        raise ValueError(f"section 0 promises {pointers} bytes")
    bodies: dict[int, bytes] = {}
    damaged = ["record"] if binascii.crc_hqx(content[2:length], 0xFFFF) != struct.unpack_from("<H", content)[0] else []
    for position in range(6 + _HEADER, end - 9, 10):
        number, size, index = struct.unpack_from("<HII", content, position)
        if size <= _HEADER or number == 0 or number > 6:
            continue
        section = content[index - 1 : index - 1 + size]
        if index < 1 or len(section) < size or struct.unpack_from("<H", section, 2)[0] != number:
            raise ValueError(f"section {number} is not where section 0 says ({size} bytes at {index})")
        if binascii.crc_hqx(section[2:], 0xFFFF) != struct.unpack_from("<H", section)[0]:
            damaged.append(f"section {number}")
        bodies[number] = section[_HEADER:]
    return bodies, [f"checksum of {', '.join(damaged)} differs, the file may be damaged"] if damaged else []


def _lead_definitions(body: bytes) -> tuple[list[_Lead], bool]:
    count, flags = body[0], body[1]
    if not 1 <= count <= _MAX_LEADS or 2 + 9 * count > len(body):
        raise ValueError(f"section 3 promises {count} leads in {len(body)} bytes")
    leads = [_Lead(*struct.unpack_from("<IIB", body, 2 + 9 * index)) for index in range(count)]
    for lead in leads:
        if not 1 <= lead.start <= lead.end:
            raise ValueError(f"lead {_name(lead)} reaches from sample {lead.start} to {lead.end}")
    return leads, bool(flags & 1)


def _block(body: bytes, leads: int) -> _Block:
    step, interval, differences, bimodal = struct.unpack_from("<HHBB", body)
    sizes = struct.unpack_from(f"<{leads}H", body, 6)
    begin = 6 + 2 * leads
    if begin + sum(sizes) > len(body):
        raise ValueError(f"the leads promise {sum(sizes)} bytes, {len(body) - begin} are there")
    ends = np.cumsum(sizes) + begin
    parts = [body[int(stop) - size : int(stop)] for stop, size in zip(ends, sizes, strict=True)]
    return _Block(step, interval, differences, bool(bimodal), parts)


def _decode(
    data: bytes, samples: int, block: _Block, tables: list[HuffmanTable] | None, at_least: int | None = None
) -> NDArray[np.int64]:
    if tables is not None:
        return undo_differences(decode_huffman(data, samples, tables, at_least), block.differences)
    held = len(data) // 2
    if held < (samples if at_least is None else at_least):
        raise ValueError(f"{samples} samples are promised, {held} are there")
    return undo_differences(np.frombuffer(data, "<i2", min(samples, held)).astype(np.int64), block.differences)


def _with_reference_beats(
    rhythm: _Block,
    beat: _Block,
    zones: QRSZones,
    leads: list[_Lead],
    tables: list[HuffmanTable] | None,
    subtracted: bool,
) -> tuple[list[NDArray[np.int64]], int]:
    """Samples of all leads with the reference beats put back, and nV per step."""
    if (
        beat.interval == 0
        or rhythm.interval % beat.interval
        or (rhythm.interval != beat.interval and not rhythm.bimodal)
    ):
        raise ValueError(f"rhythm and reference beat have {rhythm.interval} and {beat.interval} µs per sample")
    if rhythm.step == 0 or beat.step == 0:
        raise ValueError("the step of voltage is 0")
    step = gcd(rhythm.step, beat.step) if subtracted else rhythm.step
    beat_samples = round(zones.reference_ms * 1000 / beat.interval)
    signals: list[NDArray[np.int64]] = []
    for lead, data, beat_data in zip(leads, rhythm.leads, beat.leads, strict=True):
        if rhythm.bimodal:
            stored = zones.stored_samples(lead.start, lead.end, rhythm.interval // beat.interval)
            values = _decode(data, stored, rhythm, tables, at_least=max(stored - len(zones.protected) - 1, 1))
            signal = expand_bimodal(values, zones, lead.start, lead.end, rhythm.interval // beat.interval)
        else:
            signal = _decode(data, lead.samples, rhythm, tables)
        if subtracted:
            reference = _decode(beat_data, beat_samples, beat, tables) * (beat.step // step)
            signal = signal * (rhythm.step // step)
            zones.put_back(signal, reference, lead.start)
        signals.append(signal)
    return signals, step


def _name(lead: _Lead) -> str:
    return _LEADS.get(lead.code, f"lead {lead.code} of EN 1064")


def _channel(lead: _Lead, values: NDArray[np.int64], scale: float, begin: int) -> Channel:
    late = np.full(lead.start - begin, np.nan)
    return Channel(_name(lead), np.concatenate((late, values * scale)), scale)
