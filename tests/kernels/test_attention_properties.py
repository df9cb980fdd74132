"""What must hold whatever the numbers are: symmetries of the definition, on every backend."""

from __future__ import annotations

import torch
from attention_cases import Case, cases
from helpers import EPS, PUBLIC, Variant, dense_call, each_variant, mask_of, run, with_gradients
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from clear_kernels import attention_mask

WIDE = {"dtype": torch.float64, "dropout_p": 0.0}


def assert_same(actual: list[Tensor], expected: list[Tensor]) -> None:
    for ours, theirs in zip(actual, expected, strict=True):
        if theirs.dtype == torch.float64:
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)
        else:  # a backend that knows nothing wider than float32; logits may be hundreds
            largest = max(1.0, float(theirs.abs().max())) if theirs.numel() else 1.0
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3 * largest)


def grid_order(leads: int, lead_order: Tensor, beat_order: Tensor) -> Tensor:
    """Sequence positions after reordering leads and beats."""
    beats = beat_order.numel()
    return torch.cat([lead_order, (leads + lead_order[:, None] * beats + beat_order).flatten()])


@each_variant
@given(case=cases("grid", **WIDE), shuffle=st.integers(0, 99))
def test_permuting_leads_and_beats_commutes(variant: Variant, case: Case, shuffle: int) -> None:
    case = variant.widened(case)
    tensors, options = case.tensors(variant.device), case.options(variant.device)
    generator = torch.Generator().manual_seed(shuffle)
    lead_order = torch.randperm(case.leads, generator=generator)
    beat_order = torch.randperm(case.beats, generator=generator)
    order = grid_order(case.leads, lead_order, beat_order).to(variant.device)
    moved = dict(options)
    for name in ("visible", "valid"):
        if isinstance(options.get(name), Tensor):
            moved[name] = options[name][..., lead_order, :][..., beat_order]
    expected = [x[:, :, order] for x in run(variant, case.form, tensors, options)]
    assert_same(run(variant, case.form, (x[:, :, order] for x in tensors), moved), expected)


@each_variant
@given(case=cases("packed", **WIDE), shuffle=st.integers(0, 99))
def test_permuting_packed_beats_commutes(variant: Variant, case: Case, shuffle: int) -> None:
    case = variant.widened(case)
    tensors, options = case.tensors(variant.device), case.options(variant.device)
    beats = torch.randperm(case.beats, generator=torch.Generator().manual_seed(shuffle)).to(variant.device)
    order = torch.cat([torch.arange(case.leads, device=variant.device), case.leads + beats])
    moved = {name: x[..., beats] if isinstance(x, Tensor) else x for name, x in options.items()}
    expected = [x[:, :, order] for x in run(variant, case.form, tensors, options)]
    assert_same(run(variant, case.form, (x[:, :, order] for x in tensors), moved), expected)


@each_variant
@given(case=cases("grid", dropout_p=0.0) | cases("packed", dropout_p=0.0))
def test_values_of_one_give_one(variant: Variant, case: Case) -> None:
    q, k, v, _ = case.tensors(variant.device)
    options = case.options(variant.device)
    with variant.active() as backend:
        out = PUBLIC[case.form](q, k, torch.ones_like(v), **options, backend=backend)
    valid = options.get("valid")
    real = torch.ones(case.batch, case.tokens - case.leads, dtype=torch.bool, device=variant.device)
    if valid is not None:
        real = valid.flatten(-2 if case.form == "grid" else -1).expand_as(real)
    expected = F.pad(real.to(out.dtype), (case.leads, 0), value=1.0)[:, None, :, None].expand_as(out)
    # The same weights are summed twice, perhaps in another order.
    rounding = max(4.0, case.tokens**0.5) * EPS[case.dtype]
    torch.testing.assert_close(out, expected, rtol=0, atol=rounding)
    assert torch.equal(out == 0, expected == 0)


