# mypy: allow-untyped-defs
"""The list of visible beats, made on the device: nobody waits for their number."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["beats"])
def select_visible(
    visible,  # uint8 [L, T] or [B, L, T]
    valid,  # None or uint8 [L, T] or [B, L, T]
    index,  # int32 [1, N] or [B, N]: the class tokens, then the tokens of visible and valid beats in order
    count,  # int32 [1] or [B]: how many entries of index are in use
    visible_b, valid_b, index_b,  # batch strides, 0 when shared
    beats,  # L * T
    L: tl.constexpr, LP: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program: one batch."""
    b = tl.program_id(0).to(tl.int64)
    index += b * index_b
    row = tl.arange(0, LP)  # [LP]
    tl.store(index + row, row, mask=row < L)
    found = tl.full([], L, tl.int32)
    for first in tl.range(0, beats, BLOCK):
        beat = first + tl.arange(0, BLOCK)  # [BLOCK]
        seen = tl.load(visible + b * visible_b + beat, mask=beat < beats, other=0) != 0  # [BLOCK]
        if valid is not None:
            seen = seen & (tl.load(valid + b * valid_b + beat, mask=beat < beats, other=0) != 0)
        one = seen.to(tl.int32)  # [BLOCK]
        place = found + tl.cumsum(one, 0) - one  # [BLOCK]
        tl.store(index + place, L + beat, mask=seen)
        found += tl.sum(one, 0)
    tl.store(count + b, found)
