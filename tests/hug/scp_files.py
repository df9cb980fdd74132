"""Tiny SCP-ECG files, for tests, by an encoder written for this purpose after EN 1064."""

from __future__ import annotations

import binascii
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ecg_files import STEP_UV, Signal, counts_of
from numpy.typing import NDArray

from clear_hug.leads import STANDARD_LEADS

_CODES = {"I": 1, "II": 2, "III": 61, "aVR": 62, "aVL": 63, "aVF": 64} | {f"V{n}": n + 2 for n in range(1, 7)}
_OWN = [
    [(1, 1, 1, 0, "0"), (3, 3, 1, 1, "100"), (3, 3, 1, -1, "101"), (2, 18, 1, 0, "11")],
    [(1, 17, 1, 0, "1"), (1, 1, 0, 1, "0")],
]


def write_scp(
    path: Path,
    signal: Signal,
    leads: tuple[str, ...] = STANDARD_LEADS,
    fs: float = 250.0,
    huffman: str = "default",
    differences: int = 2,
    beats: Sequence[int] = (),
    bimodal: int = 0,
) -> Path:
    """`huffman` is default, own or none; with `beats` (0-based R peaks) a reference beat is subtracted around each, and
    with `bimodal` only one of so many samples is stored outside the zones around them."""
    counts = counts_of(signal).T.astype(np.int64)
    flags, zones, reference, extra = 0x04, [], None, {}
    if beats:
        half = round(0.12 * fs) // 4 * 4
        reference = np.stack([lead[beats[0] - half : beats[0] + half] for lead in counts])  # [leads, 2 half]
        counts = counts.copy()
        for beat in beats:
            counts[:, beat - half : beat + half] -= reference
        zones = [((beat - half) // 4 * 4 + 1, (beat + half + 4) // 4 * 4) for beat in beats]
        qrs = [struct.pack("<HIII", 0, beat - half + 1, beat + 1, beat + half) for beat in beats]
        body = struct.pack("<HHH", round(2000 * half / fs), half + 1, len(beats)) + b"".join(qrs)
        extra[4] = body + b"".join(struct.pack("<II", *zone) for zone in zones)
        extra[5] = _leads(reference, fs, differences, 0, huffman)
        flags |= 0x01
    if huffman != "none":
        extra[2] = _tables(huffman)
    rhythm = counts
    if bimodal:
        rhythm = np.stack([_decimate(lead, zones, bimodal) for lead in counts])
    ids = [struct.pack("<IIB", 1, counts.shape[1], _CODES[lead]) for lead in leads]
    extra[3] = bytes((len(leads), flags | len(leads) << 3 & 0xFF)) + b"".join(ids)
    extra[6] = _leads(rhythm, fs / (bimodal or 1), differences, bool(bimodal), huffman)
    path.write_bytes(record(extra))
    return path


def record(bodies: dict[int, bytes]) -> bytes:
    """Sections with headers, pointers and checksums."""
    size = 16 + 12 * 10
    at, parts, pointers = 7 + size, [], [struct.pack("<HII", 0, size, 7)]
    for number in range(1, 12):
        body = bodies.get(number)
        if body is None:
            pointers.append(struct.pack("<HII", number, 0, 0))
            continue
        section = _section(number, body + b"\0" * (len(body) % 2))
        pointers.append(struct.pack("<HII", number, len(section), at))
        parts.append(section)
        at += len(section)
    content = _section(0, b"".join(pointers)) + b"".join(parts)
    sized = struct.pack("<I", len(content) + 6) + content
    return struct.pack("<H", binascii.crc_hqx(sized, 0xFFFF)) + sized


def _section(number: int, body: bytes) -> bytes:
    head = struct.pack("<HIBB6s", number, len(body) + 16, 20, 20, b"SCPECG" if number == 0 else b"") + body
    return struct.pack("<H", binascii.crc_hqx(head, 0xFFFF)) + head


def _leads(counts: NDArray[np.int64], fs: float, differences: int, bimodal: bool, huffman: str) -> bytes:
    packed = [_pack(_differ(lead, differences), huffman) for lead in counts]
    head = struct.pack("<HHBB", round(STEP_UV * 1000), round(1e6 / fs), differences, bimodal)
    return head + struct.pack(f"<{len(packed)}H", *map(len, packed)) + b"".join(packed)


def _differ(lead: NDArray[np.int64], kind: int) -> NDArray[np.int64]:
    if kind == 1:
        return np.concatenate((lead[:1], np.diff(lead)))
    return np.concatenate((lead[:2], np.diff(lead, 2))) if kind == 2 else lead


def _pack(values: NDArray[np.int64], huffman: str) -> bytes:
    if huffman == "none":
        return values.astype("<i2").tobytes()
    code = _default_code if huffman == "default" else _own_code
    bits = "".join(code(int(value), number) for number, value in enumerate(values))
    bits += "1" * (-len(bits) % 8)
    packed = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
    return packed + b"\0" * (len(packed) % 2)


def _default_code(value: int, number: int) -> str:
    if abs(value) <= 8:
        return "1" * abs(value) + "0" + ("" if value == 0 else "01"[value < 0])
    return f"1111111110{value & 0xFF:08b}" if -128 <= value < 128 else f"1111111111{value & 0xFFFF:016b}"


def _own_code(value: int, number: int) -> str:
    return {0: "0", 1: "100", -1: "101"}.get(value, f"11{value & 0xFFFF:016b}")


def _tables(huffman: str) -> bytes:
    if huffman == "default":
        return struct.pack("<H", 19999)
    parts = [struct.pack("<H", len(_OWN))]
    for table in _OWN:
        parts.append(struct.pack("<H", len(table)))
        parts += [
            struct.pack("<BBBhI", bits, whole, stays, value, int(code[::-1], 2))
            for bits, whole, stays, value, code in table
        ]
    return b"".join(parts)


def _decimate(lead: NDArray[np.int64], zones: list[tuple[int, int]], every: int) -> NDArray[np.int64]:
    """Means of `every` samples outside the zones, all samples inside."""
    out: list[int] = []
    at = 1
    for first, last in [*zones, (len(lead) + 1, len(lead))]:
        out += [round(lead[begin - 1 : min(begin - 1 + every, first - 1)].mean()) for begin in range(at, first, every)]
        out += lead[first - 1 : last].tolist()
        at = last + 1
    return np.array(out, dtype=np.int64)
