"""Two runs agree bit for bit, whatever the thread count and the memory layout; memory is linear in T."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from attention_cases import LAYOUTS, Case, cases
from helpers import Variant, each_native_variant, each_variant, run
from hypothesis import given
from torch import Tensor

from clear_kernels import beat_sparse_attention


def run_case(variant: Variant, case: Case) -> list[Tensor]:
    return run(variant, case.form, case.tensors(variant.device), case.options(variant.device))


def assert_identical(first: list[Tensor], second: list[Tensor]) -> None:
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.fixture
def restored_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@each_variant
@given(case=cases("grid") | cases("packed"))
def test_two_runs_agree(variant: Variant, case: Case) -> None:
    assert_identical(run_case(variant, case), run_case(variant, case))


@each_native_variant
@pytest.mark.usefixtures("restored_threads")
@pytest.mark.parametrize("visible", [None, True, "batch"])
@pytest.mark.parametrize("beats", [3, 90])
def test_thread_counts_agree(variant: Variant, visible: str | bool | None, beats: int) -> None:
    case = Case("grid", 12, beats, batch=1, heads=1, visible=visible, valid="batch", dropout_p=0.1)
    torch.set_num_threads(1)
    single = run_case(variant, case)
    for threads in (2, 3, 7):
        torch.set_num_threads(threads)
        assert_identical(run_case(variant, case), single)


@each_native_variant
@pytest.mark.parametrize("form", ["grid", "packed"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_layouts_agree(variant: Variant, form: str, dtype: torch.dtype) -> None:
    case = Case(form, 5, 6, dim=24, dtype=dtype, visible="shared" if form == "grid" else None, valid="batch")
    expected = run_case(variant, case)
    for layout in LAYOUTS:
        if layout != "expanded":  # which holds other numbers
            assert_identical(run_case(variant, replace(case, layout=layout)), expected)


@each_native_variant
def test_samples_and_heads_do_not_mix(variant: Variant) -> None:
    case = Case("grid", 12, 15, batch=3, heads=2, visible="batch", valid="batch")
    q, k, v, _ = case.tensors(variant.device)
    options = case.options(variant.device)
    with variant.active() as backend:
        together = beat_sparse_attention(q, k, v, **options, backend=backend)
        for b in range(3):
            alone = options | {name: options[name][b] for name in ("visible", "valid")}
            one = beat_sparse_attention(*(x[b : b + 1, 1:] for x in (q, k, v)), **alone, backend=backend)
            assert torch.equal(one, together[b : b + 1, 1:])


@each_variant
def test_output_memory_is_token_major(variant: Variant) -> None:
    for form in ("grid", "packed"):
        out, *gradients = run_case(variant, Case(form, 3, 4, valid="shared"))
        assert out.transpose(1, 2).is_contiguous()
        if variant.backend not in ("gather", "reference"):
            assert all(x.transpose(1, 2).is_contiguous() for x in gradients)


@each_variant
def test_an_hour_of_beats_fits(variant: Variant) -> None:
    if variant.backend == "reference":
        pytest.skip("the dense scores of these 48 012 tokens take 9 GB")
    beats, few = 4000, 3
    q = torch.randn(1, 1, 12 * (beats + 1), 8, device=variant.device, requires_grad=True)
    with variant.active() as backend:
        out = beat_sparse_attention(q, q, q, leads=12, beats=beats, backend=backend)
        out.sum().backward()
    # Local beats do not notice how many others there are.
    first = (12 + torch.arange(12)[:, None] * beats + torch.arange(few)).flatten()
    x = q.detach()[:, :, torch.cat([torch.arange(12), first])]
    expected = beat_sparse_attention(x, x, x, leads=12, beats=few, backend="reference")
    torch.testing.assert_close(out.detach()[:, :, first], expected[:, :, 12:])
    assert q.grad is not None
    assert q.grad.isfinite().all()


@each_native_variant
def test_a_sample_does_not_depend_on_its_batch(variant: Variant) -> None:
    """A batch whose results are too large for the caches is written in another way, to the same values."""
    many = Case("grid", 12, 40, batch=24, heads=2, dim=96, valid="batch")
    tensors, options = many.tensors(variant.device), many.options(variant.device)
    whole = run(variant, "grid", tensors, options)
    for sample in (0, 23):
        alone = run(
            variant,
            "grid",
            [x[sample : sample + 1] for x in tensors],
            {**options, "valid": options["valid"][sample : sample + 1]},
        )
        assert_identical(alone, [x[sample : sample + 1] for x in whole])
