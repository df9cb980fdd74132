# mypy: allow-untyped-defs
"""Backward pass of a row at a time (see row_forward.py): dq of a query, then dk and dv of a key."""

from __future__ import annotations

import triton
import triton.language as tl

from clear_kernels.triton.partners import ANY, HIDDEN, VISIBLE, partners, role_of, walk_of
from clear_kernels.triton.rows import LOG2E, load_rows, survivors


@triton.jit(do_not_specialize=["H", "T", "tokens", "threshold"])
def row_backward_query(
    dout,  # [B, H, N, D]
    q,  # [B, H, N, D]
    k,  # [B, H, N, D]
    v,  # [B, H, N, D]
    out,  # [B, H, N, D], strides of dq
    lse,  # [B, H, N] float32
    delta,  # [B, H, N] float32: rowsum(dout * out), written here
    dq,  # [B, H, N, D]
    lead,  # None or int32 [n] or [B, n]
    valid,  # None or uint8 [n] or [B, n], a grid's as [L, T] or [B, L, T]
    visible,  # None or uint8 [L, T] or [B, L, T]
    seed,  # None or int64 [1]
    gb, gh, gn, qb, qh, qn, kb, kh, kn, vb, vh, vn, db, dh, dn,  # strides of batch, head and token, in elements
    lead_b, valid_b, visible_b,  # batch strides, 0 when shared
    H, T, tokens,
    scale, threshold, keep_scale,
    L: tl.constexpr, D: tl.constexpr, W: tl.constexpr, K: tl.constexpr, ALL: tl.constexpr,
):  # fmt: skip
    """One program: dq of one row, K keys at a time."""
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
    keep = column < D  # [W] whatever stands in padding is not used
    row = n.to(tl.int64)
    query = tl.load(q + b * qb + h * qh + row * qn + column, mask=keep, other=0.0).to(tl.float32)  # [W]
    grad = tl.load(dout + b * gb + h * gh + row * gn + column, mask=keep, other=0.0).to(tl.float32)  # [W]
    result = tl.load(out + b * db + h * dh + row * dn + column, mask=keep, other=0.0).to(tl.float32)  # [W]
    row_delta = tl.sum(grad * result, 0)
    log = tl.load(lse + bh * tokens + row)
    acc = tl.zeros([W], tl.float32)  # [W]
    for first in tl.range(0, tl.where(is_real, count + 1, 0), K, num_stages=1):
        position = first + tl.arange(0, K)  # [K]
        token, may = partners(position, base, step, count, own, is_class, wanted, lead, valid, visible, L)  # [K]
        offset = token.to(tl.int64)  # [K]
        key, _ = load_rows(k, offset * kn, may, D, W, 0)  # [K, W]
        key = key.to(tl.float32)  # [K, W]
        value, _ = load_rows(v, offset * vn, may, D, W, 0)  # [K, W]
        s = tl.sum(query[None, :] * key, 1) * scale  # [K]
        p = tl.where(may, tl.exp2((s - log) * LOG2E), 0.0)  # [K]
        dp = tl.sum(grad[None, :] * value.to(tl.float32), 1)  # [K]
        if seed is not None:
            dp = tl.where(survivors(seed, bh, n, token, threshold), dp * keep_scale, 0.0)
        acc += tl.sum((p * (dp - row_delta) * scale)[:, None] * key, 0)  # [W]
    tl.store(delta + bh * tokens + row, row_delta)
    tl.store(dq + b * db + h * dh + row * dn + column, acc.to(dq.dtype.element_ty), mask=keep)


