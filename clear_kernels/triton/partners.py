# mypy: allow-untyped-defs
"""Whom a token attends, and by whom it is attended, as one walk: its class token, then beats at equal distances.

Position 0 of a walk is the class token of the token's own lead (for a class token, itself), position c the beat
``base + (c - 1) * step`` of the grid or of the packed beats: a heartbeat, a lead, or all beats.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Which beats of a walk are partners: those that are not visible, those that are, or both.
HIDDEN = tl.constexpr(0)
VISIBLE = tl.constexpr(1)
ANY = tl.constexpr(-1)


@triton.jit
def role_of(n, lead, valid, visible, T, L: tl.constexpr, ALL: tl.constexpr):
    """Lead (int32), is it a class token, is it real, is it a visible beat (bool): of token n.

    With ALL, every real beat is visible. Masks and ``lead``, which packed beats have, are those of its batch.
    """
    is_class = n < L
    beat = tl.maximum(n - L, 0)
    own = tl.where(is_class, n, beat // T)
    if lead is not None:
        own = tl.where(is_class, n, tl.load(lead + beat, mask=n >= L, other=0))
    is_real = n >= 0
    if valid is not None:
        is_real = tl.load(valid + beat, mask=n >= L, other=1) != 0
    is_visible = (n >= L) & is_real
    if visible is not None:
        is_visible = is_visible & (tl.load(visible + beat, mask=n >= L, other=0) != 0)
    elif not ALL:
        is_visible = n < 0
    return own, is_class, is_real, is_visible


@triton.jit
def walk_of(n, is_class, is_visible, lead, T, beats, L: tl.constexpr):
    """(base, step, count) of the beats that token n may have to do with: its lead's, all, or those of its heartbeat."""
    base, step, count = n - n, 1, beats
    if lead is None:
        base = tl.where(is_class, n * T, tl.where(is_visible, 0, (n - L) % T))
        step = tl.where(is_class | is_visible, 1, T)
        count = tl.where(is_class, T, tl.where(is_visible, beats, L))
    return base, step, count


@triton.jit
def partners(position, base, step, count, own, is_class, wanted, lead, valid, visible, L: tl.constexpr):
    """Token (int32) and is it a partner (bool): [K] each, for positions [K] of a walk."""
    is_beat = (position > 0) & (position <= count)  # [K]
    beat = base + (position - 1) * step  # [K]
    may = position <= count  # [K]
    if valid is not None:
        may = may & (tl.load(valid + beat, mask=is_beat, other=1) != 0)
    if visible is not None:
        seen = (tl.load(visible + beat, mask=is_beat, other=0) != 0).to(tl.int32)  # [K]
        may = may & ((seen == tl.where(wanted == ANY, seen, wanted)) | (position == 0))
    if lead is not None:  # a class token has to do with its own lead alone
        which = tl.load(lead + beat, mask=is_beat, other=0)  # [K]
        may = may & ((which == tl.where(is_class, own, which)) | (position == 0))
    return tl.where(position == 0, own, L + beat), may
