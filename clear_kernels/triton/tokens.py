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


# The code of a sequence position: its lead, plus BEAT if it is a beat; NOBODY, a lead that no token has, if padding.
BEAT = tl.constexpr(128)
NOBODY = tl.constexpr(127)


@triton.jit
def locate(position, n, lead, valid, index, T, L: tl.constexpr):
    """Token (int32), code (int32), is it a real token, is it a beat (bool): [R] each, for positions [R]."""
    inside = position < n  # [R]
    is_beat = position >= L  # [R]
    token = position  # [R]
    if index is not None:
        token = tl.load(index + position, mask=inside, other=0)  # [R]
    own = (token - L) // T  # [R]
    if lead is not None:
        own = tl.load(lead + (position - L), mask=inside & is_beat, other=0)  # [R]
    is_real = inside  # [R]
    if valid is not None:
        is_real = inside & (tl.load(valid + (position - L), mask=inside & is_beat, other=1) != 0)  # [R]
    code = tl.where(is_real, tl.where(is_beat, own + BEAT, position), NOBODY)  # [R]
    return token, code, is_real, is_beat


@triton.jit
def locate_queries(position, n, lead, valid, index, T, L: tl.constexpr):
    """Token (int32), code (int32), is it real, is it a query, are its results written (bool): [R] each.

    With ``index``, class tokens are keys only, and padding, which is not listed, is written elsewhere.
    """
    token, code, is_real, is_beat = locate(position, n, lead, valid, index, T, L)  # [R]
    is_query = is_real  # [R]
    write = position < n  # [R]
    if index is not None:
        is_query = is_real & is_beat
        write = is_query
    return token, code, is_real, is_query, write


@triton.jit
def dense_mask(query, key, MIXED: tl.constexpr):
    """Which pairs attend, for codes that broadcast: bool. Without class tokens (not MIXED) every real key is attended.

    One code per token instead of its lead and flags: a thread holds them for every row and column of its tile.
    """
    may = key >= BEAT
    if MIXED:
        may = (((query ^ key) & (BEAT - 1)) == 0) | ((query & key) >= BEAT)
    return may
