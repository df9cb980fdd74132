"""Dropout: the same entries on every backend, forward and backward, and a generator that follows torch.manual_seed."""

from __future__ import annotations

import torch
from attention_cases import Case, cases
from helpers import PUBLIC, Variant, dropout_keep, each_variant, mask_of
from hypothesis import given
from hypothesis import strategies as st

from clear_kernels import beat_sparse_attention, packed_view_attention

SINGLE = {"dtype": torch.float32}


@each_variant
@given(case=cases("grid", **SINGLE) | cases("packed", **SINGLE), p=st.sampled_from((0.1, 0.5, 0.9)))
def test_drops_exactly_the_entries_of_the_specification(variant: Variant, case: Case, p: float) -> None:
    # With one-hot values the output is the attention matrix itself, a slab of keys at a time.
    q, k, _, _ = case.tensors(variant.device)
    options = case.options(variant.device) | {"dropout_p": p, "seed": case.seed}
    expected = (dropout_keep(q, options) & _over_heads(mask_of(q, case.form, options))).cpu()
    for start in range(0, case.tokens, case.dim):
        v = torch.zeros_like(q)
        slab = v[:, :, start : start + case.dim]
        slab.copy_(torch.eye(slab.shape[2], case.dim, device=q.device).expand_as(slab))
        with variant.active() as backend:
            out = PUBLIC[case.form](q * 1e-3, k, v, **options, backend=backend)
        wanted = expected[..., start : start + case.dim]
        assert torch.equal(out[..., : wanted.shape[-1]].cpu() > 0, wanted)


@each_variant
def test_no_seed_follows_the_generator(variant: Variant) -> None:
    case = Case("grid", 3, 5, dim=16)
    q, k, v, _ = case.tensors(variant.device)

    def run() -> torch.Tensor:
        with variant.active() as backend:
            return beat_sparse_attention(q, k, v, leads=3, beats=5, dropout_p=0.5, backend=backend)

    torch.manual_seed(3)
    first, second = run(), run()
    torch.manual_seed(3)
    assert torch.equal(run(), first)
    assert not torch.equal(first, second)


@each_variant
def test_seeds_of_every_kind_agree_and_matter(variant: Variant) -> None:
    case = Case("grid", 3, 5, dim=16)
    q, k, v, _ = case.tensors(variant.device)

    def run(seed: object) -> torch.Tensor:
        with variant.active() as backend:
            return beat_sparse_attention(q, k, v, leads=3, beats=5, dropout_p=0.5, seed=seed, backend=backend)  # type: ignore[arg-type]

    seeds = [0, 1, 2**31, 2**32, 2**32 + 1, 2**63 - 1]
    results = [run(seed) for seed in seeds]
    for seed, result in zip(seeds, results, strict=True):
        assert torch.equal(run(torch.tensor([seed])), result)
        assert torch.equal(run(torch.tensor(seed)), result)
    assert sum(torch.equal(a, b) for a in results for b in results) == len(seeds)


@each_variant
def test_probability_zero_ignores_the_seed(variant: Variant) -> None:
    case = Case("packed", 3, 7, dim=16)
    q, k, v, _ = case.tensors(variant.device)
    options = case.options(variant.device)
    with variant.active() as backend:
        plain = packed_view_attention(q, k, v, **options, backend=backend)
        state = torch.get_rng_state()
        assert torch.equal(packed_view_attention(q, k, v, **options, dropout_p=0.0, seed=9, backend=backend), plain)
        assert torch.equal(torch.get_rng_state(), state)


@each_variant
def test_mean_over_seeds_is_the_attention_without_dropout(variant: Variant) -> None:
    case = Case("grid", 2, 3, batch=1, heads=1, dim=8)
    q, k, v, _ = case.tensors(variant.device)
    with variant.active() as backend:
        exact = beat_sparse_attention(q, k, v, leads=2, beats=3, backend=backend)
        draws = [
            beat_sparse_attention(q, k, v, leads=2, beats=3, dropout_p=0.3, seed=seed, backend=backend)
            for seed in range(200)
        ]
    stack = torch.stack(draws)
    assert bool(((stack.mean(0) - exact).abs() < 5 * stack.std(0) / 200**0.5 + 1e-6).all())


def _over_heads(mask: torch.Tensor) -> torch.Tensor:
    return mask if mask.dim() == 2 else mask[:, None]
