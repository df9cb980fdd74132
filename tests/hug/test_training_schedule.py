"""Learning rate, parameter groups, batches, masks and devices."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from training_fakes import FakeStore, micro_config

from clear_hug.models import CLEAR
from clear_hug.training.batches import (
    TEST,
    TRAIN,
    VALIDATION,
    batches,
    epoch_order,
    mask_generator,
    read_batch,
    split_rows,
)
from clear_hug.training.device import autocast, resolve_device
from clear_hug.training.schedule import adamw, learning_rate, no_decay_names

RECIPE = {"total": 100, "warmup": 5, "peak": 5e-4, "start": 1e-6, "final": 1e-5}


def test_the_rate_rises_then_falls_to_its_end():
    rates = [learning_rate(step, **RECIPE) for step in range(100)]
    assert rates[0] == 1e-6
    assert rates[5] == max(rates) == 5e-4
    assert rates[-1] == pytest.approx(1e-5)
    assert np.all(np.diff(rates[:6]) > 0)
    assert np.all(np.diff(rates[5:]) < 0)
    middle = learning_rate(52, **RECIPE)
    assert middle == pytest.approx(1e-5 + 0.5 * 4.9e-4 * (1 + math.cos(math.pi * 0.5)))


def test_a_run_of_one_step_has_a_rate():
    assert learning_rate(0, total=1, warmup=0, peak=1.0, start=0.0, final=0.1) == 1.0


def test_a_warm_up_as_long_as_the_run_is_refused():
    with pytest.raises(ValueError, match="lower the warm-up"):
        learning_rate(0, **{**RECIPE, "warmup": 100})


def test_only_weights_of_linear_maps_decay():
    model = CLEAR(micro_config())
    spared = no_decay_names(model)
    decayed = {name for name, _ in model.named_parameters()} - spared
    assert decayed
    assert all(name.endswith("weight") for name in decayed)
    assert not any(word in name for name in decayed for word in ("norm", "token", "position", "lead.", "time."))
    assert {n for n, p in model.named_parameters() if "in_proj_weight" in n or "projection.weight" in n} <= decayed
    groups = adamw(model, lr=1.0, betas=(0.9, 0.98), weight_decay=0.05).param_groups
    assert [g["weight_decay"] for g in groups] == [0.05, 0.0]
    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters()))


def test_splits_leave_out_records_without_beats():
    store = FakeStore()
    parts = [split_rows(store, split) for split in (TRAIN, VALIDATION, TEST)]
    assert 5 not in parts[0]
    assert sorted(np.concatenate(parts)) == [row for row in range(30) if row != 5]


def test_batches_hold_the_rows_in_order_and_can_start_late():
    store, rows = FakeStore(), np.array([7, 2, 9, 4, 1])
    seen = list(batches(store, rows, 2, torch.device("cpu")))
    assert [len(batch.tokens) for batch in seen] == [2, 2, 1]
    assert torch.equal(torch.cat([b.tokens for b in seen]), torch.from_numpy(store.tokens[rows]))
    late = list(batches(store, rows, 2, torch.device("cpu"), first=2))
    assert torch.equal(late[0].seconds, torch.from_numpy(store.seconds[[1]]))
    assert read_batch(store, rows).valid.dtype == torch.bool


def test_an_error_while_reading_reaches_the_caller():
    with pytest.raises(IndexError):
        list(batches(FakeStore(), np.array([0, 99]), 1, torch.device("cpu")))


def test_every_epoch_has_its_own_order_and_every_step_its_own_masks():
    rows = np.arange(50)
    assert (epoch_order(rows, 0, 1) == epoch_order(rows, 0, 1)).all()
    assert (epoch_order(rows, 0, 1) != epoch_order(rows, 0, 2)).any()
    assert (epoch_order(rows, 0, 1) != epoch_order(rows, 1, 1)).any()
    asked = [(0, 0), (0, 1), (1, 0), (0, 0, 1), (0, 0, 0, VALIDATION)]
    draws = {tuple(torch.rand(3, generator=mask_generator(*words)).tolist()) for words in asked}
    assert len(draws) == len(asked)


def test_devices_and_precisions():
    assert resolve_device("cpu").type == "cpu"
    with pytest.raises(ValueError, match="unknown device 'tpu'"):
        resolve_device("tpu")
    with pytest.raises(ValueError, match="unknown precision 'fp8'"):
        autocast("fp8", torch.device("cpu"))
    if not torch.cuda.is_available():
        assert resolve_device("auto").type == "cpu"
        with pytest.raises(ValueError, match="no CUDA GPU"):
            resolve_device("cuda")