@triton.jit
def add_key_gradients(
    key, value, dk, dv, n, start, stop, base, step, count, own, is_class, wanted,
    q, dout, qn, gn, lse, delta, lead, valid, visible, seed, bh, scale, threshold, keep_scale,
    L: tl.constexpr, D: tl.constexpr, W: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    """dk and dv [W] of token n, added over the queries at the positions from ``start`` of a walk."""
    for first in tl.range(start, stop, K, num_stages=1):
        position = first + tl.arange(0, K)  # [K]
        token, may = partners(position, base, step, count, own, is_class, wanted, lead, valid, visible, L)  # [K]
        offset = token.to(tl.int64)  # [K]
        query, _ = load_rows(q, offset * qn, may, D, W, 0)  # [K, W]
        query = query.to(tl.float32)  # [K, W]
        grad, _ = load_rows(dout, offset * gn, may, D, W, 0)  # [K, W]
        grad = grad.to(tl.float32)  # [K, W]
        log = tl.load(lse + offset, mask=may, other=0.0)  # [K]
        row_delta = tl.load(delta + offset, mask=may, other=0.0)  # [K]
        s = tl.sum(query * key[None, :], 1) * scale  # [K]
        p = tl.where(may, tl.exp2((s - log) * LOG2E), 0.0)  # [K]
        dp = tl.sum(grad * value[None, :], 1)  # [K]
        w = p  # [K]
        if seed is not None:
            kept = survivors(seed, bh, token, n, threshold)  # [K]
            w = tl.where(kept, p * keep_scale, 0.0)
            dp = tl.where(kept, dp * keep_scale, 0.0)
        dv += tl.sum(w[:, None] * grad, 0)  # [W]
        dk += tl.sum((p * (dp - row_delta) * scale)[:, None] * query, 0)  # [W]
    return dk, dv


@triton.jit(do_not_specialize=["H", "T", "tokens", "threshold"])
def row_backward_key(
    dout,  # [B, H, N, D]
    q,  # [B, H, N, D]
    k,  # [B, H, N, D]
    v,  # [B, H, N, D]
    lse,  # [B, H, N] float32
    delta,  # [B, H, N] float32
    dk,  # [B, H, N, D]
    dv,  # [B, H, N, D], strides of dk
    lead,  # None or int32 [n] or [B, n]
    valid,  # None or uint8 [n] or [B, n], a grid's as [L, T] or [B, L, T]
    visible,  # None or uint8 [L, T] or [B, L, T]
    seed,  # None or int64 [1]
    gb, gh, gn, qb, qh, qn, kb, kh, kn, vb, vh, vn, db, dh, dn,  # strides of batch, head and token, in elements
    lead_b, valid_b, visible_b,  # batch strides, 0 when shared
    H, T, tokens,
    scale, threshold, keep_scale,
    L: tl.constexpr, D: tl.constexpr, W: tl.constexpr, K: tl.constexpr, ALL: tl.constexpr,
):  # fmt: skip
    """One program: dk and dv of one row, K queries at a time."""
    n = tl.program_id(0) % tokens
    bh = (tl.program_id(0) // tokens).to(tl.int64)
    h = bh % H
    b = bh // H
    q += b * qb + h * qh
    dout += b * gb + h * gh
    lse += bh * tokens
    delta += bh * tokens
    if lead is not None:
        lead += b * lead_b
    if valid is not None:
        valid += b * valid_b
    if visible is not None:
        visible += b * visible_b
    own, is_class, is_real, is_visible = role_of(n, lead, valid, visible, T, L, ALL)
    # A beat is attended by its class token, by the local beats of its heartbeat, and if visible by the visible ones.
    wanted = tl.where(is_class, ANY, HIDDEN)
    everywhere = is_visible
    if visible is not None:
        everywhere = n < 0
    base, step, count = walk_of(n, is_class, everywhere, lead, T, tokens - L, L)

    column = tl.arange(0, W)  # [W]
    keep = column < D  # [W] whatever stands in padding is not used
    row = n.to(tl.int64)
    key = tl.load(k + b * kb + h * kh + row * kn + column, mask=keep, other=0.0).to(tl.float32)  # [W]
    value = tl.load(v + b * vb + h * vh + row * vn + column, mask=keep, other=0.0).to(tl.float32)  # [W]
    dk_row = tl.zeros([W], tl.float32)  # [W]
    dv_row = tl.zeros([W], tl.float32)  # [W]
    dk_row, dv_row = add_key_gradients(
        key, value, dk_row, dv_row, n, 0, tl.where(is_real, count + 1, 0), base, step, count, own, is_class, wanted,
        q, dout, qn, gn, lse, delta, lead, valid, visible, seed, bh, scale, threshold, keep_scale, L, D, W, K,
    )  # fmt: skip
    if visible is not None:
        beats = tokens - L
        wanted = tl.where(is_visible, VISIBLE, HIDDEN)
        dk_row, dv_row = add_key_gradients(
            key, value, dk_row, dv_row, n, 1, tl.where(is_visible, beats + 1, 0), 0, 1, beats, own, is_class, wanted,
            q, dout, qn, gn, lse, delta, lead, valid, visible, seed, bh, scale, threshold, keep_scale, L, D, W, K,
        )  # fmt: skip
    to = b * db + h * dh + row * dn + column  # [W]
    tl.store(dk + to, dk_row.to(dk.dtype.element_ty), mask=keep)
    tl.store(dv + to, dv_row.to(dv.dtype.element_ty), mask=keep)
