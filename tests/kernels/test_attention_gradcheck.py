"""Analytic gradients against finite differences in float64, and what a second derivative does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from attention_cases import Case
from helpers import PUBLIC, Variant, each_native_variant, each_variant
from torch import Tensor

from clear_kernels import beat_sparse_attention

CASES = [
    Case("grid", 2, 2, dim=8, dtype=torch.float64),
    Case("grid", 2, 2, dim=8, dtype=torch.float64, visible="batch", valid="shared"),
    Case("grid", 2, 2, dim=8, dtype=torch.float64, visible=True, valid="batch", dropout_p=0.3),
    Case("packed", 2, 3, dim=8, dtype=torch.float64, lead="batch", valid="shared", dropout_p=0.3),
]
each_case = pytest.mark.parametrize("case", CASES, ids=["local", "view", "visible", "packed"])


def prepared(case: Case, variant: Variant) -> tuple[Callable[..., Tensor], list[Tensor]]:
    options = case.options(variant.device)
    inputs = [x.detach().requires_grad_() for x in case.tensors(variant.device)[:3]]
    return lambda *x: PUBLIC[case.form](*x, **options, backend=variant.backend), inputs


@each_variant
@each_case
def test_gradcheck(variant: Variant, case: Case) -> None:
    function, inputs = prepared(case, variant)
    with variant.active():
        assert torch.autograd.gradcheck(function, inputs, fast_mode=True)


@pytest.mark.parametrize("backend", ["gather", "reference"])
@each_case
def test_second_derivatives_of_the_pytorch_backends(backend: str, case: Case) -> None:
    function, inputs = prepared(case, Variant(backend))
    assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


@each_native_variant
@each_case
def test_second_derivative_of_a_native_backend_names_the_remedy(variant: Variant, case: Case) -> None:
    function, inputs = prepared(case, variant)
    with variant.active():
        (first,) = torch.autograd.grad(function(*inputs).sin().sum(), inputs[0], create_graph=True)
        with pytest.raises(RuntimeError, match=r"no second derivative; use backend='gather'"):
            torch.autograd.grad(first.square().sum(), inputs[0])


@each_variant
def test_only_the_gradients_asked_for(variant: Variant) -> None:
    case = Case("grid", 3, 2, valid="shared")
    q, k, v, dout = case.tensors(variant.device)
    options = case.options(variant.device)
    with variant.active() as backend:
        expected = torch.autograd.grad(
            beat_sparse_attention(q, k, v.requires_grad_(), **options, backend=backend), v, dout
        )[0]
        alone = v.detach().requires_grad_()
        out = beat_sparse_attention(q, k, alone, **options, backend=backend)
        out.backward(dout)
    assert torch.equal(alone.grad, expected)
    assert q.grad is None


@each_variant
def test_one_tensor_as_query_key_and_value(variant: Variant) -> None:
    x = Case("grid", 3, 2, dtype=torch.float64).tensors(variant.device)[0].detach().requires_grad_()
    with variant.active() as backend:
        assert torch.autograd.gradcheck(
            lambda t: beat_sparse_attention(t, t, t, leads=3, beats=2, backend=backend), x, fast_mode=True
        )


@each_variant
def test_no_graph_is_kept_without_need(variant: Variant) -> None:
    case = Case("grid", 3, 2)
    q, k, v, _ = case.tensors(variant.device)
    with variant.active() as backend:
        assert not beat_sparse_attention(q, k, v, leads=3, beats=2, backend=backend).requires_grad
        with torch.no_grad():
            q.requires_grad_()
            assert not beat_sparse_attention(q, k, v, leads=3, beats=2, backend=backend).requires_grad
