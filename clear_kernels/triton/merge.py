# mypy: allow-untyped-defs
"""Class rows whose beats were split over several programs: their parts are merged in a fixed order."""

from __future__ import annotations

import triton
import triton.language as tl

from clear_kernels.triton.rows import LN2


@triton.jit(do_not_specialize=["H", "splits"])
def merge_class_outputs(
    part_out,  # [B * H, splits, L, D] float32, normalised
    part_lse,  # [B * H, splits, L] float32, in units of log 2
    out,  # [B, H, N, D]
    lse,  # [B, H, N] float32
    ob, oh, on,  # strides of batch, head and token, in elements
    H, splits, tokens,
    L: tl.constexpr, D: tl.constexpr, DP: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program: one class token of one head. The weights of the parts follow from their log-sum-exps."""
    bh = (tl.program_id(0) // L).to(tl.int64)
    row = tl.program_id(0) % L
    column = tl.arange(0, DP)[None, :]  # [1, DP]
    part_out += bh * splits * L * D + row * D
    part_lse += bh * splits * L + row
    top = tl.full([], -float("inf"), tl.float32)
    total = tl.zeros([], tl.float32)
    acc = tl.zeros([DP], tl.float32)  # [DP]
    for first in tl.range(0, splits, BLOCK):
        split = first + tl.arange(0, BLOCK)  # [BLOCK]
        inside = split < splits  # [BLOCK]
        offset = split.to(tl.int64) * L  # [BLOCK]
        log = tl.load(part_lse + offset, mask=inside, other=-float("inf"))  # [BLOCK]
        x = tl.load(part_out + offset[:, None] * D + column, mask=inside[:, None] & (column < D), other=0.0)
        before = top
        top = tl.maximum(before, tl.max(log, 0))
        weight = tl.exp2(log - top)  # [BLOCK]
        fade = tl.exp2(before - top)
        total = total * fade + tl.sum(weight, 0)
        acc = acc * fade + tl.sum(weight[:, None] * x, 0)  # [DP]
    h = bh % H
    b = bh // H
    column = tl.arange(0, DP)  # [DP]
    out += b * ob + h * oh + row.to(tl.int64) * on
    tl.store(out + column, (acc / total).to(out.dtype.element_ty), mask=column < D)
    tl.store(lse + bh * tokens + row, (top + tl.log2(total)) * LN2)


@triton.jit(do_not_specialize=["H", "BH", "splits"])
def merge_class_gradients(
    part,  # [3, B * H, splits, L, D] float32: of q, k, v
    dq,  # [B, H, N, D]
    dk,  # [B, H, N, D]
    dv,  # [B, H, N, D], strides of dq
    db, dh, dn,  # strides of batch, head and token, in elements
    H, BH, splits,
    L: tl.constexpr, D: tl.constexpr, DP: tl.constexpr, BLOCK: tl.constexpr, ADD: tl.constexpr,
):  # fmt: skip
    """One program: one class token of one head. ADD keeps what the dense kernels left in dk and dv."""
    bh = (tl.program_id(0) // L).to(tl.int64)
    row = tl.program_id(0) % L
    column = tl.arange(0, DP)  # [DP]
    to = (bh // H) * db + (bh % H) * dh + row.to(tl.int64) * dn + column  # [DP]
    part += (bh * splits * L + row) * D
    step = BH.to(tl.int64) * splits * L * D
    for which in tl.static_range(3):
        x = dq
        if which == 1:
            x = dk
        if which == 2:
            x = dv
        acc = tl.zeros([DP], tl.float32)  # [DP]
        if ADD and which > 0:
            acc = tl.load(x + to, mask=column < D, other=0.0).to(tl.float32)
        for first in tl.range(0, splits, BLOCK):
            split = first + tl.arange(0, BLOCK)  # [BLOCK]
            offset = (split.to(tl.int64) * (L * D))[:, None] + column[None, :]  # [BLOCK, DP]
            keep = (split < splits)[:, None] & (column < D)[None, :]  # [BLOCK, DP]
            acc += tl.sum(tl.load(part + which * step + offset, mask=keep, other=0.0), 0)
        tl.store(x + to, acc.to(x.dtype.element_ty), mask=column < D)
