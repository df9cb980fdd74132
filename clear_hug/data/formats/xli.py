"""XLI, the compression of Philips' Sierra ECG files: one chunk per lead, LZW with 10-bit codes, second differences.

Described by C. Watford (github.com/sixlettervariables/sierra-ecg-tools, wiki). A chunk is an int32 of its size, an
int16 of unknown use, an int16 first difference, then codes, first bit highest. They give the high bytes of all values,
then the low bytes. The first two values are samples; each one after that is the difference for the sample that
follows it, plus 64.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

__all__ = ["unpack_xli"]

_HEADER = struct.Struct("<ihh")
_BITS = 10
_END = (1 << _BITS) - 1
_BIAS = 64


def unpack_xli(content: bytes, leads: int, samples: int) -> list[NDArray[np.int64]]:
    """Samples of each lead, in converter steps.

    Args:
        content: the chunks, one behind the other.
        leads: how many.
        samples: that each must hold at least; a chunk with more than a second sample of room is refused.

    Raises:
        ValueError: a chunk is missing, cut off, holds too few samples, or unpacks to far more than it should.
    """
    found: list[NDArray[np.int64]] = []
    position = 0
    for lead in range(leads):
        if position + _HEADER.size > len(content):
            raise ValueError(f"chunk {lead + 1} of {leads} is missing")
        size, _, first = _HEADER.unpack_from(content, position)
        position += _HEADER.size
        if size < 0 or position + size > len(content):
            raise ValueError(f"chunk {lead + 1} promises {size} bytes, {len(content) - position} are there")
        packed = _lzw(content[position : position + size], 4 * samples + 64)
        position += size
        values = _integrate(_join(packed), first)
        if len(values) < samples:
            raise ValueError(f"chunk {lead + 1} holds {len(values)} of {samples} samples")
        found.append(values[:samples])
    return found


def _lzw(content: bytes, limit: int) -> bytes:
    """Lempel-Ziv-Welch, fixed code length; the table stops growing when it is full."""
    table = [bytes((value,)) for value in range(256)]
    out = bytearray()
    before = b""
    window, held = 0, 0
    for byte in content:
        window = (window << 8 | byte) & 0xFFFFFF
        held += 8
        if held < _BITS:
            continue
        held -= _BITS
        code = window >> held & _END
        if code == _END:
            break
        if code < len(table):
            word = table[code]
        elif code == len(table) and before:
            word = before + before[:1]
        else:
            raise ValueError(f"code {code} occurs before its word is known")
        out += word
        if len(out) > limit:
            raise ValueError(f"a chunk unpacks to more than the {limit} bytes that its samples take")
        if before and len(table) < _END:
            table.append(before + word[:1])
        before = word
    return bytes(out)


def _join(packed: bytes) -> NDArray[np.int64]:
    """High bytes of all values, then their low bytes → int16 values."""
    half = (len(packed) + 1) // 2
    high = np.frombuffer(packed, np.uint8, half).astype(np.uint16)
    low = np.zeros(half, np.uint16)
    low[: len(packed) - half] = np.frombuffer(packed, np.uint8, offset=half) if len(packed) > half else 0
    return (high << 8 | low).astype(np.uint16).view(np.int16).astype(np.int64)


def _integrate(values: NDArray[np.int64], first: int) -> NDArray[np.int64]:
    """x[n] = 2 x[n-1] - x[n-2] - d[n-1], d of the first being in the header and the others the values less 64."""
    if len(values) < 2:
        return values
    differences = np.concatenate(([first], values[2:-1] - _BIAS))[: len(values) - 2]
    slopes = (values[1] - values[0]) - np.cumsum(differences)
    return np.concatenate((values[:2], values[1] + np.cumsum(slopes)))
