"""The dropout generator: published vectors, a pure-Python twin, and the counters of the specification."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clear_kernels.philox import batch_heads, keep_mask, philox_4x32_10

WORD = st.integers(0, 2**32 - 1)

# Known-answer vectors for philox4x32-10 of the Random123 distribution: counter, key, output.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def in_torch(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    words = philox_4x32_10(tuple(torch.tensor(c) for c in counter), tuple(torch.tensor(k) for k in key))  # type: ignore[arg-type]
    return tuple(int(word) for word in words)


def in_python(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    """The definition on Python's unbounded integers."""
    c, k, low = list(counter), list(key), 2**32 - 1
    for _ in range(10):
        first, second = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(second >> 32) ^ c[1] ^ k[0], second & low, (first >> 32) ^ c[3] ^ k[1], first & low]
        k = [(k[0] + 0x9E3779B9) & low, (k[1] + 0xBB67AE85) & low]
    return tuple(c)


@pytest.mark.parametrize(("counter", "key", "output"), KNOWN)
def test_known_answers(counter: tuple[int, ...], key: tuple[int, ...], output: tuple[int, ...]) -> None:
    assert in_torch(counter, key) == output
    assert in_python(counter, key) == output


@given(counter=st.tuples(WORD, WORD, WORD, WORD), key=st.tuples(WORD, WORD))
def test_equals_the_definition(counter: tuple[int, ...], key: tuple[int, ...]) -> None:
    assert in_torch(counter, key) == in_python(counter, key)


@given(
    seed=st.integers(-(2**63), 2**63 - 1),
    row=st.integers(0, 2**40),
    query=st.integers(0, 2**31),
    key=st.integers(0, 2**31),
    p=st.floats(0.0, 0.999),
)
def test_counters_of_the_specification(seed: int, row: int, query: int, key: int, p: float) -> None:
    bits = seed % 2**64
    word = in_python((key, query, row % 2**32, row >> 32), (bits % 2**32, bits >> 32))[0]
    kept = keep_mask(
        torch.tensor([seed]),
        batch_head=torch.tensor(row),
        query=torch.tensor(query),
        key=torch.tensor(key),
        dropout_p=p,
    )
    assert bool(kept) == (word >= int(p * 2**32))


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
def test_drops_the_share_asked_for(p: float) -> None:
    token = torch.arange(256)
    rows = batch_heads(2, 2, token.device)
    kept = keep_mask(torch.tensor([7]), batch_head=rows, query=token[:, None], key=token, dropout_p=p)
    assert kept.shape == (2, 2, 256, 256)
    assert abs(float(kept.double().mean()) - (1 - p)) < 4 * (p * (1 - p) / kept.numel()) ** 0.5 + 1e-12
    assert p == 0.0 or len({tuple(kept[b, h].flatten().tolist()) for b in range(2) for h in range(2)}) == 4
