"""Padding: output and gradients exactly 0, whatever it holds; nothing of it leaks; every element is written."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attention_cases import Case, cases
from helpers import EPS, Variant, each_variant, nan_filled_empty, run
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

POISONS = (torch.nan, torch.inf, -torch.inf)


def run_on_nan(variant: Variant, case: Case, tensors: list[Tensor], options: dict[str, Any]) -> list[Tensor]:
    with nan_filled_empty():
        return run(variant, case.form, tensors, options)


def padding_of(case: Case, options: dict[str, Any]) -> Tensor:
    """Which rows are padding: bool [B, 1, N, 1]."""
    valid = options["valid"].flatten(-2) if case.form == "grid" else options["valid"]
    classes = torch.ones(*valid.shape[:-1], case.leads, dtype=torch.bool, device=valid.device)
    return ~torch.cat([classes, valid], -1).expand(case.batch, -1)[:, None, :, None]


def any_case(**fixed: Any) -> st.SearchStrategy[Case]:
    masked = st.sampled_from(("shared", "batch"))
    return masked.flatmap(lambda valid: cases("grid", valid=valid, **fixed) | cases("packed", valid=valid, **fixed))


@each_variant
@given(case=any_case(), poison=st.sampled_from(POISONS))
def test_poison_in_padding_changes_nothing_bitwise(variant: Variant, case: Case, poison: float) -> None:
    options = case.options(variant.device)
    clean = [x.clone() for x in case.tensors(variant.device)]  # dense, so that the poisoned copies have its strides
    padding = padding_of(case, options)
    poisoned = [x.clone().masked_fill_(padding, poison) for x in clean]
    expected = run_on_nan(variant, case, clean, options)
    for ours, theirs in zip(run_on_nan(variant, case, poisoned, options), expected, strict=True):
        assert torch.equal(ours, theirs)
        assert not ours.masked_select(padding).any()


@each_variant
@given(case=any_case(pattern="none"))
def test_all_padding(variant: Variant, case: Case) -> None:
    # Nothing is left to a class token but itself.
    tensors = list(case.tensors(variant.device))
    options = case.options(variant.device) | {"dropout_p": 0.0}
    out, dq, dk, dv = run_on_nan(variant, case, tensors, options)
    # Its weight is 1, or what the fused product and difference of a GPU's exponent makes of it, over itself.
    last_bits = 0.0 if variant.device == "cpu" else 4 * EPS[case.dtype]
    torch.testing.assert_close(out[:, :, : case.leads], tensors[2][:, :, : case.leads], rtol=last_bits, atol=0)
    torch.testing.assert_close(dv[:, :, : case.leads], tensors[3][:, :, : case.leads])
    for beats in (x[:, :, case.leads :] for x in (out, dq, dk, dv)):
        assert not beats.any()


@each_variant
@pytest.mark.parametrize("visible", [None, True, "shared", "batch"])
@pytest.mark.parametrize("pattern", ["empty_lead", "one_beat"])
def test_a_lead_without_beats_keeps_its_class_token(variant: Variant, visible: str | bool | None, pattern: str) -> None:
    case = Case("grid", 4, 5, batch=1, visible=visible, valid="shared", pattern=pattern)
    tensors, options = list(case.tensors(variant.device)), case.options(variant.device)
    out = run_on_nan(variant, case, tensors, options)[0]
    for lead in range(4):
        if not options["valid"][lead].any():
            torch.testing.assert_close(out[:, :, lead], tensors[2][:, :, lead])


@each_variant
@given(case=any_case(dtype=torch.float32))
def test_the_backends_write_all_they_allocate(variant: Variant, case: Case) -> None:
    for made in run_on_nan(variant, case, list(case.tensors(variant.device)), case.options(variant.device)):
        assert made.isfinite().all()


def test_nan_empty_fills_what_it_should(nan_empty: None) -> None:
    assert torch.empty(2, 3).isnan().all()
    assert torch.empty((4,), dtype=torch.bfloat16).isnan().all()
    assert torch.empty_like(torch.ones(2)).isnan().all()
    assert torch.ones(2).new_empty(3).isnan().all()
    assert torch.empty(3, dtype=torch.int64).shape == (3,)
    assert torch.zeros(3).isfinite().all()


def test_nan_filled_empty_ends_with_its_context() -> None:
    before = torch.empty
    with nan_filled_empty():
        assert torch.empty is not before
    assert torch.empty is before
