"""The helpers: the oracle, the rounding unit, the tolerance and the case strategies do what the tests rely on."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

import pytest
import torch
from attention_cases import DTYPES, LAYOUTS, Case, cases, lay_out
from attention_rounding import rounding_units
from helpers import (
    EPS,
    Variant,
    all_variants,
    assert_accurate,
    call_units,
    dense,
    dense_call,
    mask_of,
    with_gradients,
    worst,
)
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from clear_kernels import attention_mask
from clear_kernels.backends import cpu


@given(case=cases("grid", dtype=torch.float64, valid=None, dropout_p=0.0))
def test_the_oracle_is_masked_attention(case: Case) -> None:
    q, k, v, _ = case.tensors()
    options = case.options()
    mask = mask_of(q, "grid", options)
    mask = mask if mask.dim() == 2 else mask[:, None]
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    torch.testing.assert_close(dense_call("grid")(q, k, v, **options), expected)


def test_the_oracle_ignores_padding_and_applies_dropout() -> None:
    valid = torch.tensor([[True, False, True]])
    q, k, v = (torch.randn(1, 1, 4, 8, dtype=torch.float64) for _ in range(3))
    mask = attention_mask(1, 3, None, valid)
    out = dense(q, k, v, mask, scale=1.0)
    poisoned = [x.index_fill(2, torch.tensor([2]), torch.nan) for x in (q, k, v)]
    assert torch.equal(dense(*poisoned, mask, scale=1.0), out)
    assert not out[:, :, 2].any()
    everything = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    torch.testing.assert_close(dense(q, k, v, mask, keep=everything, p=0.5, scale=1.0), 2 * out)
    assert not dense(q, k, v, mask, keep=~everything, p=0.5, scale=1.0).any()


def test_worst_counts_nan_as_infinite() -> None:
    assert worst(torch.tensor([1.0, 2.5]), torch.tensor([1.0, 2.0])) == 0.5
    assert worst(torch.tensor([1.0, torch.nan]), torch.tensor([1.0, 2.0])) == torch.inf
    assert worst(torch.empty(0), torch.empty(0)) == 0.0


def test_tolerance_accepts_the_factor_and_refuses_more() -> None:
    exact = torch.zeros(3, dtype=torch.float64)
    plain = torch.full((3,), 1e-6)

    def judge(error: float, unit: float = 3e-7, factor: float = 2.0) -> None:
        assert_accurate("x", torch.full((3,), error), exact, plain, factor=factor, unit=unit)

    judge(2.9e-6, factor=3.0)
    judge(3.1e-6)
    for too_much in (3.3e-6, torch.nan, torch.inf):
        with pytest.raises(AssertionError, match="x: error"):
            judge(too_much)
    with pytest.raises(AssertionError, match="exceeds"):
        judge(1.9e-6, unit=1e-9)  # within twice plain PyTorch, but far beyond what rounding explains


def test_tolerance_compares_like_with_like() -> None:
    exact, half = torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float16)
    with pytest.raises(AssertionError, match="plain"):
        assert_accurate("x", half, exact, half.float(), factor=2, unit=1.0)
    with pytest.raises(AssertionError, match="not exact"):
        assert_accurate("x", half, exact.float(), half, factor=2, unit=1.0)
    with pytest.raises(AssertionError, match="shape"):
        assert_accurate("x", half, exact[:1], half, factor=2, unit=1.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_rounding_unit_measures_rounding(dtype: torch.dtype) -> None:
    # Rounding the inputs' products once moves every result by about a unit: not by a hundredth, not by a hundred.
    case = Case("grid", 4, 6, dim=32, dtype=dtype, visible="batch", valid="batch")
    tensors, options = case.tensors(), case.options()
    wide = [x.double() for x in tensors]
    exact = with_gradients(lambda *x: dense_call("grid")(*x, **options), *wide)
    plain = with_gradients(lambda *x: dense_call("grid")(*x, **options), *tensors)
    units = call_units("grid", *wide, options, EPS[dtype])
    for ours, truth, unit in zip(plain, exact, units, strict=True):
        assert 0.02 < worst(ours, truth) / unit < 20


def test_the_rounding_unit_scales_with_precision() -> None:
    wide = [torch.randn(1, 1, 3, 8, dtype=torch.float64) for _ in range(4)]
    mask = attention_mask(1, 2)
    fine, coarse = (rounding_units(*wide, mask, None, 0.0, 0.3, eps) for eps in (1e-12, 1e-9))
    for a, b in zip(fine, coarse, strict=True):
        assert b / a == pytest.approx(1000, rel=1e-6)


@given(case=cases("grid") | cases("packed"))
def test_cases_build_what_they_say(case: Case) -> None:
    tensors = case.tensors()
    assert all(x.shape == (case.batch, case.heads, case.tokens, case.dim) for x in tensors)
    assert all(x.dtype == case.dtype for x in tensors)
    assert all(torch.equal(a, b) for a, b in zip(case.tensors(), tensors, strict=True))
    options = case.options()
    for name in {"visible", "valid", "lead"} & options.keys():
        kind = getattr(case, name)
        if kind is not True:
            batched = options[name].dim() == (3 if case.form == "grid" else 2)
            assert batched == (kind == "batch")


def test_patterns_of_masks() -> None:
    case = Case("grid", 3, 5, valid="batch", batch=2)
    valid = {pattern: replace(case, pattern=pattern).options()["valid"] for pattern in ("none", "all", "one_beat")}
    assert [int(mask.sum()) for mask in valid.values()] == [0, 30, 1]
    assert not replace(case, pattern="empty_lead").options()["valid"][:, 0].any()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts_keep_the_numbers(layout: str, dtype: torch.dtype) -> None:
    x = torch.randn(3, 2, 5, 8).to(dtype)
    laid = lay_out(x, layout)
    assert torch.equal(laid, x[:1].expand_as(x) if layout == "expanded" else x)
    assert (laid.stride(-1) == 1) == (layout != "strided_last")
    if layout == "offset":
        assert laid.storage_offset() == 1
        assert laid.stride(-2) % 8 != 0


def test_every_backend_has_a_variant() -> None:
    names = {v.backend if isinstance(v, Variant) else v.values[0].backend for v in all_variants()}
    assert {"reference", "gather", "cpu"} <= names


def test_what_a_gpu_backend_refuses_is_skipped_and_other_failures_are_not() -> None:
    refusal = "backend='triton' cannot run here: q.dtype=torch.float64"
    gpu = Variant("triton", device="cuda")
    with pytest.raises(pytest.skip.Exception, match="float64"), gpu.active():
        raise RuntimeError(refusal)
    with pytest.raises(RuntimeError, match="illegal address"), gpu.active():
        raise RuntimeError("illegal address")
    with pytest.raises(RuntimeError, match="float64"), Variant("triton").active():
        raise RuntimeError(refusal)


@given(taken=st.booleans())
def test_a_refused_random_example_is_rejected(taken: bool) -> None:
    with Variant("triton", device="cuda").active():
        if not taken:
            raise RuntimeError("backend='triton' cannot run here: too few registers")
    assert taken


def test_a_variant_holds_the_kernel_to_its_instruction_set() -> None:
    with mock.patch.object(cpu, "forward", lambda *_, isa="": isa), Variant("cpu", "generic").active() as backend:
        assert backend == "cpu"
        assert cpu.forward() == "generic"  # type: ignore[call-arg]
