# mypy: allow-untyped-defs
"""Tiles of token rows: loads, stores, products and the softmax constants that all kernels share.

The head dimension of a tile is held in two parts of power-of-two width, D0 and D1 (96 = 64 + 32; D1 = 0 when one part
does). A function that takes or returns both parts names them ``x0, x1``; with D1 = 0 the second is an unused alias.
"""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra import libdevice

from clear_kernels.triton.launch import interpreting

# A masked logit before scaling: exp2 of it is exactly 0, and differences of it are free of NaN, unlike those of -inf.
MASKED = tl.constexpr(-1.0e30)
LOG2E = tl.constexpr(1.4426950408889634)
LN2 = tl.constexpr(0.6931471805599453)


# Triton's interpreter cannot read assembly.
_INTERPRETED = tl.constexpr(interpreting())


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
        x = x.to(tl.float32)
        if not _INTERPRETED:
            x = tl.inline_asm_elementwise("mov.b32 $0, $1;", "=f,f", [x], tl.float32, True, 1)
    return x


@triton.jit
def column_pairs(x):
    """The even and the odd columns of [R, W]: two times [R, W / 2], without leaving the registers."""
    return tl.split(tl.reshape(x, (x.shape[0], x.shape[1] // 2, 2)))


@triton.jit
def joined_columns(x, y):
    """[R, W] of its even and its odd columns: the inverse of column_pairs."""
    return tl.reshape(tl.join(x, y), (x.shape[0], 2 * x.shape[1]))


@triton.jit
def dot_narrow(x, y, s):
    """s + x yᵀ by plain arithmetic, over at most 32 columns at a time, for [M, W] and [N, W] of up to 64 columns.

    A thread holds all columns of its rows and those of its keys at once, which would not fit its registers.
    """
    if x.shape[1] > 32:
        xe, xo = column_pairs(x)  # [M, W / 2]
        ye, yo = column_pairs(y)  # [N, W / 2]
        s = tl.dot(operand(xe, "wide"), tl.trans(operand(ye, "wide")), s, input_precision="ieee")  # [M, N]
        s = tl.dot(operand(xo, "wide"), tl.trans(operand(yo, "wide")), s, input_precision="ieee")  # [M, N]
    else:
        s = tl.dot(operand(x, "wide"), tl.trans(operand(y, "wide")), s, input_precision="ieee")  # [M, N]
    return s


@triton.jit
def dot_part(x, y, s, PRECISION: tl.constexpr):
    """s + x yᵀ: [M, N] float32 from one part of the rows, [M, W] and [N, W]."""
    if PRECISION != "wide":
        s = tl.dot(x, tl.trans(y), s, input_precision=PRECISION)  # [M, N]
    elif x.shape[1] > 64:
        xe, xo = column_pairs(x)  # [M, W / 2]
        ye, yo = column_pairs(y)  # [N, W / 2]
        s = dot_narrow(xe, ye, s)  # [M, N]
        s = dot_narrow(xo, yo, s)  # [M, N]
    else:
        s = dot_narrow(x, y, s)  # [M, N]
    return s


@triton.jit
def dot_rows(x0, x1, y0, y1, D1: tl.constexpr, PRECISION: tl.constexpr):
    """x yᵀ: [M, N] float32 from rows [M, D] and [N, D]."""
    s = tl.zeros([x0.shape[0], y0.shape[0]], tl.float32)  # [M, N]
    s = dot_part(x0, y0, s, PRECISION)  # [M, N]
    if D1 > 0:
        s = dot_part(x1, y1, s, PRECISION)  # [M, N]
    return s


@triton.jit
def product_narrow(p, y):
    """p y by plain arithmetic, at most 32 columns of y at a time, for [M, N] float32 and [N, W] of up to 64 columns."""
    if y.shape[1] > 32:
        ye, yo = column_pairs(y)  # [N, W / 2]
        even = tl.dot(p, operand(ye, "wide"), input_precision="ieee")  # [M, W / 2]
        odd = tl.dot(p, operand(yo, "wide"), input_precision="ieee")  # [M, W / 2]
        x = joined_columns(even, odd)  # [M, W]
    else:
        x = tl.dot(p, operand(y, "wide"), input_precision="ieee")  # [M, W]
    return x


@triton.jit
def add_part(p, y, acc, PRECISION: tl.constexpr):
    """acc + p y: [M, W] float32 from [M, N] and one part of the rows, [N, W]."""
    if PRECISION != "wide":
        acc = tl.dot(p, y, acc, input_precision=PRECISION)  # [M, W]
    elif y.shape[1] > 64:
        ye, yo = column_pairs(y)  # [N, W / 2]
        acc += joined_columns(product_narrow(p, ye), product_narrow(p, yo))  # [M, W]
    else:
        acc += product_narrow(p, y)  # [M, W]
    return acc


@triton.jit
def add_product(p, y0, y1, acc0, acc1, D1: tl.constexpr, PRECISION: tl.constexpr):
    """acc + p y: [M, D0], [M, D1] float32 from [M, N] and rows [N, D]."""
    p = operand(p, PRECISION)  # [M, N]
    acc0 = add_part(p, y0, acc0, PRECISION)  # [M, D0]
    if D1 > 0:
        acc1 = add_part(p, y1, acc1, PRECISION)  # [M, D1]
    return acc0, acc1


@triton.jit
def row_products(x0, x1, y0, y1, D1: tl.constexpr):
    """The inner product of each row of x with the same row of y: [R] float32."""
    s = tl.sum(x0.to(tl.float32) * y0.to(tl.float32), 1)  # [R]
    if D1 > 0:
        s += tl.sum(x1.to(tl.float32) * y1.to(tl.float32), 1)  # [R]
    return s


@triton.jit
def weight_sums(p):
    """rowsum(p) to divide the weights p by: [M] float32, not 0 in rows without keys.

    Recomputed weights exp(s - lse) of all keys sum to 1 + d, where d is about |lse| * 2^-24. rowsum(p * dp) is then off
    by as much, which shows in float32 where a gradient is nearly 0, and not in half precision.
    """
    return tl.maximum(tl.sum(p, 1), 1e-30)


@triton.jit
def zero_rows(R: tl.constexpr, D0: tl.constexpr, D1: tl.constexpr):
    """An accumulator: [R, D0], [R, D1] float32."""
    acc0 = tl.zeros([R, D0], tl.float32)  # [R, D0]
    acc1 = acc0
    if D1 > 0:
        acc1 = tl.zeros([R, D1], tl.float32)  # [R, D1]
    return acc0, acc1


@triton.jit
def reference_of(top, to_log2):
    """What a row's exponents are taken from, [R] for the largest logits so far [R]; 0 where all were masked.

    The compiler fuses the product and the difference of an exponent, which then is not 0 for a logit that is its row's
    maximum, but a rounding error of that product: of MASKED it is so large that its power overflows.
    """
    return tl.where(top > MASKED, top * to_log2, 0.0)


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


def philox_assembly() -> str:
    """PTX of word 0 of Philox-4x32-10: $0 from the counter $1 to $4 and the key $5, $6.

    As instructions of one entry after the other; left to the compiler, a round of all entries of a tile comes before
    the next round, and their states fill the registers.
    """
    step = (
        "mul.hi.u32 e, c, 0xCD9E8D57; mul.lo.u32 f, c, 0xCD9E8D57; "
        "mul.hi.u32 g, a, 0xD2511F53; mul.lo.u32 h, a, 0xD2511F53; "
        "xor.b32 a, e, b; xor.b32 a, a, k; xor.b32 c, g, d; xor.b32 c, c, l; mov.b32 b, f; mov.b32 d, h; "
        "add.u32 k, k, 0x9E3779B9; add.u32 l, l, 0xBB67AE85; "
    )
    take = "mov.b32 a, $1; mov.b32 b, $2; mov.b32 c, $3; mov.b32 d, $4; mov.b32 k, $5; mov.b32 l, $6; "
    return "{ .reg .b32 a, b, c, d, e, f, g, h, k, l; " + take + 10 * step + "mov.b32 $0, a; }"


_PHILOX = tl.constexpr(philox_assembly())


@triton.jit
def survivors(seed, batch_head, query, key, threshold):
    """Which entries dropout keeps, for token positions ``query`` and ``key`` that broadcast: bool (see philox.py)."""
    low = (batch_head & 0xFFFFFFFF).to(tl.uint32)
    high = (batch_head >> 32).to(tl.uint32)
    c0, c1 = key.to(tl.uint32, bitcast=True), query.to(tl.uint32, bitcast=True)
    bits = tl.load(seed)
    if _INTERPRETED:
        word, _, _, _ = tl.philox(bits, c0, c1, low, high)
    else:
        k0, k1 = (bits & 0xFFFFFFFF).to(tl.uint32), ((bits >> 32) & 0xFFFFFFFF).to(tl.uint32)
        word = tl.inline_asm_elementwise(_PHILOX, "=r,r,r,r,r,r,r", [c0, c1, low, high, k0, k1], tl.uint32, True, 1)
    return word >= threshold.to(tl.uint32)
