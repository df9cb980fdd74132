"""Features are the frozen encoder's lead tokens, computed once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from training_fakes import FakeStore, micro_config

from clear_hug.models import untrained
from clear_hug.training.features import cached_features, compute_features, features_key
from clear_hug.training.manifest import store_fingerprint

STORE = FakeStore()
ENCODER = untrained(micro_config(dropout=0.5), seed=0).encoder


def test_features_are_the_lead_tokens_in_eval_mode_whatever_the_batch():
    ENCODER.train()
    seen = []
    features = compute_features(
        ENCODER, STORE, batch_size=7, on_progress=lambda done, total: seen.append((done, total))
    )
    assert ENCODER.training, "the encoder must be left in the mode it came in"
    assert features.shape == (30, 3, 16)
    assert features.dtype == np.float32
    assert seen[-1] == (29, 29)
    assert not features[5].any(), "a record without beats has no features"
    ENCODER.eval()
    batch = [torch.from_numpy(part[10:12]) for part in (STORE.tokens, STORE.valid, STORE.seconds)]
    with torch.no_grad():
        np.testing.assert_allclose(features[10:12], ENCODER(*batch).numpy(), atol=1e-5)
    np.testing.assert_allclose(features, compute_features(ENCODER, STORE, batch_size=30), atol=1e-5)


def test_features_are_computed_once(tmp_path, monkeypatch):
    first = cached_features(ENCODER, STORE, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("clear_hug.training.features.compute_features", lambda *a, **k: pytest.fail("computed again"))
        np.testing.assert_array_equal(cached_features(ENCODER, STORE, tmp_path), first)
    (kept,) = tmp_path.glob("features-*.npy")
    kept.write_bytes(kept.read_bytes()[:100])  # a damaged one is made anew
    np.testing.assert_array_equal(cached_features(ENCODER, STORE, tmp_path), first)


def test_the_key_follows_weights_configuration_data_and_precision():
    key = features_key(ENCODER, STORE)
    assert key == features_key(ENCODER, FakeStore())
    other = FakeStore()
    other.tokens[-1, 0, 0, 0] += 1e-3
    others = [
        features_key(untrained(micro_config(dropout=0.5), seed=1).encoder, STORE),
        features_key(untrained(micro_config(dropout=0.4), seed=0).encoder, STORE),
        features_key(ENCODER, FakeStore(seed=1)),
        features_key(ENCODER, other),
        features_key(ENCODER, STORE, "bf16"),
    ]
    assert len({key, *others}) == 6


def test_the_fingerprint_follows_splits():
    other = FakeStore()
    other.split[0] = 2
    assert store_fingerprint(STORE) != store_fingerprint(other)
