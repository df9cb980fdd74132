"""Every backend against dense masked attention in float64: the output and all gradients, on NaN-filled memory."""

from __future__ import annotations

import pytest
import torch
from attention_cases import Case, cases
from helpers import (
    EPS,
    Variant,
    assert_accurate,
    call_units,
    dense_call,
    each_variant,
    nan_filled_empty,
    run,
    with_gradients,
)
from hypothesis import given


def check(case: Case, variant: Variant) -> None:
    options = case.options(variant.device)
    q, k, v, dout = case.tensors(variant.device)
    plain = with_gradients(lambda *x: dense_call(case.form)(*x, **options), q, k, v, dout)
    wide = [x.double() for x in (q, k, v, dout)]
    exact = with_gradients(lambda *x: dense_call(case.form)(*x, **options), *wide)
    with nan_filled_empty():
        actual = run(variant, case.form, (q, k, v, dout), options)
    units = call_units(case.form, *wide, options, EPS[case.dtype])
    factors = {"out": 2, "dq": 3, "dk": 3, "dv": 3}
    for (name, factor), *rest, unit in zip(factors.items(), actual, exact, plain, units, strict=True):
        assert_accurate(name, *rest, factor=factor, unit=unit)


@each_variant
@given(case=cases("grid"))
def test_grid_outputs_and_gradients(variant: Variant, case: Case) -> None:
    check(case, variant)


@each_variant
@given(case=cases("packed"))
def test_packed_outputs_and_gradients(variant: Variant, case: Case) -> None:
    check(case, variant)


@each_variant
@pytest.mark.parametrize("dim", [8, 32, 64, 96, 256])
@pytest.mark.parametrize("visible", [None, True, "batch"])
def test_shapes_of_the_paper(variant: Variant, dim: int, visible: str | bool | None) -> None:
    check(Case("grid", 12, 15, batch=2, heads=2, dim=dim, visible=visible, valid="batch"), variant)


@each_variant
@pytest.mark.parametrize("beats", [0, 1, 2, 7, 8, 9, 35, 36])
def test_packed_sizes_around_vector_widths(variant: Variant, beats: int) -> None:
    check(Case("packed", 12, beats, dim=24), variant)


@each_variant
@pytest.mark.parametrize(("leads", "beats"), [(1, 1), (1, 5), (2, 1), (63, 1), (64, 3), (12, 40)])
def test_extreme_grids(variant: Variant, leads: int, beats: int) -> None:
    check(Case("grid", leads, beats, batch=1, heads=1, dim=16, valid="shared"), variant)


@each_variant
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("visible", [None, True, "batch"])
def test_logits_that_overflow_an_exponential(variant: Variant, visible: str | bool | None, dtype: torch.dtype) -> None:
    check(Case("grid", 12, 3, batch=1, dim=64, dtype=dtype, visible=visible, peak=120.0), variant)


@each_variant
def test_an_empty_batch_gives_an_empty_result(variant: Variant) -> None:
    check(Case("grid", 3, 2, batch=0, visible="batch"), variant)
    check(Case("packed", 3, 2, batch=0), variant)
