"""What must not reach a prediction: hidden samples, padding, other heartbeats, other records."""

from __future__ import annotations

import pytest
import torch
from models_common import Batch, random_batch, small_clear

from clear_hug.models import CLEAR
from clear_hug.models.batch import zero_padding
from clear_hug.models.masking import draw_visible, pack
from clear_hug.models.views import GridView, PackedView


def drawn(model: CLEAR, batch: Batch) -> torch.Tensor:
    return draw_visible(batch.valid, model.kept_table, torch.Generator().manual_seed(9))


def test_hidden_samples_do_not_reach_any_prediction() -> None:
    model = small_clear()
    batch = random_batch(model.config)
    visible = drawn(model, batch)
    out = model(*batch, visible=visible)
    other = torch.where(out.masked[..., None], 100.0 - batch.tokens, batch.tokens)
    changed = model(other, batch.valid, batch.seconds, visible=visible)
    assert torch.equal(out.prediction, changed.prediction)
    assert out.loss != changed.loss


def test_the_authors_token_convolution_leaks_hidden_samples() -> None:
    model = small_clear(compat="official")
    batch = random_batch(model.config)
    visible = drawn(model, batch)
    out = model(*batch, visible=visible)
    other = torch.where(out.masked[..., None], 100.0 - batch.tokens, batch.tokens)
    assert not torch.equal(out.prediction, model(other, batch.valid, batch.seconds, visible=visible).prediction)


@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize("compat", ["paper", "official"])
def test_padding_reaches_neither_outputs_nor_gradients(garbage: float, compat: str) -> None:
    model = small_clear(compat=compat, dropout=0.0)
    batch = random_batch(model.config)
    visible = drawn(model, batch)
    dirty = batch.tokens.masked_fill(~batch.valid[..., None], garbage)
    assert torch.equal(model.encode(*batch), model.encode(dirty, batch.valid, batch.seconds))
    clean_out = model(*batch, visible=visible)
    clean_out.loss.backward()
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    dirty_out = model(dirty, batch.valid, batch.seconds, visible=visible)
    dirty_out.loss.backward()
    assert torch.equal(clean_out.loss, dirty_out.loss)
    assert torch.equal(clean_out.prediction, dirty_out.prediction)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter.grad, gradients[name]), name


def test_more_beat_slots_of_padding_change_nothing() -> None:
    """The same record in a longer grid, with the parameters of the shorter one in their places."""
    short, long = small_clear(), small_clear(beats=6)
    state = short.state_dict()
    for name, value in long.state_dict().items():
        if value.shape != state[name].shape:
            leads = 3 if name.startswith("decoder") else 0  # the decoder's table begins with the class tokens
            grid = value[leads:].unflatten(0, (3, 6))
            grid[:, :4] = state[name][leads:].unflatten(0, (3, 4))
            value[:leads] = state[name][:leads]
            state[name] = value
    long.load_state_dict(state)
    tokens, valid, seconds = random_batch(short.config)
    visible = drawn(short, Batch(tokens, valid, seconds))
    pad = torch.nn.functional.pad
    longer = (pad(tokens, (0, 0, 0, 2)), pad(valid, (0, 2)), pad(seconds, (0, 2)))
    torch.testing.assert_close(short.encode(tokens, valid, seconds), long.encode(*longer))
    out, longer_out = short(tokens, valid, seconds, visible=visible), long(*longer, visible=pad(visible, (0, 2)))
    torch.testing.assert_close(out.loss, longer_out.loss)
    torch.testing.assert_close(out.prediction, longer_out.prediction[:, :, :4])


def test_packed_and_grid_encoders_agree() -> None:
    """Dropping the hidden beats equals keeping them as padding; empty packed slots change nothing."""
    model = small_clear().double()
    batch = random_batch(model.config)
    visible, tokens = drawn(model, batch), batch.tokens.double()
    grid_leads, grid_beats = model.encoder.encode_all(tokens, visible, batch.seconds)
    for size in (5, 12):
        packing = pack(visible, size)
        packed = model.encoder.encode_packed(zero_padding(tokens, batch.valid), batch.seconds, packing)
        torch.testing.assert_close(packed[:, :3], grid_leads)
        for sample in range(3):
            filled = packing.valid[sample]
            wanted = grid_beats[sample].flatten(0, 1)[packing.position[sample, filled]]
            torch.testing.assert_close(packed[sample, 3:][filled], wanted)


def test_records_do_not_see_each_other() -> None:
    model = small_clear()
    tokens, valid, seconds = random_batch(model.config)
    together = model.encode(tokens, valid, seconds)
    for sample in range(3):
        part = slice(sample, sample + 1)
        torch.testing.assert_close(model.encode(tokens[part], valid[part], seconds[part]), together[part])


def test_a_hidden_beat_is_drawn_from_its_column_and_its_class_token() -> None:
    """One decoder layer: the gradient of a hidden beat's prediction is zero outside B^j and c_i, and not inside."""
    model = small_clear(decoder_depth=1).double()
    batch = random_batch(model.config)
    visible = drawn(model, batch)
    x = torch.randn(3, 15, 8, dtype=torch.float64, requires_grad=True)
    prediction = model.decoder.run_layers(x, GridView(visible, batch.valid)).unflatten(1, (3, 4))
    masked = (batch.valid & ~visible).nonzero().tolist()
    assert masked
    for sample, lead, beat in masked:
        (gradient,) = torch.autograd.grad(prediction[sample, lead, beat].square().sum(), x, retain_graph=True)
        reached = gradient.abs().sum(-1) > 0  # [B, L + L*T]
        expected = torch.zeros_like(reached)
        expected[sample, lead] = True
        expected[sample, 3:].view(3, 4)[:, beat] = batch.valid[sample, :, beat]
        assert torch.equal(reached, expected)


def test_a_class_token_reads_its_own_lead_only() -> None:
    model = small_clear(depth=1).double()
    batch = random_batch(model.config, padding=False)
    tokens = batch.tokens.double().requires_grad_()
    lead_tokens = model.encode(tokens, batch.valid, batch.seconds)
    for lead in range(3):
        (gradient,) = torch.autograd.grad(lead_tokens[:, lead].square().sum(), tokens, retain_graph=True)
        assert (gradient.abs().sum((0, 2, 3)) > 0).tolist() == [other == lead for other in range(3)]


def test_the_order_of_packed_beats_does_not_matter() -> None:
    model = small_clear().double()
    x = torch.randn(2, 3 + 5, 16, dtype=torch.float64)
    lead = torch.tensor([[0, 0, 1, 2, 2], [1, 1, 1, 0, 2]])
    valid = torch.tensor([[True] * 5, [True] * 4 + [False]])
    order = torch.tensor([3, 1, 4, 0, 2])
    plain = model.encoder.run_layers(x, PackedView(lead, valid))
    shuffled = torch.cat([x[:, :3], x[:, 3:][:, order]], dim=1)
    out = model.encoder.run_layers(shuffled, PackedView(lead[:, order], valid[:, order]))
    torch.testing.assert_close(out[:, :3], plain[:, :3])
    torch.testing.assert_close(out[:, 3:], plain[:, 3:][:, order])
