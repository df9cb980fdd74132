"""CLEAR as a whole: shapes, determinism, gradients, precision, and a plain dense re-implementation."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from models_common import LEADS, Batch, random_batch, small_clear, small_config
from torch import Tensor
from torch.nn import functional as F

from clear_hug.models import CLEAR, clear_tiny, token_zscore, untrained


def allowed(leads: int, places: list[tuple[int, int]], visible: set[tuple[int, int]]) -> Tensor:
    """The attention table of the paper over class tokens and the beats at `places`, entry by entry."""
    size = leads + len(places)
    mask = torch.zeros(size, size, dtype=torch.bool)
    for lead in range(leads):
        mask[lead, lead] = True
    for query, (lead, beat) in enumerate(places, leads):
        mask[lead, query] = mask[query, lead] = True
        for key, place in enumerate(places, leads):
            both_global = (lead, beat) in visible and place in visible
            column = (lead, beat) not in visible and place[1] == beat
            mask[query, key] = both_global or column
    return mask


def dense_layer(x: Tensor, mask: Tensor, state: dict[str, Tensor], prefix: str, heads: int) -> Tensor:
    weights = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    width = x.shape[-1]
    projected = F.linear(x, weights["attention.in_proj_weight"], weights["attention.in_proj_bias"])
    q, k, v = (part.unflatten(-1, (heads, -1)).transpose(0, 1) for part in projected.split(width, dim=-1))  # [H, N, D]
    scores = (q @ k.mT / (width // heads) ** 0.5).masked_fill(~mask, float("-inf"))
    out = (scores.softmax(-1) @ v).transpose(0, 1).flatten(1)
    out = F.linear(out, weights["attention.out_proj.weight"], weights["attention.out_proj.bias"])
    x = F.layer_norm(x + out, (width,), weights["attention_norm.weight"], weights["attention_norm.bias"])
    out = F.linear(F.linear(x, weights["mlp.0.weight"], weights["mlp.0.bias"]).relu(), weights["mlp.3.weight"])
    return F.layer_norm(x + out + weights["mlp.3.bias"], (width,), weights["mlp_norm.weight"], weights["mlp_norm.bias"])


def dense_record(model: CLEAR, tokens: Tensor, valid: Tensor, seconds: Tensor, visible: Tensor) -> dict[Any, Tensor]:
    """Predictions of one record, with loops, lists and dense masks; no padding and no packing anywhere."""
    config, state = model.config, dict(model.state_dict())
    leads, beats = config.lead_count, config.beats
    real = [(i, j) for i in range(leads) for j in range(beats) if valid[i, j]]
    kept = [place for place in real if visible[place]]
    e = "encoder.embedding."
    rows = list(state[e + "class_tokens"] + state[e + "class_position"])
    for i, j in kept:
        row = F.linear(tokens[i, j], state[e + "projection.weight"], state[e + "projection.bias"])
        row = row + state[e + "lead.weight"][i] + state[e + "time.weight"][seconds[j]]
        rows.append(row + state[e + "beat_position"][i * beats + j])
    x = torch.stack(rows)
    for depth in range(config.depth):
        x = dense_layer(x, allowed(leads, kept, set(kept)), state, f"encoder.layers.{depth}.", config.heads)
    x = F.layer_norm(x, (config.embed_dim,), state["encoder.norm.weight"], state["encoder.norm.bias"])
    x = F.linear(x, state["decoder.embed.weight"], state["decoder.embed.bias"])
    known = dict(zip(kept, x[leads:], strict=True))
    rows = [x[i] + state["decoder.position"][i] for i in range(leads)]
    for i, j in real:
        position = state["decoder.position"][leads + i * beats + j]
        rows.append(known.get((i, j), state["decoder.mask_token"]) + position)
    x = torch.stack(rows)
    for depth in range(config.decoder_depth):
        x = dense_layer(x, allowed(leads, real, set(kept)), state, f"decoder.layers.{depth}.", config.decoder_heads)
    x = F.layer_norm(x, (config.decoder_dim,), state["decoder.norm.weight"], state["decoder.norm.bias"])
    x = F.linear(x, state["decoder.predict.weight"], state["decoder.predict.bias"])
    return dict(zip(real, x[leads:], strict=True))


@pytest.mark.parametrize("backend", ["reference", "gather", None])
def test_equals_a_plain_dense_implementation(backend: str | None) -> None:
    model = small_clear(backend=backend).double()
    tokens, valid, seconds = random_batch(model.config)
    tokens = tokens.double()
    out = model(tokens, valid, seconds, generator=torch.Generator().manual_seed(2))
    visible = valid & ~out.masked
    errors = []
    for sample in range(len(tokens)):
        wanted = dense_record(model, tokens[sample], valid[sample], seconds[sample], visible[sample])
        for place, prediction in wanted.items():
            torch.testing.assert_close(out.prediction[sample][place], prediction)
            if out.masked[sample][place]:
                beat = tokens[sample][place]
                target = (beat - beat.mean()) / (beat.var() + 1e-6).sqrt()
                errors.append((prediction - target).square().mean())
    assert len(errors) == int(out.masked.sum())
    torch.testing.assert_close(out.loss, torch.stack(errors).mean())


def test_shapes_and_masked_share() -> None:
    model = small_clear()
    batch = random_batch(model.config)
    out = model(*batch)
    assert out.loss.shape == ()
    assert out.prediction.shape == batch.tokens.shape
    assert not (out.masked & ~batch.valid).any()
    assert not out.prediction[~batch.valid].any()
    kept = (batch.valid & ~out.masked).flatten(1).sum(1)
    assert kept.tolist() == [round(0.4 * count) for count in batch.valid.flatten(1).sum(1).tolist()]
    lead_tokens, beat_tokens = model.encoder.encode_all(*batch)
    assert lead_tokens.shape == (3, 3, 16)
    assert beat_tokens.shape == (3, 3, 4, 16)
    assert not beat_tokens[~batch.valid].any()
    assert torch.equal(lead_tokens, model.encode(*batch))


def test_evaluation_is_deterministic_and_training_is_not() -> None:
    model = small_clear()
    batch = random_batch(model.config)
    assert torch.equal(model.encode(*batch), model.encode(*batch))
    first = model(*batch, generator=torch.Generator().manual_seed(7))
    again = model(*batch, generator=torch.Generator().manual_seed(7))
    assert torch.equal(first.loss, again.loss)
    model.train()
    assert not torch.equal(model.encode(*batch), model.encode(*batch))
    torch.manual_seed(8)
    first = model(*batch)
    torch.manual_seed(8)
    assert torch.equal(first.loss, model(*batch).loss)


def test_given_masks_are_used_per_sample_and_shared() -> None:
    model = small_clear()
    batch = random_batch(model.config)
    visible = torch.rand(4, 3, 4, generator=torch.Generator().manual_seed(1))[0] < 0.5
    shared = model(*batch, visible=visible)
    each = model(*batch, visible=visible.expand(3, -1, -1).clone())
    assert torch.equal(shared.masked, batch.valid & ~visible)
    assert torch.equal(shared.loss, each.loss)
    everything = model(*batch, visible=torch.ones_like(visible))
    assert everything.loss == 0
    assert not everything.masked.any()
    assert model(*batch, visible=torch.zeros_like(visible)).loss.isfinite()


def test_every_parameter_learns() -> None:
    model = small_clear().train()
    batch = random_batch(model.config, 6, padding=False)
    model(*batch).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_a_few_steps_lower_the_loss() -> None:
    model = clear_tiny(leads=LEADS, beats=6, beat_samples=20).train()
    batch = random_batch(model.config, 8)
    wave = torch.linspace(0, 6.0, 20).sin()
    batch = Batch(wave * torch.ones_like(batch.tokens), batch.valid, batch.seconds)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(15):
        loss = model(*batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("leads", [("II",), ("V6", "I"), ("aVR", "aVL", "aVF", "V2", "I")])
def test_any_subset_of_leads(leads: tuple[str, ...]) -> None:
    model = small_clear(leads=leads)
    batch = random_batch(model.config)
    assert model(*batch).loss.isfinite()
    assert model.encode(*batch).shape == (3, len(leads), 16)


def test_records_without_beats_add_nothing() -> None:
    model = small_clear()
    batch = random_batch(model.config, 3, padding=False)
    visible = batch.tokens[..., 0] > 0
    empty = torch.ones(1, dtype=torch.bool)
    extended = Batch(
        torch.cat([batch.tokens, torch.zeros_like(batch.tokens[:1])]),
        torch.cat([batch.valid, ~empty.expand(1, 3, 4)]),
        torch.cat([batch.seconds, torch.zeros_like(batch.seconds[:1])]),
    )
    alone = model(*batch, visible=visible).loss
    beside = model(*extended, visible=torch.cat([visible, visible[:1]])).loss
    torch.testing.assert_close(alone, beside)
    only_empty = Batch(*(part[3:] for part in extended))
    out = model.train()(*only_empty)
    assert out.loss == 0
    out.loss.backward()
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())
    assert model.encode(*only_empty).isfinite().all()


def test_bfloat16_autocast_on_the_cpu() -> None:
    model = small_clear()
    batch = random_batch(model.config)
    plain = model(*batch, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = model(*batch, generator=torch.Generator().manual_seed(0))
        mixed.loss.backward()
    assert mixed.loss.dtype == torch.float32
    torch.testing.assert_close(mixed.loss, plain.loss, rtol=2e-2, atol=2e-2)


def test_state_dict_round_trip() -> None:
    model = small_clear()
    other = CLEAR(model.config).eval()
    batch = random_batch(model.config)
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    assert torch.equal(model.encode(*batch), other.encode(*batch))
    assert "kept_table" not in model.state_dict()


def test_the_untrained_baseline_depends_on_its_seed_only() -> None:
    before = torch.get_rng_state()
    first, again, other = (untrained(small_config(), seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["encoder.embedding.projection.weight"], other["encoder.embedding.projection.weight"])


def test_voltage_reaches_the_encoder_unless_asked_otherwise() -> None:
    for norm, kept in (("none", True), ("token", False)):
        model = small_clear(input_norm=norm)
        tokens, valid, seconds = random_batch(model.config)
        scaled = model.encode(7 * tokens + 3, valid, seconds)
        assert torch.allclose(scaled, model.encode(tokens, valid, seconds), atol=1e-4) is not kept


def test_target_is_standardised_per_beat() -> None:
    beats = torch.randn(5, 3, 40) * 4 + 2
    target = token_zscore(beats)
    torch.testing.assert_close(target.mean(-1), torch.zeros(5, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(target.std(-1), torch.ones(5, 3), atol=1e-4, rtol=0)
    assert token_zscore(torch.full((1, 8), 0.3)).abs().max() < 1e-3  # a flat beat does not blow up