@each_variant
@given(case=cases("grid", visible=True, valid=None, **WIDE))
def test_all_visible_is_dense_attention_with_own_class_tokens(variant: Variant, case: Case) -> None:
    case = variant.widened(case)
    tensors, options = case.tensors(variant.device), case.options(variant.device)
    q, k, v, _ = tensors
    mask = attention_mask(case.leads, case.beats, True).to(variant.device)
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    assert_same([run(variant, case.form, tensors, options)[0]], [expected])


@each_variant
@given(case=cases("grid", visible=True, **WIDE))
def test_packed_with_every_beat_is_the_visible_grid(variant: Variant, case: Case) -> None:
    case = variant.widened(case)
    tensors, options = case.tensors(variant.device), case.options(variant.device)
    lead = torch.arange(case.leads, device=variant.device).repeat_interleave(case.beats)
    valid = options.get("valid")
    packed = {"leads": case.leads, "lead": lead, "valid": None if valid is None else valid.flatten(-2)}
    expected = run(variant, case.form, tensors, options)
    assert_same(run(variant, "packed", tensors, packed), expected)


@each_variant
@given(case=cases("grid", visible=True, valid="shared", **WIDE))
def test_packed_with_the_valid_beats_is_the_visible_grid_compacted(variant: Variant, case: Case) -> None:
    case = variant.widened(case)
    tensors, options = case.tensors(variant.device), case.options(variant.device)
    kept = options["valid"].flatten().nonzero().squeeze(1)
    order = torch.cat([torch.arange(case.leads, device=variant.device), case.leads + kept])
    packed = {"leads": case.leads, "lead": kept // case.beats}
    expected = [x[:, :, order] for x in run(variant, case.form, tensors, options)]
    assert_same(run(variant, "packed", (x[:, :, order] for x in tensors), packed), expected)


@each_variant
@given(case=cases("grid", **WIDE) | cases("packed", **WIDE), scale=st.sampled_from((0.01, 0.3, 1.0, 3.0)))
def test_scale_multiplies_the_logits(variant: Variant, case: Case, scale: float) -> None:
    case = variant.widened(case)
    q, k, v, dout = case.tensors(variant.device)
    options = case.options(variant.device) | {"scale": scale}
    expected = with_gradients(lambda *x: dense_call(case.form)(*x, **options), q, k, v, dout)
    assert_same(run(variant, case.form, (q, k, v, dout), options), expected)


@each_variant
@given(case=cases("grid", **WIDE) | cases("packed", **WIDE), token=st.integers(0, 10**6))
def test_a_value_reaches_exactly_the_rows_that_may_attend_it(variant: Variant, case: Case, token: int) -> None:
    case = variant.widened(case)
    q, k, v, _ = case.tensors(variant.device)
    options = case.options(variant.device)
    token %= case.tokens
    alone = torch.zeros_like(v)
    alone[:, :, token] = 1.0
    with variant.active() as backend:
        out = PUBLIC[case.form](q * 1e-2, k, alone, **options, backend=backend)
    may_attend = mask_of(q, case.form, options)[..., token]  # [(B), N]
    expected = may_attend if may_attend.dim() == 1 else may_attend[:, None]
    assert torch.equal(out[..., 0] != 0, expected.expand_as(out[..., 0]))


@each_variant
@given(case=cases("grid") | cases("packed"), token=st.integers(0, 10**6))
def test_gradients_of_keys_nobody_reads_are_exactly_zero(variant: Variant, case: Case, token: int) -> None:
    # Only one row of the output has a gradient, so only the keys that this row may attend get one.
    q, k, v, dout = case.tensors(variant.device)
    options = case.options(variant.device)
    token %= case.tokens
    single = torch.zeros_like(dout)
    single[:, :, token] = dout[:, :, token]
    _, dq, dk, dv = run(variant, case.form, (q, k, v, single), options)
    unread = ~mask_of(q, case.form, options)[..., token, :]  # [(B), N]
    unread = (unread if unread.dim() == 1 else unread[:, None]).expand(dk.shape[:3])
    assert not dk[unread].any()
    assert not dv[unread].any()
    assert not dq[:, :, torch.arange(case.tokens, device=dq.device) != token].any()
