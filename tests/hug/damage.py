"""Random damage to files: bytes and fields replaced, pieces cut out, the end torn off."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import strategies as st

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

edits = st.lists(
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
"""Where (0: beginning, 1: end; squared, so that headers get more), and what."""


def damage(content: bytes, changes: list[tuple[float, tuple[str, bytes]]]) -> bytes:
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
