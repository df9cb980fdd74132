"""Metrics agree with scikit-learn and by-hand figures, and say what they leave out."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from clear_hug.training.metrics import (
    CHUNK,
    best_f1_thresholds,
    bootstrap_difference,
    bootstrap_macro_auroc,
    bootstrap_weights,
    class_auroc,
    evaluate,
    macro_auroc,
    scorable_classes,
    weighted_auroc,
)


def example(records=200, classes=4, seed=0, ties=True):
    rng = np.random.default_rng(seed)
    labels = (rng.random((records, classes)) < 0.3).astype(np.uint8)
    scores = rng.random((records, classes)) + 0.4 * labels
    return labels, np.round(scores, 1) if ties else scores


@pytest.mark.parametrize("ties", [False, True])
def test_auroc_is_scikit_learns(ties):
    labels, scores = example(ties=ties)
    expected = [roc_auc_score(labels[:, c], scores[:, c]) for c in range(labels.shape[1])]
    np.testing.assert_allclose(class_auroc(labels, scores), expected, rtol=0, atol=1e-12)
    assert macro_auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores, average="macro"), abs=1e-12)


def test_weights_count_as_repeated_records():
    labels, scores = example(records=60)
    weights = bootstrap_weights(60, 5, np.random.default_rng(3))
    assert (weights.sum(axis=1) == 60).all()
    for row, got in zip(weights, weighted_auroc(labels[:, 0].astype(bool), scores[:, 0], weights), strict=True):
        drawn = np.repeat(np.arange(60), row.astype(int))
        assert got == pytest.approx(roc_auc_score(labels[drawn, 0], scores[drawn, 0]), abs=1e-12)


def test_the_bootstrap_is_the_plain_loop():
    labels, scores = example(records=40, classes=3)
    interval = bootstrap_macro_auroc(labels, scores, resamples=300, seed=7)
    rng = np.random.default_rng(7)
    drawn = np.concatenate([rng.integers(0, 40, size=(n, 40)) for n in (CHUNK, 300 - CHUNK)])
    macros = [roc_auc_score(labels[d], scores[d], average="macro") for d in drawn]
    assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(macros, [0.025, 0.975])), abs=1e-12)
    assert interval.low < interval.value < interval.high


def test_the_bootstrap_repeats_and_follows_its_seed():
    labels, scores = example()
    first, again = (bootstrap_macro_auroc(labels, scores, resamples=500, seed=1) for _ in range(2))
    assert first == again
    assert first != bootstrap_macro_auroc(labels, scores, resamples=500, seed=2)


def test_a_difference_is_paired():
    labels, scores = example(records=100, classes=3, ties=False)
    same = bootstrap_difference(labels, scores, scores, resamples=200)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    worse = scores + 0.2 * np.random.default_rng(1).normal(size=scores.shape)
    paired = bootstrap_difference(labels, scores, worse, resamples=500)
    assert paired.value == pytest.approx(macro_auroc(labels, scores) - macro_auroc(labels, worse))
    alone = bootstrap_macro_auroc(labels, scores, resamples=500)
    assert paired.high - paired.low < 1.4 * (alone.high - alone.low)


def test_more_records_give_a_narrower_interval():
    few, many = (bootstrap_macro_auroc(*example(records=n, ties=False), resamples=500) for n in (50, 1000))
    assert many.high - many.low < 0.5 * (few.high - few.low)


def test_classes_without_both_labels_are_named_and_not_averaged():
    labels, scores = example(classes=4)
    labels[:, 1], labels[:, 2] = 0, 1
    figures = evaluate(labels, scores / 2, ["a", "never", "always", "b"], resamples=100)
    assert figures["skipped_classes"] == {"never": "no positive record", "always": "no negative record"}
    assert figures["per_class"]["never"]["auroc"] is None
    kept = roc_auc_score(labels[:, [0, 3]], scores[:, [0, 3]], average="macro")
    assert figures["macro_auroc"]["value"] == pytest.approx(kept, abs=1e-12)
    assert scorable_classes(labels).tolist() == [True, False, False, True]


def test_no_class_can_be_scored():
    figures = evaluate(np.zeros((5, 2)), np.full((5, 2), 0.3), ["a", "b"], resamples=50)
    assert figures["macro_auroc"] is None
    assert set(figures["skipped_classes"]) == {"a", "b"}


def test_thresholds_reach_the_best_f1():
    labels, scores = example(classes=2)
    chosen = best_f1_thresholds(labels, scores)
    for c in range(2):
        best = max(f1_score(labels[:, c], scores[:, c] >= cut) for cut in np.unique(scores[:, c]))
        assert f1_score(labels[:, c], scores[:, c] >= chosen[c]) == pytest.approx(best)
    assert best_f1_thresholds(np.zeros((4, 1)), np.full((4, 1), 0.2)).tolist() == [0.5]


@pytest.mark.parametrize(
    ("labels", "scores", "words"),
    [
        (np.zeros((3, 2)), np.zeros((3, 3)), "labels.shape"),
        (np.zeros((0, 2)), np.zeros((0, 2)), "no records"),
        (np.full((3, 2), 2), np.zeros((3, 2)), "0 or 1"),
        (np.zeros((3, 2)), np.full((3, 2), np.nan), "NaN"),
    ],
)
def test_bad_input_is_named(labels, scores, words):
    with pytest.raises(ValueError, match=words):
        class_auroc(labels, scores)
