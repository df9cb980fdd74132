# mypy: allow-untyped-defs
"""Backward pass of view-guided attention where the whole sequence is one tile: everything is read once."""

from __future__ import annotations

import triton
import triton.language as tl

from clear_kernels.triton.rows import (
    LOG2E,
    add_product,
    dot_rows,
    load_rows,
    store_rows,
    survivors,
    weight_sums,
    zero_rows,
)
from clear_kernels.triton.tokens import dense_mask, locate_queries, sequence_length


@triton.jit(do_not_specialize=["H", "T", "tokens", "threshold"])
def tile_backward(
    dout,  # [B, H, N, D]
    q,  # [B, H, N, D]
    k,  # [B, H, N, D]
    v,  # [B, H, N, D]
    lse,  # [B, H, N] float32
    dq,  # [B, H, N, D]
    dk,  # [B, H, N, D]
    dv,  # [B, H, N, D], strides of dq
    lead,  # None or int32 [n] or [B, n]
    valid,  # None or uint8 [n] or [B, n]
    index,  # None or int32 [N] or [B, N]
    count,  # None or int32 [1] or [B]
    seed,  # None or int64 [1]
    gb, gh, gn, qb, qh, qn, kb, kh, kn, vb, vh, vn, db, dh, dn,  # strides of batch, head and token, in elements
    lead_b, valid_b, index_b, count_b,  # batch strides, 0 when shared
    H, T, tokens,
    scale, threshold, keep_scale,
    L: tl.constexpr, M: tl.constexpr, D: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """One program: one head of at most M tokens; longer sequences are left to dense_backward.py."""
    bh = tl.program_id(0).to(tl.int64)
    h = bh % H
    b = bh // H
    n = sequence_length(count, b, count_b, tokens)
    if n > M:
        return
    if lead is not None:
        lead += b * lead_b
    if valid is not None:
        valid += b * valid_b
    if index is not None:
        index += b * index_b

    position = tl.arange(0, M)  # [M]
    inside = position < n  # [M]
    token, code, is_real, is_query, write = locate_queries(position, n, lead, valid, index, T, L)  # [M]
    offset = token.to(tl.int64)  # [M]
    q0, q1 = load_rows(q + b * qb + h * qh, offset * qn, is_query, D, D0, D1)  # [M, D]
    k0, k1 = load_rows(k + b * kb + h * kh, offset * kn, is_real, D, D0, D1)  # [M, D]
    g0, g1 = load_rows(dout + b * gb + h * gh, offset * gn, is_query, D, D0, D1)  # [M, D]
    v0, v1 = load_rows(v + b * vb + h * vh, offset * vn, is_real, D, D0, D1)  # [M, D]
    # +inf in rows that are no query makes their weights 0.
    log = tl.load(lse + bh * tokens + token, mask=is_query, other=float("inf")) * LOG2E  # [M]
    may = dense_mask(code[:, None], code[None, :], True)  # [M, M]

    s = dot_rows(q0, q1, k0, k1, D1, PRECISION)  # [M, M]
    p = tl.where(may, tl.exp2(s * (scale * LOG2E) - log[:, None]), 0.0)  # [M, M]
    if q0.dtype == tl.float32:
        p /= weight_sums(p)[:, None]  # [M, M]
    w = p
    if seed is not None:
        kept = survivors(seed, bh, token[:, None], token[None, :], threshold)  # [M, M]
        w = tl.where(kept, p * keep_scale, 0.0)
    offset = offset * dn
    x0, x1 = zero_rows(M, D0, D1)  # [M, D]
    x0, x1 = add_product(tl.trans(w.to(q0.dtype)), g0, g1, x0, x1, D1, PRECISION)  # [M, D]
    store_rows(dv + b * db + h * dh, offset, x0, x1, inside, D, D0, D1)
    dp = dot_rows(g0, g1, v0, v1, D1, PRECISION)  # [M, M]
    if seed is not None:
        dp = tl.where(kept, dp * keep_scale, 0.0)
    # All keys of a row are here, so that rowsum(dout * out) = rowsum(p * dp) and the output need not be read.
    delta = tl.sum(p * dp, 1) * scale  # [M]
    ds = (p * (dp * scale - delta[:, None])).to(q0.dtype)  # [M, M]
    x0, x1 = zero_rows(M, D0, D1)  # [M, D]
    x0, x1 = add_product(tl.trans(ds), q0, q1, x0, x1, D1, PRECISION)  # [M, D]
    store_rows(dk + b * db + h * dh, offset, x0, x1, inside, D, D0, D1)
    x0, x1 = zero_rows(M, D0, D1)  # [M, D]
    x0, x1 = add_product(ds, k0, k1, x0, x1, D1, PRECISION)  # [M, D]
    store_rows(dq + b * db + h * dh, offset, x0, x1, write, D, D0, D1)
