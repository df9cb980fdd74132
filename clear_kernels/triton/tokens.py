# mypy: allow-untyped-defs
"""The dense kernels' sequence: class tokens, then global beats, each with its token position and its lead.

Three sources share the kernels: the whole grid (positions are tokens), packed tokens (``lead`` given per beat), and the
visible beats of a grid (``index`` lists the class tokens and the visible beats, ``count`` how many there are).
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def sequence_length(count, b, count_b, N):
    """Length of the sequence of batch ``b``."""
    n = N
    if count is not None:
        n = tl.load(count + b * count_b)
    return n


@triton.jit
def locate(position, n, lead, valid, index, T, L: tl.constexpr):
    """Token and lead (int32), is it a real token, is it a beat (bool): [R] each, for positions [R] of a sequence."""
    inside = position < n  # [R]
    is_beat = position >= L  # [R]
    token = position  # [R]
    if index is not None:
        token = tl.load(index + position, mask=inside, other=0)  # [R]
    if lead is None:
        own = tl.where(is_beat, (token - L) // T, position)  # [R]
    else:
        own = tl.load(lead + (position - L), mask=inside & is_beat, other=-1)  # [R]
        own = tl.where(is_beat, own, position)  # [R]
    is_real = inside  # [R]
    if valid is not None:
        is_real = inside & (tl.load(valid + (position - L), mask=inside & is_beat, other=1) != 0)  # [R]
    return token, own, is_real, is_beat


@triton.jit
def dense_mask(own_q, beat_q, own_k, beat_k, real_k, MIXED: tl.constexpr):
    """Who attends whom: bool [M, N]. Without class tokens in the tile (not MIXED) every real key is attended."""
    if MIXED:
        may = (own_q[:, None] == own_k[None, :]) | (beat_q[:, None] & beat_k[None, :])  # [M, N]
        may = may & real_k[None, :]
    else:
        may = real_k[None, :]  # [1, N]
    return may
