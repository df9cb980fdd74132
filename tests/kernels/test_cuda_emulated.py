"""The CUDA kernels' own source, run on the host, against dense masked attention in float64.

The same property tests as for the other backends, on four imaginary GPUs: one with much shared memory, one with little,
one with so many multiprocessors that class rows are cut into chunks, and one on which every kernel goes row by row.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import pytest
import test_attention_dropout as dropout
import test_attention_padding as padding
import test_attention_properties as properties
import torch
from attention_cases import LAYOUTS, Case, cases
from cuda_emulation import HOPPER, MANY_CORES, NO_SHARED, TURING, Device, EmulatedVariant
from helpers import run
from hypothesis import given, settings
from hypothesis import strategies as st
from test_attention_accuracy import check
from torch import Tensor

from clear_kernels import beat_sparse_attention

TILED = (torch.float32, torch.bfloat16, torch.float16)
DEVICES = {"hopper": HOPPER, "turing": TURING, "many_cores": MANY_CORES, "no_shared": NO_SHARED}
on_each_device = pytest.mark.parametrize("gpu", [pytest.param(gpu, id=name) for name, gpu in DEVICES.items()])


def small(form: str, **fixed: Any) -> st.SearchStrategy[Case]:
    """Calls with at most four (batch, head) pairs; tiles in three of four."""
    fixed = {"batch": 2, "heads": 1} | fixed
    if "dtype" in fixed:
        return cases(form, **fixed)
    return st.sampled_from((*TILED, torch.float64)).flatmap(lambda dtype: cases(form, dtype=dtype, **fixed))


def either(**fixed: Any) -> st.SearchStrategy[Case]:
    return small("grid", **fixed) | small("packed", **fixed)


def run_case(case: Case, gpu: Device) -> list[Tensor]:
    return run(EmulatedVariant(gpu=gpu), case.form, case.tensors(), case.options())


def assert_identical(first: list[Tensor], second: list[Tensor]) -> None:
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def whole_heads(**more: Any) -> st.SearchStrategy[Case]:
    """Calls that a block per head serves."""
    fixed: dict[str, Any] = {"batch": 2, "heads": 1, "layout": "packed_qkv"} | more
    beats = st.integers(1, 16)

    def grid(beats: int, dim: int, dtype: torch.dtype, visible: str) -> st.SearchStrategy[Case]:
        return cases("grid", leads=12, beats=beats, dim=dim, dtype=dtype, visible=visible, **fixed)

    def packed(leads: int, beats: int, dim: int, dtype: torch.dtype) -> st.SearchStrategy[Case]:
        return cases("packed", leads=leads, beats=3 * beats, dim=dim, dtype=dtype, **fixed)

    dtypes = st.sampled_from((torch.bfloat16, torch.float16))
    some = st.builds(grid, beats, st.sampled_from((32, 64)), dtypes, st.sampled_from(("shared", "batch")))
    few = st.builds(packed, st.integers(1, 15), beats, st.sampled_from((64, 96)), dtypes)
    return (some | few).flatmap(lambda drawn: drawn)


some_gpu = st.sampled_from(tuple(DEVICES.values()))


@given(case=small("grid"), gpu=some_gpu)
@settings(max_examples=60)
def test_grid_outputs_and_gradients(case: Case, gpu: Device) -> None:
    check(case, EmulatedVariant(gpu=gpu))


@given(case=small("packed"), gpu=some_gpu)
@settings(max_examples=40)
def test_packed_outputs_and_gradients(case: Case, gpu: Device) -> None:
    check(case, EmulatedVariant(gpu=gpu))


@pytest.mark.parametrize("dtype", TILED)
@pytest.mark.parametrize("dim", [32, 64, 96, 128])
@pytest.mark.parametrize("visible", [None, True, "batch"])
def test_shapes_of_the_paper(dim: int, visible: str | bool | None, dtype: torch.dtype) -> None:
    check(
        Case("grid", 12, 15, batch=1, heads=2, dim=dim, dtype=dtype, visible=visible, valid="batch"), EmulatedVariant()
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("dim", [32, 64, 96, 128])
@pytest.mark.parametrize(("leads", "beats"), [(12, 1), (12, 15), (7, 6), (16, 5)])
def test_beat_kernels_in_plain_calls(leads: int, beats: int, dim: int, dtype: torch.dtype) -> None:
    # Large logits make the running softmax of the class rows change its reference.
    for amplitude in (1.0, 3.0):
        check(Case("grid", leads, beats, heads=1, dim=dim, dtype=dtype, amplitude=amplitude), EmulatedVariant())


@pytest.mark.parametrize("dim", [32, 64, 96, 128])
@pytest.mark.parametrize(
    "fixed",
    [
        {"dropout_p": 0.2},
        {"valid": "batch", "pattern": "empty_lead"},
        {"valid": "shared", "pattern": "none"},
        {"visible": "batch", "valid": "batch", "dropout_p": 0.2},
        {"visible": "shared", "seen": "all"},
    ],
    ids=str,
)
def test_beat_kernels_with_masks_and_dropout(fixed: dict[str, Any], dim: int) -> None:
    check(Case("grid", 12, 9, dim=dim, dtype=torch.bfloat16, **fixed), EmulatedVariant())


@pytest.mark.parametrize("dim", [32, 64, 96, 128])
@pytest.mark.parametrize("valid", [None, "batch"])
def test_beat_kernels_in_chunks(valid: str | None, dim: int) -> None:
    case = Case("grid", 12, 70, batch=1, heads=1, dim=dim, dtype=torch.bfloat16, valid=valid)
    check(case, EmulatedVariant(gpu=MANY_CORES))


@pytest.mark.parametrize("dim", [32, 64])
@pytest.mark.parametrize("beats", [1, 5, 15])
@pytest.mark.parametrize(
    "fixed",
    [
        {"visible": "batch"},
        {"visible": "shared", "valid": "batch", "dropout_p": 0.2},
        {"visible": "batch", "seen": "all", "amplitude": 3.0},
        {"visible": "batch", "seen": "none", "valid": "shared", "pattern": "empty_lead"},
        {"visible": "batch", "valid": "batch", "pattern": "none"},
    ],
    ids=str,
)
def test_whole_heads_with_visible_beats(fixed: dict[str, Any], beats: int, dim: int) -> None:
    check(Case("grid", 12, beats, heads=2, dim=dim, dtype=torch.bfloat16, **fixed), EmulatedVariant())


def test_whole_heads_list_their_beats_32_columns_at_a_time() -> None:
    case = Case("grid", 12, 40, batch=1, heads=1, dim=32, dtype=torch.bfloat16, visible="batch", valid="batch")
    check(case, EmulatedVariant())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("dim", [16, 32, 64])
@pytest.mark.parametrize("visible", [None, True, "batch"])
def test_logits_that_overflow_an_exponential(visible: str | bool | None, dim: int, dtype: torch.dtype) -> None:
    for leads in (5, 12):
        case = Case("grid", leads, 2, batch=1, heads=1, dim=dim, dtype=dtype, visible=visible, peak=120.0)
        check(case, EmulatedVariant())


def test_weights_under_heavy_dropout_stay_within_float16() -> None:
    leads, beats, dim = 12, 30, 64
    q, k = (torch.zeros(1, 1, leads * (beats + 1), dim, dtype=torch.float16) for _ in range(2))
    q[..., :leads, 0] = 4.9 * dim**0.5  # the class tokens' logits: 0 to the first beats, then 4.9
    k[..., leads:, 0] = 1.0
    for column in range(4):
        k[..., leads + column :: beats, 0] = 0.0
    call = functools.partial(beat_sparse_attention, q, k, torch.ones_like(q), leads=leads, beats=beats, dropout_p=0.998)
    for seed in range(4):
        with EmulatedVariant().active() as backend:
            out = call(seed=seed, backend=backend)
        torch.testing.assert_close(out, call(seed=seed, backend="reference"), rtol=2e-3, atol=1e-2)


@pytest.mark.parametrize("dim", [64, 96])
@pytest.mark.parametrize(("leads", "beats"), [(12, 36), (12, 1), (12, 0), (1, 50), (16, 20)])
@pytest.mark.parametrize(
    "fixed",
    [
        {},
        {"valid": "batch", "dropout_p": 0.2},
        {"valid": "shared", "pattern": "none"},
        {"amplitude": 3.0, "dtype": torch.float16},
    ],
    ids=str,
)
def test_whole_heads_of_packed_tokens(fixed: dict[str, Any], leads: int, beats: int, dim: int) -> None:
    check(Case("packed", leads, beats, heads=2, dim=dim, **{"dtype": torch.bfloat16} | fixed), EmulatedVariant())


@given(case=whole_heads())
@settings(max_examples=40)
def test_whole_heads_in_random_calls(case: Case) -> None:
    check(case, EmulatedVariant())


@given(case=whole_heads(), order=st.sampled_from((1, 2)))
def test_the_order_of_threads_does_not_matter_to_whole_heads(case: Case, order: int) -> None:
    assert_identical(run_case(case, HOPPER), run_case(case, replace(HOPPER, order=order)))


@given(case=whole_heads(valid="batch"), poison=st.sampled_from(padding.POISONS))
def test_poison_in_padding_changes_nothing_in_whole_heads(case: Case, poison: float) -> None:
    inner = padding.test_poison_in_padding_changes_nothing_bitwise.hypothesis.inner_test
    inner(EmulatedVariant(), case, poison)


@pytest.mark.parametrize("dtype", TILED)
@pytest.mark.parametrize("dim", [8, 136, 200, 256])
def test_other_head_dimensions(dim: int, dtype: torch.dtype) -> None:
    check(Case("grid", 5, 9, heads=1, dim=dim, dtype=dtype, visible="batch", dropout_p=0.2), EmulatedVariant())
    check(Case("packed", 5, 30, heads=1, dim=dim, dtype=dtype, valid="batch"), EmulatedVariant(gpu=TURING))


@pytest.mark.parametrize(("leads", "beats"), [(1, 1), (1, 5), (16, 3), (17, 3), (33, 2), (63, 1), (64, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_number_of_leads(leads: int, beats: int, dtype: torch.dtype) -> None:
    case = Case("grid", leads, beats, heads=1, dim=24, dtype=dtype, visible="shared", valid="batch", dropout_p=0.1)
    check(case, EmulatedVariant())


@on_each_device
@pytest.mark.parametrize("visible", [None, "batch"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_long_recordings_in_chunks(gpu: Device, visible: str | None, dtype: torch.dtype) -> None:
    case = Case("grid", 2, 150, batch=1, heads=1, dim=16, dtype=dtype, visible=visible, valid="batch", dropout_p=0.1)
    check(replace(case, pattern="sparse"), EmulatedVariant(gpu=gpu))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_of_a_large_batch_go_in_rounds(dtype: torch.dtype) -> None:
    # The emulation is built with a small workspace for the gradients of global keys: three samples, three rounds.
    case = Case("grid", 12, 6, batch=3, heads=2, dim=64, dtype=dtype, visible="batch", valid="batch", dropout_p=0.1)
    check(case, EmulatedVariant())


def test_an_empty_batch_and_no_beats() -> None:
    check(Case("grid", 3, 2, batch=0, visible="batch"), EmulatedVariant())
    check(Case("packed", 3, 0, dtype=torch.bfloat16), EmulatedVariant())


@given(case=either(), order=st.sampled_from((1, 2)), gpu=some_gpu)
def test_the_order_of_threads_does_not_matter(case: Case, order: int, gpu: Device) -> None:
    # A missing barrier lets a result depend on which thread comes first.
    assert_identical(run_case(case, gpu), run_case(case, replace(gpu, order=order)))


@given(case=padding.any_case(batch=2, heads=1), poison=st.sampled_from(padding.POISONS), gpu=some_gpu)
def test_poison_in_padding_changes_nothing(case: Case, poison: float, gpu: Device) -> None:
    inner = padding.test_poison_in_padding_changes_nothing_bitwise.hypothesis.inner_test
    inner(EmulatedVariant(gpu=gpu), case, poison)


@given(case=padding.any_case(pattern="none", batch=2, heads=1), gpu=some_gpu)
@settings(max_examples=15)
def test_all_padding(case: Case, gpu: Device) -> None:
    padding.test_all_padding.hypothesis.inner_test(EmulatedVariant(gpu=gpu), case)


@given(case=either(dropout_p=0.0), gpu=some_gpu)
def test_values_of_one_give_one(case: Case, gpu: Device) -> None:
    properties.test_values_of_one_give_one.hypothesis.inner_test(EmulatedVariant(gpu=gpu), case)


@given(case=either(), token=st.integers(0, 10**6), gpu=some_gpu)
def test_gradients_of_keys_nobody_reads_are_exactly_zero(case: Case, token: int, gpu: Device) -> None:
    inner = properties.test_gradients_of_keys_nobody_reads_are_exactly_zero.hypothesis.inner_test
    inner(EmulatedVariant(gpu=gpu), case, token)


@given(case=small("grid", **properties.WIDE), shuffle=st.integers(0, 99))
@settings(max_examples=10)
def test_permuting_leads_and_beats_commutes(case: Case, shuffle: int) -> None:
    properties.test_permuting_leads_and_beats_commutes.hypothesis.inner_test(EmulatedVariant(), case, shuffle)


@given(case=small("grid", visible=True, valid="shared", **properties.WIDE))
@settings(max_examples=10)
def test_packed_is_the_visible_grid_compacted(case: Case) -> None:
    inner = properties.test_packed_with_the_valid_beats_is_the_visible_grid_compacted.hypothesis.inner_test
    inner(EmulatedVariant(), case)


@given(case=either(dtype=torch.float32, dim=64), p=st.sampled_from((0.1, 0.5, 0.9)), gpu=some_gpu)
@settings(max_examples=15)
def test_drops_exactly_the_entries_of_the_specification(case: Case, p: float, gpu: Device) -> None:
    inner = dropout.test_drops_exactly_the_entries_of_the_specification.hypothesis.inner_test
    inner(EmulatedVariant(gpu=gpu), case, p)


@on_each_device
@pytest.mark.parametrize("form", ["grid", "packed"])
@pytest.mark.parametrize("dtype", TILED)
def test_layouts_agree(gpu: Device, form: str, dtype: torch.dtype) -> None:
    case = Case(form, 5, 6, dim=24, dtype=dtype, visible="shared" if form == "grid" else None, valid="batch")
    expected = run_case(case, gpu)
    for layout in LAYOUTS:
        if layout != "expanded":  # which holds other numbers
            assert_identical(run_case(replace(case, layout=layout), gpu), expected)


@pytest.mark.parametrize("dtype", TILED)
def test_samples_and_heads_do_not_mix(dtype: torch.dtype) -> None:
    case = Case("grid", 12, 4, batch=2, heads=2, dtype=dtype, visible="batch", valid="batch")
    tensors, options = case.tensors(), case.options()
    together = run(EmulatedVariant(), "grid", tensors, options)
    alone = options | {name: options[name][1] for name in ("visible", "valid")}
    assert_identical(run(EmulatedVariant(), "grid", [x[1:, 1:] for x in tensors], alone), [x[1:, 1:] for x in together])


def test_memory_of_the_results_is_token_major() -> None:
    for made in run_case(Case("grid", 3, 4, visible="shared"), HOPPER):
        assert made.transpose(1, 2).is_contiguous()


def test_addresses_beyond_32_bits() -> None:
    # The second sample starts 2^31 elements after the first; only the touched pages of the allocation exist.
    case = Case("grid", 3, 4, batch=2, heads=2, dim=16, dtype=torch.bfloat16, visible="batch")
    far = 2**31 + 64
    options = case.options()
    q, k, v, dout = case.tensors()
    heads, tokens, dim = q.shape[1:]
    size = heads * tokens * dim
    try:
        memory = torch.empty(far + 3 * size, dtype=q.dtype)
    except RuntimeError as error:
        pytest.skip(f"no room for a sparse allocation of 4 GiB: {error}")
    placed = []
    for index, source in enumerate((q, k, v)):
        view = memory.as_strided(q.shape, (far, tokens * dim, dim, 1), index * size)
        view.copy_(source)
        placed.append(view)
    assert_identical(
        run(EmulatedVariant(), "grid", (*placed, dout), options),
        run(EmulatedVariant(), "grid", (q, k, v, dout), options),
    )
