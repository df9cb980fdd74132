# mypy: allow-untyped-defs
"""What a row of a local tile is, and which keys of the tile it may attend.

A local tile is R rows: the L class tokens, then C beat columns of L rows each (lead by lead), then unused rows. The
table of the method, restricted to a tile, fits in R bits per query row, which costs one AND per entry to apply.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def tile_roles(L: tl.constexpr, C: tl.constexpr, R: tl.constexpr):
    """lead and column of each row (int32 [R]), and whether it is a class token or a beat (bool [R])."""
    row = tl.arange(0, R)  # [R]
    is_class = row < L  # [R]
    column = tl.where(is_class, 0, (row - L) // L)  # [R]
    lead = tl.where(is_class, row, (row - L) % L)  # [R]
    return lead, column, is_class, (row >= L) & (column < C)


@triton.jit
def bits_below(count, WORD: tl.constexpr):
    """A 64-bit set of the positions < ``count`` that lie in [64 * WORD, 64 * WORD + 64)."""
    inside = tl.minimum(tl.maximum(count - 64 * WORD, 0), 64)
    ones = (tl.full([1], 1, tl.int64) << (inside & 63)) - 1
    return tl.where(inside == 64, -1, ones)


@triton.jit
def bit_at(position, WORD: tl.constexpr):
    """A 64-bit set of one position, empty if it lies outside the word."""
    return tl.where((position >> 6) == WORD, tl.full([1], 1, tl.int64) << (position & 63).to(tl.int64), 0)


@triton.jit
def attended_bits(lead, column, is_class, is_beat, L: tl.constexpr, C: tl.constexpr, WORD: tl.constexpr):
    """The keys each row may attend, less a class token's attention to itself: int64 [R], one word of the set."""
    first = L + column * L  # [R]
    beat = bits_below(first + L, WORD) ^ bits_below(first, WORD)  # [R] its column
    beat |= bit_at(lead, WORD)  # [R] its class token
    own = tl.zeros_like(beat)  # [R]
    for c in range(C):
        own |= bit_at(L + c * L + lead, WORD)  # [R] the beats of a class token's lead
    return tl.where(is_class, own, tl.where(is_beat, beat, 0))


@triton.jit
def entry_mask(bits_low, bits_high, R: tl.constexpr):
    """The sets of all rows as a mask: bool [R, R] from int64 [R] (``bits_high`` counts for R = 128 only)."""
    key = tl.arange(0, R)  # [R]
    word = bits_low.to(tl.int32)[:, None]  # [R, 1]
    if R > 32:
        word = tl.where(key[None, :] < 32, word, (bits_low >> 32).to(tl.int32)[:, None])  # [R, R]
    if R > 64:
        word = tl.where(key[None, :] < 64, word, bits_high.to(tl.int32)[:, None])  # [R, R]
        word = tl.where(key[None, :] < 96, word, (bits_high >> 32).to(tl.int32)[:, None])  # [R, R]
    return (word & (1 << (key & 31))[None, :]) != 0
