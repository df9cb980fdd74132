# mypy: allow-untyped-defs
"""Backward pass of class tokens and local beats, tile by tile along the beats (see columns.py for the tile).

All that a tile's beats receive from class tokens and local beats is complete within the tile. Only the gradients of
class rows add up over the tiles of a head, or of one split of it (see merge.py). Where there are visible beats, the
dense kernels ran before and left their part of dk and dv, which is added here in float32.
"""

from __future__ import annotations

import triton
import triton.language as tl

from clear_kernels.triton.columns import attended_bits, bit_at, bits_below, entry_mask, tile_roles
from clear_kernels.triton.rows import (
    LOG2E,
    add_product,
    dot_rows,
    load_rows,
    row_products,
    store_rows,
    survivors,
    weight_sums,
    zero_rows,
)


@triton.jit
def hand_over(
    x, offset, x0, x1, keep, add, part, slot, closing, carried,
    HAS: tl.constexpr, D: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr,
):  # fmt: skip
    """Write gradients [R, D] where ``keep``, and return what goes on in the next tile: those of class rows.

    Where ``add`` (only if HAS) what is there already is added in float32. With a workspace ``part``, class rows go
    there instead, to ``slot``, where ``closing``.
    """
    y0, y1 = x0, x1  # [R, D]
    if HAS:
        z0, z1 = load_rows(x, offset, add, D, D0, D1)  # [R, D]
        y0 += z0.to(tl.float32)
        if D1 > 0:
            y1 += z1.to(tl.float32)
    store_rows(x, offset, y0, y1, keep, D, D0, D1)
    if part is not None:
        store_rows(part, slot, x0, x1, closing, D, D0, D1)
    # A factor, as a select of accumulators by rows upsets Triton 3.2.
    return x0 * carried, x1 * carried


