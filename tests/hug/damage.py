"""Random damage to files, and what has to hold of a damaged one."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from clear_hug.data import PrepareSettings
from clear_hug.data.row import RecordReader, prepare_file

Changes: TypeAlias = list[tuple[float, tuple[str, bytes]]]
"""Where (0: beginning, 1: end; squared, so that headers get more), and what."""
ODD_BYTES = (b"\x00", b"\xff" * 4, b"\xff\xff\xff\x7f", b"\x00" * 8, b"\x00\x80", b"\x01\x00\x00\x00")
ODD_TEXTS = (
    b"nan",
    b"-1",
    b"0",
    b"1e308",
    b"99999999999",
    b"inf",
    b"",
    b"../../x",
    b"/etc/passwd",
    b"'",
    b"\xe9",
    b"<",
    b"&x;",
)

edits: st.SearchStrategy[Changes] = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.one_of(
            st.sampled_from(ODD_BYTES + ODD_TEXTS).map(lambda piece: ("over", piece)),
            st.sampled_from(ODD_TEXTS).map(lambda piece: ("field", piece)),
            st.integers(0, 255).map(lambda byte: ("over", bytes((byte,)))),
            st.integers(1, 300).map(lambda count: ("cut", b"x" * count)),
            st.just(("end", b"")),
        ),
    ),
    min_size=1,
    max_size=4,
)


def examples(count: int, seconds: float = 10.0) -> Any:
    """The settings of a test by so many files, always the same ones, none of which may take longer."""
    return settings(
        max_examples=count, deadline=1000 * seconds, derandomize=True, suppress_health_check=list(HealthCheck)
    )


def damage(content: bytes, changes: Changes) -> bytes:
    """Bytes and fields replaced, pieces cut out, the end torn off."""
    for place, (how, piece) in changes:
        at = int(place * place * max(len(content) - 1, 0))
        if how == "over":
            content = content[:at] + piece + content[at + len(piece) :]
        elif how == "field":  # the number or word that begins here or later
            ends = [end for mark in b' ,"<>\n()/' if (end := content.find(mark, at + 1)) > 0]
            content = content[:at] + piece + content[min(ends, default=at) :]
        elif how == "cut":
            content = content[:at] + content[at + len(piece) :]
        elif at > len(content) // 3:
            content = content[:at]
    return content


@contextmanager
def memory_below(most: int) -> Iterator[None]:
    """Fail if what is done inside holds as many bytes at a time, as far as Python and NumPy allocate them."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most


def check_row(path: Path, read: RecordReader) -> None:
    """From a damaged file to the store's row: flagged with a reason, or finite tokens."""
    row = prepare_file(path, PrepareSettings(), read)
    assert not row.flag.startswith("internal error")
    assert bool(row.flag) != bool(row.valid.any())
    assert np.isfinite(row.tokens).all()
