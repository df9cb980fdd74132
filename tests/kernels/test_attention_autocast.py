"""Under autocast the attention casts its inputs, as scaled_dot_product_attention does."""

from __future__ import annotations

import pytest
import torch
from attention_cases import Case
from helpers import PUBLIC, Variant, each_variant
from torch.nn import functional as F

from clear_kernels import BeatSparseAttention

each_form = pytest.mark.parametrize("case", [Case("grid", 3, 4, visible="shared", valid="batch"), Case("packed", 3, 5)])
each_half = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])


@each_variant
@each_form
@each_half
def test_equals_casting_by_hand(variant: Variant, case: Case, dtype: torch.dtype) -> None:
    q, k, v, dout = case.tensors(variant.device)
    options, public = case.options(variant.device), PUBLIC[case.form]
    q.requires_grad_()
    with variant.active() as backend:
        with torch.autocast(variant.device, dtype):
            out = public(q, k, v, **options, backend=backend)
        (gradient,) = torch.autograd.grad(out, q, dout.to(dtype))
        half = [x.detach().to(dtype).requires_grad_() for x in (q, k, v)]
        expected = public(*half, **options, backend=backend)
        (expected_gradient,) = torch.autograd.grad(expected, half[0], dout.to(dtype))
    assert out.dtype == F.scaled_dot_product_attention(*half).dtype == dtype
    assert torch.equal(out, expected)
    assert gradient.dtype == torch.float32
    assert torch.equal(gradient, expected_gradient.float())


@each_variant
@each_form
def test_float64_is_left_alone(variant: Variant, case: Case) -> None:
    q, k, v, _ = (x.double() for x in case.tensors(variant.device))
    options = case.options(variant.device)
    with variant.active() as backend:
        with torch.autocast(variant.device, torch.bfloat16):
            out = PUBLIC[case.form](q, k, v, **options, backend=backend)
        expected = PUBLIC[case.form](q, k, v, **options, backend=backend)
    assert out.dtype == torch.float64
    assert torch.equal(out, expected)


@each_variant
def test_mixed_inputs_are_brought_together(variant: Variant) -> None:
    q, k, v, _ = Case("grid", 3, 4).tensors(variant.device)
    with variant.active() as backend, torch.autocast(variant.device, torch.bfloat16):
        mixed = PUBLIC["grid"](q, k.bfloat16(), v.half(), leads=3, beats=4, backend=backend)
    assert mixed.dtype == torch.bfloat16


def test_the_layer_trains_under_autocast() -> None:
    layer = BeatSparseAttention(24, 3, leads=3, dropout=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(torch.randn(2, 15, 24))
    assert out.dtype == torch.bfloat16
    out.float().square().sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in layer.parameters())
