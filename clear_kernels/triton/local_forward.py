# mypy: allow-untyped-defs
"""Forward pass of class tokens and local beats, tile by tile along the beats (see columns.py for the tile).

Local beats are finished within their tile. Class rows keep an online softmax over the tiles of a head, or of one split
of a head, whose result goes to the workspace and is merged afterwards (merge.py).
"""

from __future__ import annotations

import triton
import triton.language as tl

from clear_kernels.triton.columns import attended_bits, bit_at, bits_below, entry_mask, tile_roles
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


@triton.jit(do_not_specialize=["H", "T", "BH", "heads", "splits", "threshold"])
def local_forward(
    q,  # [B, H, N, D]
    k,  # [B, H, N, D]
    v,  # [B, H, N, D]
    out,  # [B, H, N, D]
    lse,  # [B, H, N] float32
    visible,  # None or uint8 [L, T] or [B, L, T]
    valid,  # None or uint8 [L, T] or [B, L, T]
    seed,  # None or int64 [1]
    part_out,  # None or [B * H, splits, L, D] float32
    part_lse,  # None or [B * H, splits, L] float32, in units of log 2
    qb, qh, qn, kb, kh, kn, vb, vh, vn, ob, oh, on,  # strides of batch, head and token, in elements
    visible_b, valid_b,  # batch strides of the masks, 0 when shared
    H, T, BH, heads, splits,
    scale, threshold, keep_scale,
    L: tl.constexpr, C: tl.constexpr, R: tl.constexpr,
    D: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr,
    MULTIPLE: tl.constexpr, SAME: tl.constexpr,
    PRESCALE: tl.constexpr, FAST: tl.constexpr, PRECISION: tl.constexpr, STAGES: tl.constexpr, LATE: tl.constexpr,
):  # fmt: skip
    """One program: ``heads`` whole heads in turn, or one split of one head when there is a workspace."""
    if SAME:  # equal strides let the row offsets be computed once
        kb, kh, kn = qb, qh, qn
        vb, vh, vn = qb, qh, qn
    pid = tl.program_id(0)
    if part_out is None:
        split = 0
        bh = pid * heads
        start = 0
        stop = T
        tiles = tl.cdiv(T, C) * tl.minimum(heads, BH - bh)
    else:
        # Heads vary fastest, so that concurrent programs read neighbouring heads of the same tokens.
        split = (pid // H) % splits
        bh = (pid // (H * splits)) * H + pid % H
        per_split = tl.cdiv(tl.cdiv(T, C), splits) * C
        start = split * per_split
        stop = tl.minimum(start + per_split, T)
        tiles = tl.cdiv(tl.maximum(stop - start, 0), C)
    h = (bh % H).to(tl.int64)
    b = (bh // H).to(tl.int64)
    N = L * (T + 1)
    q += b * qb + h * qh
    k += b * kb + h * kh
    v += b * vb + h * vh
    out += b * ob + h * oh
    lse += bh.to(tl.int64) * N

    row = tl.arange(0, R)  # [R]
    lead, column, is_class, is_beat = tile_roles(L, C, R)  # [R]
    origin = tl.where(is_class, row, L + lead * T + column)  # [R] token in the tile at t = 0
    low = attended_bits(lead, column, is_class, is_beat, L, C, 0)  # [R]
    high = low
    if R > 64:
        high = attended_bits(lead, column, is_class, is_beat, L, C, 1)  # [R]
    to_log2 = LOG2E if PRESCALE else scale * LOG2E

    top = tl.full([R], MASKED, tl.float32)  # [R] largest logit so far
    total = tl.zeros([R], tl.float32)  # [R] sum of exp2(logit - top)
    acc0, acc1 = zero_rows(R, D0, D1)  # [R, D]
    t = start
    for _ in tl.range(0, tiles, num_stages=STAGES):
        inside = is_beat & (column + t < stop)  # [R]
        token = origin + tl.where(is_beat, t, 0)  # [R]
        is_valid = inside  # [R]
        if valid is not None:
            is_valid = inside & (tl.load(valid + b * valid_b + (token - L), mask=inside, other=0) != 0)  # [R]
        is_local = is_valid  # [R]
        if visible is not None:
            is_local = is_valid & (tl.load(visible + b * visible_b + (token - L), mask=inside, other=0) == 0)  # [R]
        is_key = is_valid | is_class  # [R]
        offset = token.to(tl.int64)  # [R]
        k0, k1 = load_rows(k, offset * kn, is_key, D, D0, D1)  # [R, D]
        q0, q1 = load_rows(q, offset * qn, is_local | is_class, D, D0, D1)  # [R, D]
        if not LATE:
            v0, v1 = load_rows(v, offset * vn, is_key, D, D0, D1)  # [R, D]

        live_low = bits_below(L + tl.minimum(stop - t, C) * L, 0)  # [1] keys of this tile
        live_high = bits_below(L + tl.minimum(stop - t, C) * L, 1)  # [1]
        if valid is not None:
            live_low = tl.sum(tl.where(is_key, bit_at(row, 0), 0), 0)
            live_high = tl.sum(tl.where(is_key, bit_at(row, 1), 0), 0)
        itself = row < tl.where(t == 0, L, 0)  # [R] a class token meets itself in the first tile only
        bits_low = (low | tl.where(itself, bit_at(row, 0), 0)) & live_low  # [R]
        bits_high = (high | tl.where(itself, bit_at(row, 1), 0)) & live_high  # [R]
        may = entry_mask(bits_low, bits_high, R)  # [R, R]

        s = dot_rows(q0, q1, k0, k1, D1, PRECISION)  # [R, R]
        if PRESCALE:
            s = s * scale
        s = tl.where(may, s, MASKED)
        carried = row < tl.where(t > start, L, 0)  # [R] class rows after the first tile
        before = tl.where(carried, top, MASKED)  # [R]
        top = tl.maximum(before, tl.max(s, 1))  # [R]
        p = tl.exp2(s * to_log2 - reference_of(top, to_log2)[:, None])  # [R, R]
        fade = tl.where(carried, tl.exp2((before - top) * to_log2), 0.0)  # [R]
        total = total * fade + tl.sum(p, 1)  # [R]
        if seed is not None:
            kept = survivors(seed, b * H + h, token[:, None], token[None, :], threshold)  # [R, R]
            p = tl.where(kept, p * keep_scale, 0.0)
        if LATE:  # registers or shared memory have no room for v before
            v0, v1 = load_rows(v, offset * vn, is_key, D, D0, D1)  # [R, D]
        acc0, acc1 = add_product(
            p.to(q0.dtype), v0, v1, acc0 * fade[:, None], acc1 * fade[:, None], D1, PRECISION
        )  # [R, D]

        last = t + C >= stop
        closing = row < tl.where(last, L, 0)  # [R] class rows in the last tile
        is_query = is_local | is_class  # [R]
        log, inverse = log2_and_inverse(total, FAST)  # [R]
        # A class row whose beats in this split are all padding has no key at all.
        inverse = tl.where(is_query & (total > 0.0), inverse, 0.0)
        log = tl.where(is_query, top * to_log2 + log, float("inf"))
        result0, result1 = acc0 * inverse[:, None], acc1 * inverse[:, None]  # [R, D]
        # Visible beats belong to the dense kernel; padding is written here, as zero.
        write = tl.where(is_valid, is_local, inside)  # [R]
        if part_out is None:
            write |= closing
        else:
            slot = (bh.to(tl.int64) * splits + split) * L + row  # [R]
            store_rows(part_out, slot * D, result0, result1, closing, D, D0, D1)
            tl.store(part_lse + slot, log, mask=closing)
        store_rows(out, offset * on, result0, result1, write, D, D0, D1)
        tl.store(lse + token, log * LN2, mask=write)

        t = tl.where(last, start, t + C)
        if part_out is None:
            wrap = last & (h + 1 == H)
            heads_back = (H - 1).to(tl.int64)
            q += tl.where(wrap, qb - heads_back * qh, tl.where(last, qh, 0))
            k += tl.where(wrap, kb - heads_back * kh, tl.where(last, kh, 0))
            v += tl.where(wrap, vb - heads_back * vh, tl.where(last, vh, 0))
            out += tl.where(wrap, ob - heads_back * oh, tl.where(last, oh, 0))
            lse += tl.where(last, N, 0)
            h = tl.where(wrap, 0, h + tl.where(last, 1, 0))
            b += tl.where(wrap, 1, 0)
        if MULTIPLE:  # a NaN must not survive into the next head, and a factor of 0 would let it
            acc0, acc1 = tl.where(last, 0.0, acc0), tl.where(last, 0.0, acc1)
            total = tl.where(last, 0.0, total)
