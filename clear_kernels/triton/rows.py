# mypy: allow-untyped-defs
"""Tiles of token rows: loads, stores, products and the softmax constants that all kernels share.

The head dimension of a tile is held in two parts of power-of-two width, D0 and D1 (96 = 64 + 32; D1 = 0 when one part
does). A function that takes or returns both parts names them ``x0, x1``; with D1 = 0 the second is an unused alias.
"""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra import libdevice

# A masked logit before scaling: exp2 of it is exactly 0, and unlike -inf a fully masked row stays free of NaN.
MASKED = tl.constexpr(-1.0e30)
LOG2E = tl.constexpr(1.4426950408889634)
LN2 = tl.constexpr(0.6931471805599453)


@triton.jit
def load_rows(x, offset, keep, D: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr):
    """Rows at element ``offset`` (int64 [R]) from ``x``, 0 where not ``keep`` (bool [R]): [R, D0], [R, D1]."""
    column = tl.arange(0, D0)[None, :]  # [1, D0]
    # Columns are added to the scalar first: the row offsets then cost one addition each.
    x0 = tl.load((x + column) + offset[:, None], mask=keep[:, None] & (column < D), other=0.0)  # [R, D0]
    x1 = x0
    if D1 > 0:
        column = D0 + tl.arange(0, D1)[None, :]  # [1, D1]
        x1 = tl.load((x + column) + offset[:, None], mask=keep[:, None] & (column < D), other=0.0)  # [R, D1]
    return x0, x1


@triton.jit
def store_rows(x, offset, x0, x1, keep, D: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr):
    """Write [R, D0], [R, D1] to the rows at ``offset`` where ``keep``, in the dtype of ``x``."""
    column = tl.arange(0, D0)[None, :]  # [1, D0]
    tl.store((x + column) + offset[:, None], x0.to(x.dtype.element_ty), mask=keep[:, None] & (column < D))
    if D1 > 0:
        column = D0 + tl.arange(0, D1)[None, :]  # [1, D1]
        tl.store((x + column) + offset[:, None], x1.to(x.dtype.element_ty), mask=keep[:, None] & (column < D))


@triton.jit
def operand(x, PRECISION: tl.constexpr):
    """What a product takes of x. "wide" widens half precision, as plain arithmetic then takes fewer registers.

    The assembly keeps the compiler from moving the conversion behind the shared memory again.
    """
    if PRECISION == "wide":
        x = tl.inline_asm_elementwise("mov.b32 $0, $1;", "=f,f", [x.to(tl.float32)], tl.float32, True, 1)
    return x


@triton.jit
def dot_rows(x0, x1, y0, y1, D1: tl.constexpr, PRECISION: tl.constexpr):
    """x yᵀ: [M, N] float32 from rows [M, D] and [N, D]."""
    UNITS: tl.constexpr = "ieee" if PRECISION == "wide" else PRECISION
    s = tl.dot(operand(x0, PRECISION), tl.trans(operand(y0, PRECISION)), input_precision=UNITS)  # [M, N]
    if D1 > 0:
        s = tl.dot(operand(x1, PRECISION), tl.trans(operand(y1, PRECISION)), s, input_precision=UNITS)  # [M, N]
    return s


@triton.jit
def add_product(p, y0, y1, acc0, acc1, D1: tl.constexpr, PRECISION: tl.constexpr):
    """acc + p y: [M, D0], [M, D1] float32 from [M, N] and rows [N, D]."""
    UNITS: tl.constexpr = "ieee" if PRECISION == "wide" else PRECISION
    p = operand(p, PRECISION)  # [M, N]
    acc0 = tl.dot(p, operand(y0, PRECISION), acc0, input_precision=UNITS)  # [M, D0]
    if D1 > 0:
        acc1 = tl.dot(p, operand(y1, PRECISION), acc1, input_precision=UNITS)  # [M, D1]
    return acc0, acc1


@triton.jit
def row_products(x0, x1, y0, y1, D1: tl.constexpr):
    """The inner product of each row of x with the same row of y: [R] float32."""
    s = tl.sum(x0.to(tl.float32) * y0.to(tl.float32), 1)  # [R]
    if D1 > 0:
        s += tl.sum(x1.to(tl.float32) * y1.to(tl.float32), 1)  # [R]
    return s


@triton.jit
def zero_rows(R: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr):
    """An accumulator: [R, D0], [R, D1] float32."""
    acc0 = tl.zeros([R, D0], tl.float32)  # [R, D0]
    acc1 = acc0
    if D1 > 0:
        acc1 = tl.zeros([R, D1], tl.float32)  # [R, D1]
    return acc0, acc1


@triton.jit
def log2_and_inverse(x, FAST: tl.constexpr):
    """log2(x) and 1/x of a sum of weights; FAST takes the hardware's approximations (2e-7 relative)."""
    if FAST:
        log = libdevice.fast_log2f(x)
        inverse = tl.exp2(-log)
    else:
        log = tl.log2(x)
        inverse = 1.0 / x
    return log, inverse


@triton.jit
def survivors(seed, batch_head, query, key, threshold):
    """Which entries dropout keeps, for token positions ``query`` and ``key`` that broadcast: bool (see philox.py)."""
    low = (batch_head & 0xFFFFFFFF).to(tl.uint32)
    high = (batch_head >> 32).to(tl.uint32)
    c0, c1 = key.to(tl.uint32, bitcast=True), query.to(tl.uint32, bitcast=True)
    word, _, _, _ = tl.philox(tl.load(seed), c0, c1, low, high)
    return word >= threshold.to(tl.uint32)
