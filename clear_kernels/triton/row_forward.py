# mypy: allow-untyped-defs
"""Forward pass of a row at a time, in plain float32 arithmetic: for shapes whose tiles no shared memory holds.

Serves all uses (see partners.py), any number of leads and any head dimension, with nothing but registers.
"""

from __future__ import annotations

import triton
import triton.language as tl

from clear_kernels.triton.partners import ANY, VISIBLE, partners, role_of, walk_of
from clear_kernels.triton.rows import LN2, LOG2E, MASKED, load_rows, survivors


@triton.jit(do_not_specialize=["H", "T", "tokens", "threshold"])
def row_forward(
    q,  # [B, H, N, D]
    k,  # [B, H, N, D]
    v,  # [B, H, N, D]
    out,  # [B, H, N, D]
    lse,  # [B, H, N] float32
    lead,  # None or int32 [n] or [B, n]
    valid,  # None or uint8 [n] or [B, n], a grid's as [L, T] or [B, L, T]
    visible,  # None or uint8 [L, T] or [B, L, T]
    seed,  # None or int64 [1]
    qb, qh, qn, kb, kh, kn, vb, vh, vn, ob, oh, on,  # strides of batch, head and token, in elements
    lead_b, valid_b, visible_b,  # batch strides, 0 when shared
    H, T, tokens,
    scale, threshold, keep_scale,
    L: tl.constexpr, D: tl.constexpr, W: tl.constexpr, K: tl.constexpr, ALL: tl.constexpr,
):  # fmt: skip
    """One program: one row, K keys at a time. W is D or the next power of two."""
    n = tl.program_id(0) % tokens
    bh = (tl.program_id(0) // tokens).to(tl.int64)
    h = bh % H
    b = bh // H
    k += b * kb + h * kh
    v += b * vb + h * vh
    if lead is not None:
        lead += b * lead_b
    if valid is not None:
        valid += b * valid_b
    if visible is not None:
        visible += b * visible_b
    own, is_class, is_real, is_visible = role_of(n, lead, valid, visible, T, L, ALL)
    base, step, count = walk_of(n, is_class, is_visible, lead, T, tokens - L, L)
    wanted = tl.where(is_visible, VISIBLE, ANY)

    column = tl.arange(0, W)  # [W]
    row = n.to(tl.int64)
    keep = column < D  # [W]
    query = tl.load(q + b * qb + h * qh + row * qn + column, mask=keep, other=0.0).to(tl.float32)  # [W]
    top = tl.full([1], MASKED, tl.float32)  # [1]
    total = tl.zeros([1], tl.float32)  # [1]
    acc = tl.zeros([W], tl.float32)  # [W]
    for first in tl.range(0, tl.where(is_real, count + 1, 0), K, num_stages=1):
        position = first + tl.arange(0, K)  # [K]
        token, may = partners(position, base, step, count, own, is_class, wanted, lead, valid, visible, L)  # [K]
        offset = token.to(tl.int64)  # [K]
        key, _ = load_rows(k, offset * kn, may, D, W, 0)  # [K, W]
        s = tl.sum(query[None, :] * key.to(tl.float32), 1) * scale  # [K]
        s = tl.where(may, s, MASKED)
        before = top  # [1]
        top = tl.maximum(before, tl.max(s, 0))  # [1] never masked, as a class token comes first
        p = tl.exp2((s - top) * LOG2E)  # [K]
        fade = tl.exp2((before - top) * LOG2E)  # [1]
        total = total * fade + tl.sum(p, 0)  # [1]
        if seed is not None:
            p = tl.where(survivors(seed, bh, n, token, threshold), p * keep_scale, 0.0)
        value, _ = load_rows(v, offset * vn, may, D, W, 0)  # [K, W]
        acc = acc * fade + tl.sum(p[:, None] * value.to(tl.float32), 0)  # [W]

    total = tl.where(is_real, total, 1.0)
    log = tl.where(is_real, top + tl.log2(total) * LN2, float("inf"))  # [1]
    to = out + b * ob + h * oh + row * on + column  # [W]
    tl.store(to, (acc / total).to(out.dtype.element_ty), mask=keep)
    tl.store(lse + bh * tokens + row + tl.arange(0, 1), log)
