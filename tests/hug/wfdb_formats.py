"""Records in every storage format of WFDB (physionet.org/physiotools/wag/signal-5.htm), packed here bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

Counts = NDArray[np.int64]


def _flat(counts: Counts, dtype: str) -> bytes:
    return counts.astype(dtype).tobytes()


def _differences(counts: Counts) -> bytes:
    return _flat(np.diff(counts, axis=0, prepend=counts[:1]), "i1")


def _three_bytes(counts: Counts) -> bytes:
    return counts.astype("<i4").reshape(-1, 1).view("u1")[:, :3].tobytes()


def _in_groups(counts: Counts, size: int) -> Counts:
    """[groups, size], the last group filled up with zeros."""
    flat = counts.ravel()
    return np.pad(flat, (0, -len(flat) % size)).reshape(-1, size)


def _pack_212(counts: Counts) -> bytes:
    one, two = (_in_groups(counts, 2) & 0xFFF).T
    return np.stack([one & 0xFF, (one >> 8) | (two >> 8) << 4, two & 0xFF], axis=1).astype("u1").tobytes()


def _pack_310(counts: Counts) -> bytes:
    one, two, three = (_in_groups(counts, 3) & 0x3FF).T
    words = np.stack([(one << 1) | (three & 0x1F) << 11, (two << 1) | (three >> 5) << 11], axis=1)
    return words.astype("<u2").tobytes()


def _pack_311(counts: Counts) -> bytes:
    one, two, three = (_in_groups(counts, 3) & 0x3FF).T
    return (one | two << 10 | three << 20).astype("<u4").tobytes()


PACKED: dict[str, tuple[int, Callable[[Counts], bytes]]] = {
    "8": (10, _differences),
    "16": (16, lambda counts: _flat(counts, "<i2")),
    "24": (24, _three_bytes),
    "32": (32, lambda counts: _flat(counts, "<i4")),
    "61": (16, lambda counts: _flat(counts, ">i2")),
    "80": (8, lambda counts: _flat(counts + 128, "u1")),
    "160": (16, lambda counts: _flat(counts + 32768, "<u2")),
    "212": (12, _pack_212),
    "310": (10, _pack_310),
    "311": (10, _pack_311),
}
"""Bits of a sample, and how samples become bytes."""
FLAC = {"508": (8, "PCM_S8", 24), "516": (16, "PCM_16", 16), "524": (24, "PCM_24", 8)}
"""Bits of a sample, how the file calls them, and how far below the top of 32 bits they lie."""
FORMATS = (*PACKED, *FLAC)


def write_in_format(path: Path, signal: NDArray[np.float64], leads: tuple[str, ...], fmt: str, fs: float) -> float:
    """Write `path`.hea and .dat from a signal [n, leads] in mV within ±2; returns the step between counts, mV."""
    bits = PACKED[fmt][0] if fmt in PACKED else FLAC[fmt][0]
    gain = 2.0 ** (min(bits, 20) - 2) - 4  # some formats keep the lowest number for samples that are missing
    counts = np.rint(signal * gain).astype(np.int64)
    data = path.with_name(path.name + ".dat")
    if fmt in PACKED:
        data.write_bytes(PACKED[fmt][1](counts))
    else:
        _, subtype, shift = FLAC[fmt]
        soundfile.write(str(data), (counts << shift).astype(np.int32), round(fs), subtype=subtype, format="FLAC")
    lines = [f"{path.name} {len(leads)} {fs:g} {len(signal)}"]
    for lead, first, column in zip(leads, counts[0], counts.T, strict=True):
        checksum = int(column.sum()) & 0xFFFF
        lines.append(f"{data.name} {fmt} {gain:g}(0)/mV {bits} 0 {first} {checksum} 0 {lead}")
    path.with_name(path.name + ".hea").write_text("\n".join(lines) + "\n")
    return 1 / gain
