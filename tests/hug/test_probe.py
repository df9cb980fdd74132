"""Probing finds what is there, does not find what is not, repeats, and chooses its epoch on validation records only."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from training_fakes import micro_config

from clear_hug.training.probe import ProbeConfig, ProbeData, probabilities, probe, without_training_positives

CONFIG = micro_config()
RECIPE = ProbeConfig(head="linear", epochs=30, batch_size=32, resamples=200, device="cpu")


def data(records=240, signal=1.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, size=(records, 2)).astype(np.uint8)
    features = rng.normal(size=(records, 3, 16)).astype(np.float32)
    features[:, :, :2] += signal * (2.0 * labels[:, None, :] - 1)
    rows = np.arange(records)
    return ProbeData(features, labels, ("a", "b"), rows[: records // 2], rows[records // 2 : -60], rows[-60:])


@pytest.mark.parametrize(
    "head", [{"head": "linear"}, {"head": "hug"}, {"head": "hug", "nonlinearity": "gelu", "combine": "mean"}]
)
def test_a_pattern_is_found(head):
    result = probe(data(), CONFIG, replace(RECIPE, **head))
    macro = result.metrics["macro_auroc"]
    assert macro["value"] > 0.9
    assert macro["low"] <= macro["value"] <= macro["high"] <= 1
    assert result.metrics["records"] == 60
    json.dumps(result.metrics, allow_nan=False)


def test_noise_stays_at_chance():
    interval = probe(data(signal=0.0), CONFIG, RECIPE).metrics["macro_auroc"]
    assert interval["low"] < 0.5 < interval["high"] + 0.1
    assert interval["value"] < 0.7


def test_a_probe_repeats_whatever_the_global_seed():
    torch.manual_seed(1)
    one = probe(data(), CONFIG, RECIPE)
    torch.manual_seed(2)
    two = probe(data(), CONFIG, RECIPE)
    assert one.metrics == two.metrics
    assert one.history == two.history
    assert all(torch.equal(a, b) for a, b in zip(one.head.parameters(), two.head.parameters(), strict=True))


def test_the_best_epoch_is_chosen_on_validation_and_kept():
    result = probe(data(signal=0.4), CONFIG, RECIPE)
    scores = [entry["score"] for entry in result.history]
    assert result.best_epoch == 1 + int(np.argmax(scores))
    assert result.chosen_by == "validation macro AUROC"


@pytest.mark.parametrize("best", [0, 29])
def test_the_head_of_the_best_epoch_is_the_one_tested(monkeypatch, best):
    scores = iter(float(epoch == best) for epoch in range(30))
    monkeypatch.setattr("clear_hug.training.probe.macro_auroc", lambda *args: next(scores))
    result = probe(data(), CONFIG, RECIPE)
    assert result.best_epoch == best + 1
    # The first epoch is one of warm-up, from a rate of 1e-6: after it the head has hardly learnt.
    assert (result.metrics["macro_auroc"]["value"] > 0.9) == (best == 29)


def test_test_labels_change_nothing_but_the_figures():
    one = data()
    labels = one.labels.copy()
    labels[one.test] = 1 - labels[one.test]
    two = probe(replace(one, labels=labels), CONFIG, RECIPE)
    first = probe(one, CONFIG, RECIPE)
    assert first.history == two.history
    assert first.metrics["macro_auroc"]["value"] == pytest.approx(1 - two.metrics["macro_auroc"]["value"])


def test_probabilities_come_from_the_kept_head():
    found = probe(data(), CONFIG, RECIPE)
    scores = probabilities(found.head, torch.from_numpy(data().features[:3]))
    assert scores.shape == (3, 2)
    assert ((scores > 0) & (scores < 1)).all()


def test_without_validation_records_training_ones_choose():
    result = probe(replace(data(), validation=np.array([], dtype=np.int64)), CONFIG, RECIPE)
    assert "no validation records" in result.chosen_by


def test_validation_records_of_one_kind_choose_by_loss():
    given = data()
    labels = given.labels.copy()
    labels[given.validation] = 0
    assert probe(replace(given, labels=labels), CONFIG, RECIPE).chosen_by == "validation loss"


def test_classes_that_cannot_be_learnt_are_named():
    given = data()
    labels = given.labels.copy()
    labels[given.train, 1] = 0
    assert without_training_positives(labels, given.train, given.classes) == ["b"]


@pytest.mark.parametrize(
    "field", [{"fraction": 0.0}, {"fraction": 1.5}, {"epochs": 0}, {"lr": -1.0}, {"warmup_share": 1.0}]
)
def test_bad_settings_are_named(field):
    with pytest.raises(ValueError, match=next(iter(field))):
        ProbeConfig(**field)


def test_bad_data_is_named():
    given = data()
    with pytest.raises(ValueError, match="do not go together"):
        replace(given, labels=given.labels[:5])
    with pytest.raises(ValueError, match="labelled test record"):
        replace(given, test=given.test[:0])
    with pytest.raises(ValueError, match="tree"):
        probe(given, CONFIG, replace(RECIPE, head="tree"))
