# mypy: allow-untyped-defs
"""Forward pass of view-guided attention where the whole sequence is one tile: no online softmax, no loop."""

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
from clear_kernels.triton.tokens import dense_mask, locate_queries, sequence_length


@triton.jit(do_not_specialize=["H", "T", "tokens", "threshold"])
def tile_forward(
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
    H, T, tokens,
    scale, threshold, keep_scale,
    L: tl.constexpr, M: tl.constexpr, D: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr,
    PRESCALE: tl.constexpr, FAST: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One program: one head of at most M tokens; longer sequences are left to dense_forward.py."""
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
    token, code, is_real, is_query, write = locate_queries(position, n, lead, valid, index, T, L)  # [M]
    offset = token.to(tl.int64)  # [M]
    q0, q1 = load_rows(q + b * qb + h * qh, offset * qn, is_query, D, D0, D1)  # [M, D]
    k0, k1 = load_rows(k + b * kb + h * kh, offset * kn, is_real, D, D0, D1)  # [M, D]
    v0, v1 = load_rows(v + b * vb + h * vh, offset * vn, is_real, D, D0, D1)  # [M, D]

    to_log2 = LOG2E if PRESCALE else scale * LOG2E
    s = dot_rows(q0, q1, k0, k1, D1, PRECISION)  # [M, M]
    if PRESCALE:
        s = s * scale
    s = tl.where(dense_mask(code[:, None], code[None, :], True), s, MASKED)
    top = tl.max(s, 1)  # [M]
    p = tl.exp2(s * to_log2 - reference_of(top, to_log2)[:, None])  # [M, M]
    log, inverse = log2_and_inverse(tl.sum(p, 1), FAST)  # [M]
    if seed is not None:
        kept = survivors(seed, bh, token[:, None], token[None, :], threshold)  # [M, M]
        p = tl.where(kept, p * keep_scale, 0.0)
    x0, x1 = zero_rows(M, D0, D1)  # [M, D]
    x0, x1 = add_product(p.to(q0.dtype), v0, v1, x0, x1, D1, PRECISION)  # [M, D]
    inverse = tl.where(is_query, inverse, 0.0)
    log = tl.where(is_query, top * to_log2 + log, float("inf"))
    store_rows(out + b * ob + h * oh, offset * on, x0 * inverse[:, None], x1 * inverse[:, None], write, D, D0, D1)
    tl.store(lse + bh * tokens + token, log * LN2, mask=write)
