"""Running cases on the interpreted kernels."""

from __future__ import annotations

from typing import Any

import torch
from attention_cases import Case, cases
from helpers import EPS, Variant, assert_accurate, call_units, dense_call, nan_filled_empty, run, with_gradients
from hypothesis import strategies as st
from torch import Tensor

TRITON = Variant("triton")


def small_cases(form: str, **fixed: Any) -> st.SearchStrategy[Case]:
    """Cases the interpreter runs in about a second: it takes some milliseconds per operation of a program."""
    sizes = (
        st.tuples(st.integers(1, 5), st.integers(1, 6))
        if form == "grid"
        else st.tuples(st.integers(1, 5), st.integers(0, 20))
    )
    drawn = {
        "batch": st.integers(1, 2),
        "heads": st.integers(1, 2),
        "dim": st.sampled_from((16, 24, 40)),
        "dtype": st.sampled_from((torch.float32, torch.float16)),
    }
    chosen = st.fixed_dictionaries(
        {name: st.just(fixed.pop(name)) if name in fixed else strategy for name, strategy in drawn.items()}
    )
    return st.tuples(sizes, chosen).flatmap(
        lambda pair: cases(form, leads=pair[0][0], beats=pair[0][1], **pair[1], **fixed)
    )


def results(case: Case, tensors: list[Tensor] | None = None, options: dict[str, Any] | None = None) -> list[Tensor]:
    """[out, dq, dk, dv] on memory filled with NaN."""
    with nan_filled_empty():
        return run(
            TRITON,
            case.form,
            list(case.tensors()) if tensors is None else tensors,
            case.options() if options is None else options,
        )


def check(case: Case, **more: Any) -> None:
    """Compare the output and all gradients with dense masked attention in float64, by the rule of helpers.py."""
    options = case.options() | more
    tensors = list(case.tensors())
    wide = [x.double() for x in tensors]
    plain = with_gradients(lambda *x: dense_call(case.form)(*x, **options), *tensors)
    exact = with_gradients(lambda *x: dense_call(case.form)(*x, **options), *wide)
    actual = results(case, tensors, options)
    units = call_units(case.form, *wide, options, EPS[case.dtype])
    factors = {"out": 2, "dq": 3, "dk": 3, "dv": 3}
    for (name, factor), *rest, unit in zip(factors.items(), actual, exact, plain, units, strict=True):
        assert_accurate(name, *rest, factor=factor, unit=unit)
