# mypy: allow-untyped-defs
"""Backward pass of view-guided attention over sequences of several tiles: dq first, then dk and dv.

No atomics: each kernel recomputes the weights it needs, so that every sum has one owner and one order.
"""

from __future__ import annotations

import triton
import triton.language as tl

from clear_kernels.triton.rows import (
    LOG2E,
    add_product,
    dot_rows,
    load_rows,
    row_products,
    store_rows,
    survivors,
    zero_rows,
)
from clear_kernels.triton.tokens import dense_mask, locate, locate_queries, sequence_length


@triton.jit
def add_query_gradient(
    q0, q1, g0, g1, log, delta, token_q, code_q, dq0, dq1, first, n,
    k, v, kn, vn, lead, valid, index, seed, bh, T, scale, threshold, keep_scale,
    L: tl.constexpr, N: tl.constexpr, D: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr,
    MIXED: tl.constexpr, EVEN: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """dq of M query rows from the N keys from position ``first``."""
    position = first + tl.arange(0, N)  # [N]
    token, code, is_real, _ = locate(position, n, lead, valid, index, T, L)  # [N]
    offset = token.to(tl.int64)  # [N]
    k0, k1 = load_rows(k, offset * kn, is_real, D, D0, D1)  # [N, D]
    v0, v1 = load_rows(v, offset * vn, is_real, D, D0, D1)  # [N, D]
    s = dot_rows(q0, q1, k0, k1, D1, PRECISION)  # [M, N]
    p = tl.exp2(s * (scale * LOG2E) - log[:, None])  # [M, N]
    if MIXED or not EVEN:
        p = tl.where(dense_mask(code_q[:, None], code[None, :], MIXED), p, 0.0)
    dp = dot_rows(g0, g1, v0, v1, D1, PRECISION)  # [M, N]
    if seed is not None:
        kept = survivors(seed, bh, token_q[:, None], token[None, :], threshold)  # [M, N]
        dp = tl.where(kept, dp * keep_scale, 0.0)
    ds = p * (dp * scale - delta[:, None])  # [M, N]
    return add_product(ds.to(q0.dtype), k0, k1, dq0, dq1, D1, PRECISION)


@triton.jit(do_not_specialize=["H", "T", "tokens", "share", "shorter", "threshold"])
def dense_backward_query(
    dout,  # [B, H, N, D]
    q,  # [B, H, N, D]
    k,  # [B, H, N, D]
    v,  # [B, H, N, D]
    out,  # [B, H, N, D]
    lse,  # [B, H, N] float32
    delta,  # [B, H, N] float32: rowsum(dout * out), written here
    dq,  # [B, H, N, D]
    lead,  # None or int32 [n] or [B, n]
    valid,  # None or uint8 [n] or [B, n]
    index,  # None or int32 [N] or [B, N]
    count,  # None or int32 [1] or [B]
    seed,  # None or int64 [1]
    gb, gh, gn, qb, qh, qn, kb, kh, kn, vb, vh, vn, ob, oh, on, db, dh, dn,  # strides of batch, head and token
    lead_b, valid_b, index_b, count_b,  # batch strides, 0 when shared
    H, T, tokens, share, shorter,
    scale, threshold, keep_scale,
    L: tl.constexpr, M: tl.constexpr, N: tl.constexpr,
    D: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr, EVEN: tl.constexpr,
    PRECISION: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """One program: dq of every ``share``-th tile of a head. Up to ``shorter`` tokens are left to tile_backward.py."""
    pid = tl.program_id(0)
    bh = (pid // share).to(tl.int64)
    h = bh % H
    b = bh // H
    n = sequence_length(count, b, count_b, tokens)
    stop = tl.where(n <= shorter, 0, n)
    k += b * kb + h * kh
    v += b * vb + h * vh
    if lead is not None:
        lead += b * lead_b
    if valid is not None:
        valid += b * valid_b
    if index is not None:
        index += b * index_b

    for begin in tl.range((pid % share) * M, stop, share * M, num_stages=1):
        position = begin + tl.arange(0, M)  # [M]
        token, code, _, is_query, write = locate_queries(position, n, lead, valid, index, T, L)  # [M]
        offset = token.to(tl.int64)  # [M]
        q0, q1 = load_rows(q + b * qb + h * qh, offset * qn, is_query, D, D0, D1)  # [M, D]
        g0, g1 = load_rows(dout + b * gb + h * gh, offset * gn, is_query, D, D0, D1)  # [M, D]
        o0, o1 = load_rows(out + b * ob + h * oh, offset * on, is_query, D, D0, D1)  # [M, D]
        log = tl.load(lse + bh * tokens + token, mask=is_query, other=float("inf")) * LOG2E  # [M]
        row_delta = row_products(g0, g1, o0, o1, D1)  # [M]
        tl.store(delta + bh * tokens + token, row_delta, mask=write)
        row_delta = row_delta * scale
        dq0, dq1 = zero_rows(M, D0, D1)  # [M, D]
        mixed = tl.where(begin < L, n, tl.minimum((L + N - 1) // N * N, n))
        for first in tl.range(0, mixed, N, num_stages=STAGES):
            dq0, dq1 = add_query_gradient(
                q0, q1, g0, g1, log, row_delta, token, code, dq0, dq1, first, n,
                k, v, kn, vn, lead, valid, index, seed, bh, T, scale, threshold, keep_scale,
                L, N, D, D0, D1, True, EVEN, PRECISION,
            )  # fmt: skip
        for first in tl.range(mixed, n, N, num_stages=STAGES):
            dq0, dq1 = add_query_gradient(
                q0, q1, g0, g1, log, row_delta, token, code, dq0, dq1, first, n,
                k, v, kn, vn, lead, valid, index, seed, bh, T, scale, threshold, keep_scale,
                L, N, D, D0, D1, False, EVEN, PRECISION,
            )  # fmt: skip
        store_rows(dq + b * db + h * dh, offset * dn, dq0, dq1, write, D, D0, D1)


@triton.jit
def add_key_gradient(
    k0, k1, v0, v1, token_k, code_k, dk0, dk1, dv0, dv1, first, n,
    q, dout, lse, delta, qn, gn, lead, valid, index, seed, bh, T, scale, threshold, keep_scale,
    L: tl.constexpr, M: tl.constexpr, D: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr,
    MIXED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """dk and dv of N key rows from the M queries from position ``first``."""
    position = first + tl.arange(0, M)  # [M]
    token, code, _, is_query, _ = locate_queries(position, n, lead, valid, index, T, L)  # [M]
    offset = token.to(tl.int64)  # [M]
    q0, q1 = load_rows(q, offset * qn, is_query, D, D0, D1)  # [M, D]
    g0, g1 = load_rows(dout, offset * gn, is_query, D, D0, D1)  # [M, D]
    # +inf in rows that are no query makes their weights 0.
    log = tl.load(lse + token, mask=is_query, other=float("inf")) * LOG2E  # [M]
    row_delta = tl.load(delta + token, mask=is_query, other=0.0) * scale  # [M]
    # Keys are the rows: the weights are then in registers what both products below take.
    s = dot_rows(k0, k1, q0, q1, D1, PRECISION)  # [N, M]
    p = tl.exp2(s * (scale * LOG2E) - log[None, :])  # [N, M]
    if MIXED:
        p = tl.where(dense_mask(code[None, :], code_k[:, None], True), p, 0.0)
    w = p
    if seed is not None:
        kept = survivors(seed, bh, token[None, :], token_k[:, None], threshold)  # [N, M]
        w = tl.where(kept, p * keep_scale, 0.0)
    dv0, dv1 = add_product(w.to(q0.dtype), g0, g1, dv0, dv1, D1, PRECISION)  # [N, D]
    dp = dot_rows(v0, v1, g0, g1, D1, PRECISION)  # [N, M]
    if seed is not None:
        dp = tl.where(kept, dp * keep_scale, 0.0)
    ds = p * (dp * scale - row_delta[None, :])  # [N, M]
    dk0, dk1 = add_product(ds.to(q0.dtype), q0, q1, dk0, dk1, D1, PRECISION)  # [N, D]
    return dk0, dk1, dv0, dv1


@triton.jit(do_not_specialize=["H", "T", "tokens", "share", "shorter", "threshold"])
def dense_backward_key(
    dout,  # [B, H, N, D]
    q,  # [B, H, N, D]
    k,  # [B, H, N, D]
    v,  # [B, H, N, D]
    lse,  # [B, H, N] float32
    delta,  # [B, H, N] float32
    dk,  # [B, H, N, D]
    dv,  # [B, H, N, D], strides of dk
    lead,  # None or int32 [n] or [B, n]
    valid,  # None or uint8 [n] or [B, n]
    index,  # None or int32 [N] or [B, N]
    count,  # None or int32 [1] or [B]
    seed,  # None or int64 [1]
    gb, gh, gn, qb, qh, qn, kb, kh, kn, vb, vh, vn, db, dh, dn,  # strides of batch, head and token, in elements
    lead_b, valid_b, index_b, count_b,  # batch strides, 0 when shared
    H, T, tokens, share, shorter,
    scale, threshold, keep_scale,
    L: tl.constexpr, M: tl.constexpr, N: tl.constexpr,
    D: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr,
    PRECISION: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """One program: dk and dv of every ``share``-th tile of a head. With ``index``, class rows are keys only."""
    pid = tl.program_id(0)
    bh = (pid // share).to(tl.int64)
    h = bh % H
    b = bh // H
    n = sequence_length(count, b, count_b, tokens)
    stop = tl.where(n <= shorter, 0, n)
    q += b * qb + h * qh
    dout += b * gb + h * gh
    lse += bh * tokens
    delta += bh * tokens
    if lead is not None:
        lead += b * lead_b
    if valid is not None:
        valid += b * valid_b
    if index is not None:
        index += b * index_b

    for begin in tl.range((pid % share) * N, stop, share * N, num_stages=1):
        position = begin + tl.arange(0, N)  # [N]
        token, code, is_real, _ = locate(position, n, lead, valid, index, T, L)  # [N]
        offset = token.to(tl.int64)  # [N]
        k0, k1 = load_rows(k + b * kb + h * kh, offset * kn, is_real, D, D0, D1)  # [N, D]
        v0, v1 = load_rows(v + b * vb + h * vh, offset * vn, is_real, D, D0, D1)  # [N, D]
        dk0, dk1 = zero_rows(N, D0, D1)  # [N, D]
        dv0, dv1 = zero_rows(N, D0, D1)  # [N, D]
        mixed = tl.where(begin < L, n, tl.minimum((L + M - 1) // M * M, n))
        for first in tl.range(0, mixed, M, num_stages=STAGES):
            dk0, dk1, dv0, dv1 = add_key_gradient(
                k0, k1, v0, v1, token, code, dk0, dk1, dv0, dv1, first, n,
                q, dout, lse, delta, qn, gn, lead, valid, index, seed, bh, T, scale, threshold, keep_scale,
                L, M, D, D0, D1, True, PRECISION,
            )  # fmt: skip
        for first in tl.range(mixed, n, M, num_stages=STAGES):
            dk0, dk1, dv0, dv1 = add_key_gradient(
                k0, k1, v0, v1, token, code, dk0, dk1, dv0, dv1, first, n,
                q, dout, lse, delta, qn, gn, lead, valid, index, seed, bh, T, scale, threshold, keep_scale,
                L, M, D, D0, D1, False, PRECISION,
            )  # fmt: skip
        real = is_real[:, None]  # [N, 1] a key of padding met weights of any size
        dk0, dk1 = tl.where(real, dk0, 0.0), tl.where(real, dk1, 0.0)
        dv0, dv1 = tl.where(real, dv0, 0.0), tl.where(real, dv1, 0.0)
        store_rows(dk + b * db + h * dh, offset * dn, dk0, dk1, position < n, D, D0, D1)
        store_rows(dv + b * db + h * dh, offset * dn, dv0, dv1, position < n, D, D0, D1)