@triton.jit(do_not_specialize=["H", "T", "BH", "splits", "threshold"])
def local_backward(
    dout,  # [B, H, N, D]
    q,  # [B, H, N, D]
    k,  # [B, H, N, D]
    v,  # [B, H, N, D]
    out,  # [B, H, N, D], strides of dq
    lse,  # [B, H, N] float32
    dq,  # [B, H, N, D]
    dk,  # [B, H, N, D]
    dv,  # [B, H, N, D], strides of dq
    visible,  # None or uint8 [L, T] or [B, L, T]
    valid,  # None or uint8 [L, T] or [B, L, T]
    seed,  # None or int64 [1]
    part,  # None or [3, B * H, splits, L, D] float32: gradients of the class rows of q, k, v
    gb, gh, gn, qb, qh, qn, kb, kh, kn, vb, vh, vn, db, dh, dn,  # strides of batch, head and token, in elements
    visible_b, valid_b,  # batch strides of the masks, 0 when shared
    H, T, BH, splits,
    scale, threshold, keep_scale,
    L: tl.constexpr, C: tl.constexpr, R: tl.constexpr,
    D: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr,
    SAME: tl.constexpr, PRECISION: tl.constexpr, STAGES: tl.constexpr, LATE: tl.constexpr,
):  # fmt: skip
    """One program: a head, or one split of a head when there is a workspace."""
    if SAME:  # equal strides let the row offsets be computed once
        kb, kh, kn = qb, qh, qn
        vb, vh, vn = qb, qh, qn
    pid = tl.program_id(0)
    if part is None:
        split = 0
        bh = pid
        start = 0
        stop = T
    else:
        # Heads vary fastest, so that concurrent programs read neighbouring heads of the same tokens.
        split = (pid // H) % splits
        bh = (pid // (H * splits)) * H + pid % H
        per_split = tl.cdiv(tl.cdiv(T, C), splits) * C
        start = split * per_split
        stop = tl.minimum(start + per_split, T)
    h = (bh % H).to(tl.int64)
    b = (bh // H).to(tl.int64)
    N = L * (T + 1)
    dout += b * gb + h * gh
    q += b * qb + h * qh
    k += b * kb + h * kh
    v += b * vb + h * vh
    dq += b * db + h * dh
    dk += b * db + h * dh
    dv += b * db + h * dh
    out += b * db + h * dh
    lse += bh.to(tl.int64) * N

    row = tl.arange(0, R)  # [R]
    lead, column, is_class, is_beat = tile_roles(L, C, R)  # [R]
    origin = tl.where(is_class, row, L + lead * T + column)  # [R] token in the tile at t = 0
    low = attended_bits(lead, column, is_class, is_beat, L, C, 0)  # [R]
    high = low
    if R > 64:
        high = attended_bits(lead, column, is_class, is_beat, L, C, 1)  # [R]

    # Most keys of a class row are in other tiles, so that its rowsum(dout * out) is taken from its output.
    offset = row.to(tl.int64)  # [R]
    g0, g1 = load_rows(dout, offset * gn, is_class, D, D0, D1)  # [R, D]
    o0, o1 = load_rows(out, offset * dn, is_class, D, D0, D1)  # [R, D]
    class_delta = row_products(g0, g1, o0, o1, D1)  # [R]

    dq0, dq1 = zero_rows(R, D0, D1)  # [R, D]
    dk0, dk1 = zero_rows(R, D0, D1)  # [R, D]
    dv0, dv1 = zero_rows(R, D0, D1)  # [R, D]
    carried = tl.where(is_class, 1.0, 0.0)[:, None]  # [R, 1]
    HAS: tl.constexpr = visible is not None
    # With LATE, for want of registers or shared memory, each tensor is loaded when its turn comes, and again, and each
    # gradient written as soon as it is known.
    for t in tl.range(start, stop, C, num_stages=STAGES):
        inside = is_beat & (column + t < stop)  # [R]
        token = origin + tl.where(is_beat, t, 0)  # [R]
        is_valid = inside  # [R]
        if valid is not None:
            is_valid = inside & (tl.load(valid + b * valid_b + (token - L), mask=inside, other=0) != 0)  # [R]
        is_local = is_valid  # [R]
        if visible is not None:
            is_local = is_valid & (tl.load(visible + b * visible_b + (token - L), mask=inside, other=0) == 0)  # [R]
        is_key = is_valid | is_class  # [R]
        is_query = is_local | is_class  # [R]
        offset = token.to(tl.int64)  # [R]
        q0, q1 = load_rows(q, offset * qn, is_query, D, D0, D1)  # [R, D]
        k0, k1 = load_rows(k, offset * kn, is_key, D, D0, D1)  # [R, D]
        if not LATE:
            g0, g1 = load_rows(dout, offset * gn, is_query, D, D0, D1)  # [R, D]
            v0, v1 = load_rows(v, offset * vn, is_key, D, D0, D1)  # [R, D]
        # +inf in rows that are no query here makes their weights 0.
        log = tl.load(lse + token, mask=is_query, other=float("inf")) * LOG2E  # [R]

        live_low = bits_below(L + tl.minimum(stop - t, C) * L, 0)  # [1] keys of this tile
        live_high = bits_below(L + tl.minimum(stop - t, C) * L, 1)  # [1]
        if valid is not None:
            live_low = tl.sum(tl.where(is_key, bit_at(row, 0), 0), 0)
            live_high = tl.sum(tl.where(is_key, bit_at(row, 1), 0), 0)
        itself = row < tl.where(t == 0, L, 0)  # [R] a class token meets itself in the first tile only
        bits_low = (low | tl.where(itself, bit_at(row, 0), 0)) & live_low  # [R]
        bits_high = (high | tl.where(itself, bit_at(row, 1), 0)) & live_high  # [R]
        may = entry_mask(bits_low, bits_high, R)  # [R, R]

        closing = row < tl.where(t + C >= stop, L, 0)  # [R] class rows in the last tile
        finished = inside  # [R]
        if part is None:
            finished = inside | closing
            slot, step = row, 0  # unused
        else:
            slot = ((bh.to(tl.int64) * splits + split) * L + row) * D  # [R]
            step = BH.to(tl.int64) * splits * L * D  # from the gradients of q to those of k, then of v
        is_visible = is_valid ^ is_local  # [R] their dq is complete, their dk and dv hold the dense kernels' part
        add = finished & (is_visible | is_class)  # [R]

        s = dot_rows(q0, q1, k0, k1, D1, PRECISION)  # [R, R]
        p = tl.where(may, tl.exp2(s * (scale * LOG2E) - log[:, None]), 0.0)  # [R, R]
        if q0.dtype == tl.float32:
            p /= tl.where(is_class, 1.0, weight_sums(p))[:, None]  # [R, R]
        w = p
        if seed is not None:
            kept = survivors(seed, b * H + h, token[:, None], token[None, :], threshold)  # [R, R]
            w = tl.where(kept, p * keep_scale, 0.0)
        if LATE:
            g0, g1 = load_rows(dout, offset * gn, is_query, D, D0, D1)  # [R, D]
        dv0, dv1 = add_product(tl.trans(w.to(g0.dtype)), g0, g1, dv0, dv1, D1, PRECISION)  # [R, D]
        if LATE:
            dv0, dv1 = hand_over(
                dv, offset * dn, dv0, dv1, finished, add, part, slot + 2 * step, closing, carried, HAS, D, D0, D1
            )
            v0, v1 = load_rows(v, offset * vn, is_key, D, D0, D1)  # [R, D]
        dp = dot_rows(g0, g1, v0, v1, D1, PRECISION)  # [R, R]
        if seed is not None:
            dp = tl.where(kept, dp * keep_scale, 0.0)
        # A beat's keys are all here, so that rowsum(dout * out) = rowsum(p * dp) and its output need not be read.
        row_delta = tl.where(is_class, class_delta, tl.sum(p * dp, 1)) * scale  # [R]
        ds = (p * (dp * scale - row_delta[:, None])).to(g0.dtype)  # [R, R]
        if LATE:
            q0, q1 = load_rows(q, offset * qn, is_query, D, D0, D1)  # [R, D]
        dk0, dk1 = add_product(tl.trans(ds), q0, q1, dk0, dk1, D1, PRECISION)  # [R, D]
        if LATE:
            dk0, dk1 = hand_over(
                dk, offset * dn, dk0, dk1, finished, add, part, slot + step, closing, carried, HAS, D, D0, D1
            )
            k0, k1 = load_rows(k, offset * kn, is_key, D, D0, D1)  # [R, D]
        dq0, dq1 = add_product(ds, k0, k1, dq0, dq1, D1, PRECISION)  # [R, D]
        if not LATE:
            dv0, dv1 = hand_over(
                dv, offset * dn, dv0, dv1, finished, add, part, slot + 2 * step, closing, carried, HAS, D, D0, D1
            )
            dk0, dk1 = hand_over(
                dk, offset * dn, dk0, dk1, finished, add, part, slot + step, closing, carried, HAS, D, D0, D1
            )
        dq0, dq1 = hand_over(
            dq, offset * dn, dq0, dq1, finished ^ is_visible, add, part, slot, closing, carried, False, D, D0, D1
        )
