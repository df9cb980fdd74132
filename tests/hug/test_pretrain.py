"""Pre-training repeats, resumes bit for bit, learns, and stops where it must."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from training_fakes import FakeStore, micro_config

from clear_hug.models.clear import CLEAR
from clear_hug.training.batches import mask_generator
from clear_hug.training.checkpoint import CheckpointError, load_checkpoint, read_manifest
from clear_hug.training.interrupt import InterruptedTrainingError
from clear_hug.training.log import read_log
from clear_hug.training.pretrain import PretrainConfig, TrainingError, pretrain
from clear_hug.training.restore import load_clear, load_encoder

STORE = FakeStore()
RECIPE = PretrainConfig(epochs=4, batch_size=6, device="cpu")
TIMES = ("seconds",)


def without_times(history):
    return [{k: v for k, v in entry.items() if k not in TIMES} for entry in history]


def assert_same_run(one, two):
    """Log, weights, moments, counters and random states of two finished runs agree bit for bit."""
    assert without_times(read_log(one / "log.jsonl")) == without_times(read_log(two / "log.jsonl"))
    for name in ("clear.safetensors", "state.safetensors"):
        (_, first), (_, second) = (load_checkpoint(folder / name) for folder in (one, two))
        assert first.keys() == second.keys()
        for key in first:
            assert torch.equal(first[key], second[key]), key


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    out = tmp_path_factory.mktemp("straight")
    result = pretrain(STORE, micro_config(), RECIPE, out)
    assert result.finished
    return out


def test_a_run_repeats(straight, tmp_path):
    pretrain(STORE, micro_config(), RECIPE, tmp_path)
    assert_same_run(straight, tmp_path)


def test_two_epochs_and_two_more_are_four(straight, tmp_path):
    first = pretrain(STORE, micro_config(), RECIPE, tmp_path, stop_after=2)
    assert (len(first.history), first.finished) == (2, False)
    torch.manual_seed(99)
    second = pretrain(STORE, micro_config(), RECIPE, tmp_path, resume=True)
    assert second.finished
    assert_same_run(straight, tmp_path)


@pytest.mark.parametrize("step", [1, 2, 3, 5])
def test_ctrl_c_leaves_a_state_that_goes_on_exactly(straight, tmp_path, monkeypatch, step):
    """InterruptedTrainingError in the middle of an epoch, and at the end of one (step 3)."""
    plain, calls = CLEAR.forward, 0

    def forward(self, *args, **kwargs):
        nonlocal calls
        if self.training:
            calls += 1
            if calls == step:
                os.kill(os.getpid(), signal.SIGINT)
        return plain(self, *args, **kwargs)

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(CLEAR, "forward", forward)
    with pytest.raises(InterruptedTrainingError, match="--resume"):
        pretrain(STORE, micro_config(), RECIPE, tmp_path)
    monkeypatch.undo()
    assert signal.getsignal(signal.SIGINT) is before
    assert read_manifest(tmp_path / "state.safetensors")["steps_done"] == step
    pretrain(STORE, micro_config(), RECIPE, tmp_path, resume=True)
    assert_same_run(straight, tmp_path)


def test_resuming_a_finished_run_changes_nothing(straight):
    before = (straight / "state.safetensors").read_bytes()
    result = pretrain(STORE, micro_config(), RECIPE, straight, resume=True)
    assert result.finished
    assert len(result.history) == 4
    assert (straight / "state.safetensors").read_bytes() == before


def test_the_loss_falls(tmp_path):
    recipe = PretrainConfig(epochs=30, batch_size=6, lr=5e-3, device="cpu")
    history = pretrain(STORE, micro_config(dropout=0.0), recipe, tmp_path).history
    assert history[-1]["validation_loss"] < 0.6 * history[0]["validation_loss"]
    best = min(entry["validation_loss"] for entry in history)
    assert read_manifest(tmp_path / "clear.safetensors")["validation_loss"] == best


def test_the_epoch_with_the_lowest_validation_loss_is_kept(tmp_path, monkeypatch):
    losses = iter([3.0, 1.0, 2.0, 1.5])
    monkeypatch.setattr("clear_hug.training.pretrain.validation_loss", lambda *args: next(losses))
    result = pretrain(STORE, micro_config(), RECIPE, tmp_path)
    assert read_manifest(result.checkpoint)["epoch"] == 2


def test_every_step_draws_its_own_masks(tmp_path, monkeypatch):
    """They depend on seed and step alone, not on what dropout drew before."""
    plain, seen = CLEAR.forward, []

    def forward(self, *args, generator, **kwargs):
        if self.training:
            seen.append(generator.initial_seed())
        return plain(self, *args, generator=generator, **kwargs)

    monkeypatch.setattr(CLEAR, "forward", forward)
    pretrain(STORE, micro_config(), RECIPE, tmp_path, stop_after=2)
    assert seen == [mask_generator(RECIPE.seed, step).initial_seed() for step in range(6)]
    assert len(set(seen)) == 6


def test_the_checkpoint_comes_back_as_model_and_encoder(straight):
    model, manifest = load_clear(straight / "clear.safetensors")
    encoder, _ = load_encoder(straight / "clear.safetensors")
    assert manifest["leads"] == ["I", "II", "V1"]
    assert manifest["training"]["epochs"] == 4
    assert manifest["data"]["records"] == 30
    assert not model.training
    assert not encoder.training
    batch = [torch.from_numpy(part[:2]) for part in (STORE.tokens, STORE.valid, STORE.seconds)]
    assert torch.equal(model.encode(*batch), encoder(*batch))
    with pytest.raises(CheckpointError, match=r"take the clear\.safetensors beside it"):
        load_encoder(straight / "state.safetensors")


def test_bf16_trains(tmp_path):
    recipe = PretrainConfig(epochs=1, batch_size=12, amp="bf16", device="cpu")
    assert pretrain(STORE, micro_config(), recipe, tmp_path).history[0]["train_loss"] < 3


def test_without_validation_records_the_last_epoch_is_kept(tmp_path):
    store = FakeStore()
    store.split[store.split == 1] = 0
    result = pretrain(store, micro_config(), PretrainConfig(epochs=2, device="cpu"), tmp_path)
    assert [entry["validation_loss"] for entry in result.history] == [None, None]
    assert read_manifest(result.checkpoint)["epoch"] == 2


def test_a_diverging_run_stops_and_names_the_step(tmp_path, monkeypatch):
    plain, calls = CLEAR.forward, 0

    def forward(self, *args, **kwargs):
        nonlocal calls
        result = plain(self, *args, **kwargs)
        calls += self.training
        return result._replace(loss=result.loss * float("nan")) if self.training and calls == 5 else result

    monkeypatch.setattr(CLEAR, "forward", forward)
    with pytest.raises(TrainingError, match=r"loss nan.*at step 5.*last finished epoch is kept.*--lr"):
        pretrain(STORE, micro_config(), RECIPE, tmp_path)
    monkeypatch.undo()
    assert read_manifest(tmp_path / "state.safetensors")["steps_done"] == 3
    assert pretrain(STORE, micro_config(), RECIPE, tmp_path, resume=True).finished


def test_refusals(straight, tmp_path):
    with pytest.raises(CheckpointError, match="already holds a run"):
        pretrain(STORE, micro_config(), RECIPE, straight)
    with pytest.raises(CheckpointError, match="nothing to resume"):
        pretrain(STORE, micro_config(), RECIPE, tmp_path, resume=True)
    with pytest.raises(CheckpointError, match=r"another training.*lr was 0\.0005, now 0\.001"):
        pretrain(
            STORE, micro_config(), PretrainConfig(epochs=4, batch_size=6, device="cpu", lr=1e-3), straight, resume=True
        )
    with pytest.raises(CheckpointError, match="another data"):
        pretrain(FakeStore(seed=1), micro_config(), RECIPE, straight, resume=True)
    with pytest.raises(CheckpointError, match="--beats"):
        pretrain(STORE, micro_config(beats=5), RECIPE, tmp_path)
    empty = FakeStore()
    empty.split[:] = 2
    with pytest.raises(TrainingError, match="no usable training record"):
        pretrain(empty, micro_config(), RECIPE, tmp_path)


@pytest.mark.parametrize(
    "field", [{"epochs": 0}, {"batch_size": 0}, {"lr": 0.0}, {"lr": float("nan")}, {"warmup_share": 1.0}, {"seed": -1}]
)
def test_bad_settings_are_named(field):
    with pytest.raises(ValueError, match=next(iter(field))):
        PretrainConfig(**field)
