"""The registered operators: schemas, fakes and autograd keys (opcheck), and their autocast rule."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attention_cases import Case
from helpers import Variant, each_native_backend, each_native_variant, mask_of
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.library import opcheck

from clear_kernels import checks, ops  # noqa: F401  (registers the operators)

CASES = [
    Case("grid", 3, 4, valid="batch", dim=24),
    Case("grid", 3, 4, visible="shared", valid="shared", dropout_p=0.2, dtype=torch.bfloat16, layout="strided_last"),
    Case("grid", 1, 1, visible=True, batch=1, heads=1, dtype=torch.float64, layout="heads_first"),
    Case("packed", 3, 5, valid="shared", lead="batch", dropout_p=0.2),
    Case("packed", 2, 0, dtype=torch.float16),
]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.form}-{case.dtype}".replace("torch.", ""))


def calls(variant: Variant, case: Case) -> list[tuple[Any, tuple[Any, ...]]]:
    """The forward operator and the backward operator, each with its arguments."""
    q, k, v, dout = case.tensors(variant.device)
    variant.decline_unless_it_takes(q)
    options = {"visible": None, "valid": None, "dropout_p": 0.0, "scale": None, "seed": None} | case.options(
        variant.device
    )
    namespace = torch.ops.clear_kernels
    if case.form == "grid":
        forward, backward = namespace.beat_attention, namespace.beat_attention_backward
        arguments: tuple[Any, ...] = (*checks.grid_call(q, k, v, **options), variant.backend)
    else:
        forward, backward = namespace.packed_attention, namespace.packed_attention_backward
        del options["visible"]
        arguments = (*checks.packed_call(q, k, v, **options), variant.backend)
    out, lse = forward(*arguments)
    return [
        (forward.default, arguments),
        (backward.default, (dout, *arguments[:3], out, lse, *arguments[3:])),
    ]


@each_native_backend
@each_case
def test_opcheck(variant: Variant, case: Case) -> None:
    for op, arguments in calls(variant, case):
        opcheck(op, arguments)


@each_native_variant
def test_operators_are_not_differentiable(variant: Variant) -> None:
    for op, arguments in calls(variant, CASES[0]):
        leaf = arguments[0].detach().requires_grad_()
        assert not any(made.requires_grad for made in op(leaf, *arguments[1:]))


@each_native_variant
@each_case
def test_fakes_have_the_shapes_strides_and_dtypes_of_the_results(variant: Variant, case: Case) -> None:
    with variant.active():
        for op, arguments in calls(variant, case):
            real = op(*arguments)
            with FakeTensorMode(allow_non_fake_inputs=True):
                fake = op(*arguments)
            for a, b in zip(real, fake, strict=True):
                assert (a.shape, a.stride(), a.dtype, a.device) == (b.shape, b.stride(), b.dtype, b.device)


@each_native_variant
@each_case
def test_log_sum_exp(variant: Variant, case: Case) -> None:
    with variant.active():
        (op, arguments), _ = calls(variant, case)
        _, lse = op(*arguments)
    q, k = (x.double() for x in arguments[:2])
    mask = mask_of(q, case.form, case.options(variant.device))
    mask = (mask if mask.dim() == 2 else mask[:, None]).expand(*q.shape[:3], -1)
    expected = (q @ k.mT * q.shape[3] ** -0.5).masked_fill(~mask, -torch.inf).logsumexp(-1)
    expected[~mask.any(-1)] = torch.inf  # padding, which makes exp(score - lse) zero
    assert lse.dtype == (torch.float64 if case.dtype == torch.float64 else torch.float32)
    assert lse.is_contiguous()
    torch.testing.assert_close(lse.double(), expected, rtol=1e-5, atol=1e-5)


@each_native_variant
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_operators_cast_under_autocast(variant: Variant, dtype: torch.dtype) -> None:
    for case in (Case("grid", 3, 4), Case("packed", 3, 4)):
        with variant.active():
            (op, arguments), _ = calls(variant, case)
            with torch.autocast(variant.device, dtype):
                out, lse = op(*arguments)
            expected = op(*(x.to(dtype) for x in arguments[:3]), *arguments[3:])[0]
        assert out.dtype == dtype
        assert lse.dtype == torch.float32
        assert torch.equal(out, expected)
