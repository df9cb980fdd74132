# mypy: allow-untyped-defs
"""Forward pass of view-guided attention: class tokens and global beats, dense among the beats, in flash fashion.

Class tokens are ordinary rows and columns of the first tiles; only tiles that hold some need more than a key mask.
"""

from __future__ import annotations

import triton
import triton.language as tl

from clear_kernels.triton.rows import (
    LN2,
    LOG2E,
    MASKED,
    add_product,
    dot_rows,
    load_rows,
    log2_and_inverse,
    reference_of,
    store_rows,
    survivors,
    zero_rows,
)
from clear_kernels.triton.tokens import dense_mask, locate, locate_queries, sequence_length


@triton.jit
def attend(
    q0, q1, token_q, code_q, top, total, acc0, acc1, first, n,
    k, v, kn, vn, lead, valid, index, seed, bh, T, scale, threshold, keep_scale,
    L: tl.constexpr, N: tl.constexpr, D: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr,
    MIXED: tl.constexpr, EVEN: tl.constexpr, PRESCALE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Advance the online softmax of M query rows over the N keys from position ``first``."""
    to_log2 = LOG2E if PRESCALE else scale * LOG2E
    position = first + tl.arange(0, N)  # [N]
    token, code, is_real, _ = locate(position, n, lead, valid, index, T, L)  # [N]
    offset = token.to(tl.int64)  # [N]
    k0, k1 = load_rows(k, offset * kn, is_real, D, D0, D1)  # [N, D]
    v0, v1 = load_rows(v, offset * vn, is_real, D, D0, D1)  # [N, D]
    s = dot_rows(q0, q1, k0, k1, D1, PRECISION)  # [M, N]
    if PRESCALE:
        s = s * scale
    if MIXED or not EVEN:
        s = tl.where(dense_mask(code_q[:, None], code[None, :], MIXED), s, MASKED)
    before = top  # [M]
    top = tl.maximum(before, tl.max(s, 1))  # [M]
    p = tl.exp2(s * to_log2 - reference_of(top, to_log2)[:, None])  # [M, N]
    fade = tl.exp2((before - top) * to_log2)  # [M]
    total = total * fade + tl.sum(p, 1)  # [M]
    if seed is not None:
        kept = survivors(seed, bh, token_q[:, None], token[None, :], threshold)  # [M, N]
        p = tl.where(kept, p * keep_scale, 0.0)
    acc0, acc1 = add_product(
        p.to(q0.dtype), v0, v1, acc0 * fade[:, None], acc1 * fade[:, None], D1, PRECISION
    )  # [M, D]
    return top, total, acc0, acc1


@triton.jit(do_not_specialize=["H", "T", "tokens", "share", "shorter", "threshold"])
def dense_forward(
    q,  # [B, H, N, D]
    k,  # [B, H, N, D]
    v,  # [B, H, N, D]
    out,  # [B, H, N, D]
    lse,  # [B, H, N] float32
    lead,  # None or int32 [n] or [B, n]
    valid,  # None or uint8 [n] or [B, n]
    index,  # None or int32 [N] or [B, N]
    count,  # None or int32 [1] or [B]
    seed,  # None or int64 [1]
    qb, qh, qn, kb, kh, kn, vb, vh, vn, ob, oh, on,  # strides of batch, head and token, in elements
    lead_b, valid_b, index_b, count_b,  # batch strides, 0 when shared
    H, T, tokens, share, shorter,
    scale, threshold, keep_scale,
    L: tl.constexpr, M: tl.constexpr, N: tl.constexpr,
    D: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr, EVEN: tl.constexpr,
    PRESCALE: tl.constexpr, FAST: tl.constexpr, PRECISION: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """One program: every ``share``-th tile of M query rows of one head. With ``index``, class rows are keys only.

    Sequences of up to ``shorter`` tokens are left to tile_forward.py.
    """
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
        top = tl.full([M], MASKED, tl.float32)  # [M]
        total = tl.zeros([M], tl.float32)  # [M]
        acc0, acc1 = zero_rows(M, D0, D1)  # [M, D]
        # Where class tokens are among the queries or the keys, who attends whom depends on the lead.
        mixed = tl.where(begin < L, n, tl.minimum((L + N - 1) // N * N, n))
        for first in tl.range(0, mixed, N, num_stages=STAGES):
            top, total, acc0, acc1 = attend(
                q0, q1, token, code, top, total, acc0, acc1, first, n,
                k, v, kn, vn, lead, valid, index, seed, bh, T, scale, threshold, keep_scale,
                L, N, D, D0, D1, True, EVEN, PRESCALE, PRECISION,
            )  # fmt: skip
        for first in tl.range(mixed, n, N, num_stages=STAGES):
            top, total, acc0, acc1 = attend(
                q0, q1, token, code, top, total, acc0, acc1, first, n,
                k, v, kn, vn, lead, valid, index, seed, bh, T, scale, threshold, keep_scale,
                L, N, D, D0, D1, False, EVEN, PRESCALE, PRECISION,
            )  # fmt: skip
        log, inverse = log2_and_inverse(total, FAST)  # [M]
        inverse = tl.where(is_query, inverse, 0.0)
        to_log2 = LOG2E if PRESCALE else scale * LOG2E
        log = tl.where(is_query, top * to_log2 + log, float("inf"))
        store_rows(
            out + b * ob + h * oh, offset * on, acc0 * inverse[:, None], acc1 * inverse[:, None], write, D, D0, D1
        )
        tl.store(lse + bh * tokens + token, log * LN2, mask=write)
