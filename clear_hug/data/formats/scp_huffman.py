"""Huffman codes and differences of SCP-ECG (EN 1064:2005+A1:2007, clauses 5.5 and 5.8, annex C)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["DEFAULT_TABLE", "HuffmanTable", "decode_huffman", "parse_tables", "undo_differences"]

DEFAULT_TABLE = 19999
"""Number of tables that stands for the table printed in the standard."""

_STRUCTURE = struct.Struct("<BBBhI")
_MAX_PREFIX, _MAX_EXTRA, _MAX_TABLES = 16, 32, 32


@dataclass(frozen=True)
class HuffmanTable:
    """All codes of one table, looked up by the next `width` bits of the stream.

    Attributes:
        width: bits of the longest prefix.
        entries: 2 ** width tuples (bits of the prefix, bits of a number that follows, value, next table or -1), or None
            for bits that begin no code.
    """

    width: int
    entries: tuple[tuple[int, int, int, int] | None, ...]


def _table(codes: list[tuple[int, int, int, int, int]]) -> HuffmanTable:
    """From (prefix bits, extra bits, value, next table, code with its first bit highest)."""
    width = max(code[0] for code in codes)
    entries: list[tuple[int, int, int, int] | None] = [None] * (1 << width)
    for bits, extra, value, following, code in codes:
        begin = code << (width - bits)
        if any(entries[begin : begin + (1 << (width - bits))]):
            raise ValueError("two of its Huffman codes begin alike")
        entries[begin : begin + (1 << (width - bits))] = [(bits, extra, value, following)] * (1 << (width - bits))
    return HuffmanTable(width, tuple(entries))


@lru_cache(maxsize=1)
def _default() -> HuffmanTable:
    """0 → 0; n ones, 0, sign → ±n for n up to 8; then ten bits before a number of 8 or of 16 bits."""
    codes = [(1, 0, 0, -1, 0)]
    for size in range(1, 9):
        ones = (1 << size) - 1
        codes += [(size + 2, 0, size, -1, ones << 2), (size + 2, 0, -size, -1, ones << 2 | 1)]
    return _table([*codes, (10, 8, 0, -1, 0b1111111110), (10, 16, 0, -1, 0b1111111111)])


def parse_tables(body: bytes) -> list[HuffmanTable]:
    """The tables of section 2.

    Raises:
        ValueError: cut off, empty, too many, or codes that contradict each other.
    """
    (count,) = struct.unpack_from("<H", body)
    if count == DEFAULT_TABLE:
        return [_default()]
    if not 1 <= count <= _MAX_TABLES:
        raise ValueError(f"section 2 promises {count} Huffman tables")
    position = 2
    tables: list[HuffmanTable] = []
    for number in range(1, count + 1):
        if position + 2 > len(body):
            raise ValueError(f"Huffman table {number} is cut off")
        (size,) = struct.unpack_from("<H", body, position)
        position += 2
        if size == 0 or position + size * _STRUCTURE.size > len(body):
            raise ValueError(f"Huffman table {number} is cut off: it promises {size} codes")
        tables.append(_table([_code(body, position + index * _STRUCTURE.size, count) for index in range(size)]))
        position += size * _STRUCTURE.size
    return tables


def _code(body: bytes, position: int, tables: int) -> tuple[int, int, int, int, int]:
    bits, whole, stays, value, stored = _STRUCTURE.unpack_from(body, position)
    if not 1 <= bits <= _MAX_PREFIX or not bits <= whole <= bits + _MAX_EXTRA:
        raise ValueError(f"a Huffman code has {bits} bits of {whole}, at most {_MAX_PREFIX} are read")
    if stays == 0 and not 1 <= value <= tables:
        raise ValueError(f"a Huffman code switches to table {value} of {tables}")
    code = int(f"{stored & ((1 << bits) - 1):0{bits}b}"[::-1], 2)  # stored with its first bit lowest
    return bits, whole - bits, value, (value - 1 if stays == 0 else -1), code


def decode_huffman(
    content: bytes, count: int, tables: list[HuffmanTable], at_least: int | None = None
) -> NDArray[np.int64]:
    """Decode one lead.

    Args:
        content: its bytes; codes begin at the highest bit.
        count: values wanted.
        tables: of section 2; the first one begins.
        at_least: that must be there; None for all of `count`.

    Returns:
        int64 [count, or fewer where `at_least` allows].

    Raises:
        ValueError: a code that is in no table, or too few values.
    """
    total = 8 * len(content)
    if count > total:
        raise ValueError(f"{count} samples are promised, {len(content)} bytes are there")
    padded = content + bytes(8)
    values: list[int] = []
    table, position = tables[0], 0
    while len(values) < count and position < total:
        window = int.from_bytes(padded[position >> 3 : (position >> 3) + 8], "big") << (position & 7) & (1 << 64) - 1
        entry = table.entries[window >> (64 - table.width)]
        if entry is None:
            if total - position < 8:
                break  # the last byte is filled up with bits that mean nothing
            raise ValueError(f"bit {position} begins no Huffman code")
        bits, extra, value, following = entry
        position += bits + extra
        if position > total:
            break
        if following >= 0:
            table = tables[following]
            continue
        if extra:
            number = window >> (64 - bits - extra) & (1 << extra) - 1
            value += number - (number >> (extra - 1) << extra)
        values.append(value)
    if len(values) < (count if at_least is None else at_least):
        raise ValueError(f"the Huffman codes end after {len(values)} of {count} samples")
    return np.array(values, dtype=np.int64)


def undo_differences(values: NDArray[np.int64], kind: int) -> NDArray[np.int64]:
    """Samples from themselves (0), first (1) or second differences (2); they wrap around at 16 bits as encoders do.

    Raises:
        ValueError: another kind.
    """
    if kind not in (0, 1, 2):
        raise ValueError(f"differences of kind {kind} are not defined")
    if kind == 0 or len(values) < 2:
        return values
    if kind == 2:
        slopes = np.concatenate(([values[1] - values[0]], values[2:])).cumsum()
        values = np.concatenate((values[:1], slopes))
    return values.cumsum().astype(np.int16).astype(np.int64)
