"""Amplitude features: right, beside every batch, and what keeps voltages visible to a model of z-scored tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from models_common import random_batch, small_clear
from training_fakes import FakeStore, micro_config
from typer.testing import CliRunner

from clear_hug.amplitude import AMPLITUDE_FEATURES, amplitude_features
from clear_hug.cli import app
from clear_hug.data.batch import BeatBatch, SignalBatch
from clear_hug.models import token_zscore
from clear_hug.models.masking import pack
from clear_hug.training.checkpoint import CheckpointError, read_manifest
from clear_hug.training.pretrain import PretrainConfig, pretrain
from clear_hug.training.restore import load_encoder

RECIPE = PretrainConfig(epochs=2, batch_size=10, device="cpu")


def test_features_are_what_the_z_score_takes_away_and_the_span() -> None:
    tokens = torch.randn(2, 3, 4, 50, dtype=torch.float64) * 0.3
    found = amplitude_features(tokens)
    assert found.shape == (2, 3, 4, len(AMPLITUDE_FEATURES))
    torch.testing.assert_close(token_zscore(tokens) * (found[..., 1:2] ** 2 + 1e-6).sqrt() + found[..., :1], tokens)
    np.testing.assert_allclose(found[..., 2], np.ptp(tokens.numpy(), axis=-1))
    assert not amplitude_features(torch.zeros(1, 5)).any()


def test_batches_have_them_from_tokens_and_from_signals() -> None:
    samples = torch.zeros(1, 21, 1, dtype=torch.int16)
    samples[0, 8:12, 0] = torch.tensor([100, -50, 0, 20], dtype=torch.int16)
    valid = torch.tensor([[[True, False]]])
    signals = SignalBatch(
        samples, torch.tensor([20]), torch.tensor([[0.01]]), torch.tensor([[9, -1]]), valid, torch.tensor([[1, 0]]),
        None, torch.tensor([0]), beat_samples=10,
    )  # fmt: skip
    batch = signals.cut()
    assert isinstance(batch, BeatBatch)
    assert batch.amplitude.shape == (1, 1, 2, 3)
    assert batch.amplitude[0, 0, 0].tolist() == pytest.approx([0.07, np.std([1, -0.5, 0.2] + [0] * 7, ddof=1), 1.5])
    assert not batch.amplitude[0, 0, 1].any()


@pytest.mark.parametrize(("amplitude", "sees_voltage"), [(False, False), (True, True)])
def test_voltage_survives_z_scored_tokens_only_with_them(amplitude: bool, sees_voltage: bool) -> None:
    model = small_clear(input_norm="token", amplitude=amplitude)
    tokens, valid, seconds = random_batch(model.config)
    with torch.no_grad():
        usual = model.encode(tokens, valid, seconds)
        low = model.encode(0.2 * tokens, valid, seconds)
    assert bool((usual - low).abs().max() > 0.01) == sees_voltage


def test_the_encoder_is_told_nothing_about_hidden_beats() -> None:
    model = small_clear(amplitude=True)
    tokens, valid, seconds = random_batch(model.config, padding=False)
    visible = torch.zeros(valid.shape[1:], dtype=torch.bool)
    visible[0] = True
    with torch.no_grad():
        one = model(tokens, valid, seconds, visible=visible).prediction
        two = model(torch.where(visible[..., None], tokens, 7 * tokens + 3), valid, seconds, visible=visible).prediction
        other = model(torch.where(visible[..., None], 2 * tokens, tokens), valid, seconds, visible=visible).prediction
    torch.testing.assert_close(one, two, rtol=0, atol=0)
    assert not torch.allclose(one, other)


def test_packed_and_whole_records_get_the_same_features() -> None:
    model = small_clear(amplitude=True, input_norm="token")
    tokens, valid, seconds = random_batch(model.config, padding=False)
    everything = torch.ones_like(valid[0])
    packing = pack(everything.expand_as(valid), everything.numel())
    with torch.no_grad():
        packed = model.encoder.encode_packed(tokens, seconds, packing)[:, : model.config.lead_count]
        torch.testing.assert_close(packed, model.encode(tokens, valid, seconds), rtol=1e-4, atol=1e-5)


def test_a_checkpoint_knows_whether_it_has_them(tmp_path: Path) -> None:
    config = micro_config(input_norm="token", amplitude=True)
    pretrain(FakeStore(), config, RECIPE, tmp_path, stop_after=1)
    assert read_manifest(tmp_path / "clear.safetensors")["model"]["amplitude"] is True
    encoder, _ = load_encoder(tmp_path / "clear.safetensors")
    assert encoder.embedding.amplitude is not None
    with pytest.raises(CheckpointError, match="amplitude was True, now False"):
        pretrain(FakeStore(), micro_config(input_norm="token"), RECIPE, tmp_path, resume=True)


def test_the_value_must_be_yes_or_no() -> None:
    with pytest.raises(ValueError, match="amplitude='yes' must be True or False"):
        micro_config(amplitude="yes")


def test_the_commands_have_the_options() -> None:
    for command in ("pretrain", "probe"):
        text = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
        assert "--amplitude" in text
        assert "--input-norm" in text
