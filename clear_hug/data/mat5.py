"""MATLAB's files of version 5: the numbers and texts of one structure, read strictly.

Format: "MAT-File Format", MathWorks, chapter 1. `scipy.io.loadmat` reads more of it, but a damaged file makes it
allocate whatever is promised, and can end the process.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["MatError", "MatValue", "read_structure"]

MatValue: TypeAlias = "NDArray[Any] | str | None"

_HEADER_BYTES = 128
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16"}
_STRUCTURE, _TEXT, _NUMERIC = 2, 4, range(6, 16)  # classes of arrays
_COMPLEX = 0x800  # a flag beside the class
_MOST_FIELDS, _MOST_DIMENSIONS = 64, 32


class MatError(ValueError):
    """A file that is damaged or of another kind; the message says where."""


def read_structure(held: bytes, variable: str, most_bytes: int) -> dict[str, MatValue]:
    """The fields of a structure.

    Args:
        held: the whole file.
        variable: name of the structure, which must be a single one.
        most_bytes: refuse to inflate more than this.

    Returns:
        By name of the field: an array of numbers, in as many dimensions as it has; a text; None for any other kind.

    Raises:
        MatError: no such file, damaged, without that structure, or inflating to more than `most_bytes`.
    """
    order = {b"IM": "<", b"MI": ">"}.get(held[126:_HEADER_BYTES])
    if order is None or struct.unpack_from(order + "H", held, 124)[0] != 0x0100:
        raise MatError("it does not begin as MATLAB's files of version 5 do")
    for kind, content in _elements(memoryview(held)[_HEADER_BYTES:], order):
        if kind == _COMPRESSED:
            inflated = _inflate(content, most_bytes)
            most_bytes -= len(inflated)
            kind, content = next(_elements(memoryview(inflated), order), (0, content))
        if kind != _MATRIX:
            continue
        parts = _elements(content, order)
        array_class, shape, name = _description(parts, order)
        if name == variable:
            if array_class != _STRUCTURE or math.prod(shape) != 1:
                raise MatError(f"{variable} is no structure")
            return _fields(parts, order)
    raise MatError(f"it has no variable {variable}")


def _elements(content: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Type and content of one data element after another."""
    at = 0
    while at + 8 <= len(content):
        kind, size = struct.unpack_from(order + "II", content, at)
        if kind >> 16:  # up to four bytes beside a tag of four bytes
            kind, size, begin, room = kind & 0xFFFF, kind >> 16, at + 4, 4
            at += 8
        else:
            begin, room = at + 8, len(content) - at - 8
            at = begin + (size if kind == _COMPRESSED else -(-size // 8) * 8)
        if size > room:
            raise MatError(f"an element of {size} bytes does not fit into the {room} that are left")
        yield kind, content[begin : begin + size]


def _inflate(content: memoryview, most_bytes: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        inflated = stream.decompress(content, most_bytes + 1)
    except zlib.error as error:
        raise MatError(f"it does not inflate: {error}") from error
    if len(inflated) > most_bytes:
        raise MatError(f"it inflates to more than {most_bytes >> 20} MB")
    if not stream.eof:
        raise MatError("it does not inflate: it is cut off")
    return inflated


def _description(parts: Iterator[tuple[int, memoryview]], order: str) -> tuple[int, tuple[int, ...], str]:
    """Class (0 for complex numbers), shape and name of an array, from its first three elements."""
    flags = _next(parts, _UINT32)
    if len(flags) != 8:
        raise MatError("an array has no flags")
    sizes = _next(parts, _INT32)
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes[: len(sizes) // 4 * 4])
    if not 2 <= len(shape) <= _MOST_DIMENSIONS or min(shape) < 0:
        raise MatError(f"an array has {len(shape)} dimensions: {shape[:_MOST_DIMENSIONS]}")
    name = bytes(_next(parts, _INT8)).decode("latin-1")
    word = int(struct.unpack_from(order + "I", flags)[0])
    return 0 if word & _COMPLEX else word & 0xFF, shape, name


def _fields(parts: Iterator[tuple[int, memoryview]], order: str) -> dict[str, MatValue]:
    length = int.from_bytes(_next(parts, _INT32), "little" if order == "<" else "big")
    names = bytes(_next(parts, _INT8))
    if not 0 < length <= len(names) <= _MOST_FIELDS * length:
        raise MatError(f"{len(names)} bytes are no names of {length} bytes each")
    starts = range(0, len(names) - length + 1, length)
    return {
        names[at : at + length].partition(b"\0")[0].decode("latin-1"): _value(_next(parts, _MATRIX), order)
        for at in starts
    }


def _value(content: memoryview, order: str) -> MatValue:
    if not len(content):  # how MATLAB writes an array of nothing
        return np.zeros((0, 0))
    parts = _elements(content, order)
    array_class, shape, _ = _description(parts, order)
    if array_class != _TEXT and array_class not in _NUMERIC:
        return None
    kind, stored = next(parts, (0, memoryview(b"")))
    if array_class == _TEXT:
        encoding = _TEXTS.get(kind, "latin-1")
        return bytes(stored).decode(encoding + {"<": "-le", ">": "-be"}[order] * (encoding == "utf-16"), "replace")
    if kind not in _NUMBERS:
        raise MatError(f"numbers are stored as type {kind}")
    dtype = np.dtype(order + _NUMBERS[kind])
    if len(stored) != math.prod(shape) * dtype.itemsize:
        raise MatError(f"{len(stored)} bytes are no array of shape {shape}")
    return np.frombuffer(stored, dtype).reshape(shape, order="F")


def _next(parts: Iterator[tuple[int, memoryview]], kind: int) -> memoryview:
    """The next element, which must be of that type."""
    found, content = next(parts, (0, memoryview(b"")))
    if found != kind:
        raise MatError(f"type {found} where {kind} should be")
    return content
