"""The dropout generator: Philox 4x32-10 in plain PyTorch. This module specifies which entries every backend drops.

One 32-bit word belongs to each (batch, head, query, key). It is the first output word of Philox 4x32-10 with

* key     = (seed & 0xffffffff, seed >> 32), the seed taken as 64 unsigned bits,
* counter = (key index, query index, bh & 0xffffffff, bh >> 32), where bh = batch * H + head,

and the entry is dropped iff word < floor(p * 2**32). Indices are positions in the sequence the op was given.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import torch
from torch import Tensor

_LOW = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10

Words = tuple[Tensor, Tensor, Tensor, Tensor]


def philox_4x32_10(counter: Words, key: tuple[Tensor, Tensor]) -> Words:
    """Ten rounds of Philox 4x32.

    Args:
        counter: Four int64 tensors that broadcast together, each value in [0, 2**32).
        key: Two int64 tensors, likewise.

    Returns:
        The four output words, int64 with values in [0, 2**32).
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        low0, high0 = _multiply(_MULTIPLIERS[0], c0)
        low1, high1 = _multiply(_MULTIPLIERS[1], c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
    return c0, c1, c2, c3


def keep_mask(seed: Tensor, *, batch_head: Tensor, query: Tensor, key: Tensor, dropout_p: float) -> Tensor:
    """Which attention entries survive dropout.

    Args:
        seed: int64 [1], read as 64 unsigned bits.
        batch_head: int64, batch * H + head.
        query: int64 sequence positions of the queries.
        key: int64 sequence positions of the keys; broadcasts with ``batch_head`` and ``query``.
        dropout_p: Probability of dropping an entry, 0 <= p < 1.

    Returns:
        bool of the broadcast shape, True = kept.
    """
    words = philox_4x32_10(
        (key.long(), query.long(), batch_head & _LOW, (batch_head >> 32) & _LOW),
        (seed & _LOW, (seed >> 32) & _LOW),
    )
    return words[0] >= int(dropout_p * 2**32)


def batch_heads(batch: int, heads: int, device: torch.device) -> Tensor:
    """The index batch * H + head of every (batch, head): int64 [B, H, 1, 1]."""
    return torch.arange(batch * heads, device=device).view(batch, heads, 1, 1)


def _multiply(constant: int, word: Tensor) -> tuple[Tensor, Tensor]:
    """Low and high 32 bits of a 32 x 32 bit product."""
    # The signed 64-bit product may wrap, which leaves its bits those of the unsigned product; the masks drop the sign.
    product = word * constant
    return product & _LOW, (product >> 32) & _LOW
