"""Multi-label metrics of a diagnosis: macro AUROC with a bootstrap interval, and per-class figures.

Everything is an average over the classes that have positives *and* negatives; the others are named, never counted as 0
or 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CHUNK = 250
"""Resamples weighed at a time; bounds the memory to CHUNK x records x 8 bytes."""


@dataclass(frozen=True)
class Interval:
    """A percentile bootstrap interval of a statistic."""

    value: float
    low: float
    high: float
    level: float
    resamples: int

    def to_dict(self) -> dict[str, float | int]:
        """The fields as a JSON-ready dictionary."""
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "level": self.level,
            "resamples": self.resamples,
        }

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def check_labels_and_scores(labels: NDArray[Any], scores: NDArray[Any]) -> tuple[NDArray[np.bool_], Floats]:
    """Return labels as bool [R, C] and scores as float64 [R, C].

    Raises:
        ValueError: shapes differ, there are no records, a label is not 0 or 1, or a score is not finite.
    """
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if labels.ndim != 2 or labels.shape != scores.shape:
        raise ValueError(f"labels and scores must both be [records, classes], got {labels.shape=} {scores.shape=}")
    if len(labels) == 0:
        raise ValueError("no records to score: this split has no labelled, usable record")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"labels must be 0 or 1, got values {np.unique(labels)[:5].tolist()}")
    if not np.isfinite(scores).all():
        raise ValueError(f"{int((~np.isfinite(scores)).sum())} scores are NaN or infinite; the head diverged")
    return labels.astype(bool), scores


def scorable_classes(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Bool [C]: the classes that have at least one positive and one negative among labels [R, C]."""
    positives = np.asarray(labels).astype(bool).sum(axis=0)
    return (positives > 0) & (positives < len(labels))


def weighted_auroc(labels: NDArray[np.bool_], scores: Floats, weights: Floats) -> Floats:
    """AUROC of one class under many sets of record weights at once.

    The Mann-Whitney statistic: the weighted share of (positive, negative) pairs ranked rightly, a tie counting half.

    Args:
        labels: bool [R].
        scores: float [R].
        weights: float [W, R], e.g. how often each record was drawn in each of W bootstrap resamples.

    Returns:
        float64 [W]; NaN where a resample has no positive or no negative.
    """
    order = np.argsort(scores, kind="stable")
    ranked, drawn, truth = scores[order], weights[:, order], labels[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    positive = np.add.reduceat(drawn * truth, starts, axis=1)  # [W, distinct scores]
    negative = np.add.reduceat(drawn * ~truth, starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    right = (positive * (below + 0.5 * negative)).sum(axis=1)
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    return np.divide(right, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def class_auroc(labels: NDArray[Any], scores: NDArray[Any]) -> Floats:
    """AUROC of each class, float64 [C], NaN for a class without positives or without negatives."""
    truth, values = check_labels_and_scores(labels, scores)
    once = np.ones((1, len(truth)))
    return np.array([weighted_auroc(truth[:, c], values[:, c], once)[0] for c in range(truth.shape[1])])


def macro_auroc(labels: NDArray[Any], scores: NDArray[Any]) -> float:
    """Mean AUROC over the classes with positives and negatives; NaN if there is none."""
    per_class = class_auroc(labels, scores)
    return float(np.nanmean(per_class)) if np.isfinite(per_class).any() else float("nan")


def bootstrap_weights(records: int, resamples: int, rng: np.random.Generator) -> Floats:
    """How often each record is drawn in each resample: float64 [resamples, records], each row summing to `records`."""
    drawn = rng.integers(0, records, size=(resamples, records))
    flat = drawn + records * np.arange(resamples)[:, None]
    return np.bincount(flat.ravel(), minlength=resamples * records).reshape(resamples, records).astype(np.float64)


def bootstrap_macro_auroc(
    labels: NDArray[Any], scores: NDArray[Any], *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Macro AUROC with its percentile bootstrap interval over records (Efron & Tibshirani 1993, ch. 13).

    Records, not classes, are resampled, so that the classes of one record stay together. In each resample the mean goes
    over the classes that have both labels in that resample.

    Raises:
        ValueError: bad shapes, fewer than 1 resample, or `level` outside (0, 1).
    """
    drawn = _resampled_macro_auroc(labels, scores, resamples, seed)
    return _interval(macro_auroc(labels, scores), drawn, level)


def bootstrap_difference(
    labels: NDArray[Any],
    scores: NDArray[Any],
    others: NDArray[Any],
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Macro AUROC of `scores` minus that of `others` on the same records, each resample drawn once for both.

    Pairing takes out what both models find hard, so this interval is narrower than two separate ones suggest.

    Raises:
        ValueError: as `bootstrap_macro_auroc`.
    """
    first, second = (_resampled_macro_auroc(labels, each, resamples, seed) for each in (scores, others))
    return _interval(macro_auroc(labels, scores) - macro_auroc(labels, others), first - second, level)


def _resampled_macro_auroc(labels: NDArray[Any], scores: NDArray[Any], resamples: int, seed: int) -> Floats:
    """Macro AUROC of each resample, float64 [resamples], NaN where no class has both labels."""
    truth, values = check_labels_and_scores(labels, scores)
    if resamples < 1:
        raise ValueError(f"{resamples=} must be at least 1")
    rng = np.random.default_rng(seed)
    kept = np.flatnonzero(scorable_classes(truth))
    macros = []
    for start in range(0, resamples, CHUNK):
        weights = bootstrap_weights(len(truth), min(CHUNK, resamples - start), rng)  # [W, R]
        per_class = np.zeros((len(kept), len(weights)))  # [C, W]
        for k, c in enumerate(kept):
            per_class[k] = weighted_auroc(truth[:, c], values[:, c], weights)
        scored = np.isfinite(per_class).sum(axis=0)
        macros.append(
            np.divide(np.nansum(per_class, axis=0), scored, out=np.full(len(weights), np.nan), where=scored > 0)
        )
    return np.concatenate(macros)


def _interval(value: float, drawn: Floats, level: float) -> Interval:
    if not 0 < level < 1:
        raise ValueError(f"{level=} must lie between 0 and 1; 0.95 is usual")
    finite = drawn[np.isfinite(drawn)]
    tail = (1 - level) / 2
    low, high = np.quantile(finite, [tail, 1 - tail]) if len(finite) else (float("nan"), float("nan"))
    return Interval(value, float(low), float(high), level, len(drawn))


def best_f1_thresholds(labels: NDArray[Any], scores: NDArray[Any]) -> Floats:
    """Per class, the score at or above which F1 is highest; 0.5 where a class lacks positives or negatives.

    Takes probabilities, so that the fallback of 0.5 means "more likely than not". Ties go to the higher threshold.
    """
    from sklearn.metrics import precision_recall_curve

    truth, values = check_labels_and_scores(labels, scores)
    chosen = np.full(truth.shape[1], 0.5)
    for c in np.flatnonzero(scorable_classes(truth)):
        precision, recall, thresholds = precision_recall_curve(truth[:, c], values[:, c])
        both = precision[:-1] + recall[:-1]
        f1 = np.divide(2 * precision[:-1] * recall[:-1], both, out=np.zeros_like(both), where=both > 0)
        chosen[c] = thresholds[len(f1) - 1 - int(np.argmax(f1[::-1]))]
    return chosen


def evaluate(
    labels: NDArray[Any],
    probabilities: NDArray[Any],
    classes: Sequence[str],
    thresholds: NDArray[Any] | None = None,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """All test figures as a JSON-ready dictionary.

    Args:
        labels: 0/1 [R, C].
        probabilities: float [R, C].
        classes: C names.
        thresholds: float [C], chosen on validation records; 0.5 if None.
        resamples: bootstrap resamples of the records.
        seed: seed of the bootstrap.

    Returns:
        `records`, `macro_auroc` (value, low, high, level, resamples), `macro_ap`, `macro_f1`, `skipped_classes` (class
        -> reason) and `per_class` (class -> positives, negatives, threshold, auroc, ap, f1; None where undefined).
    """
    from sklearn.metrics import average_precision_score, f1_score

    truth, values = check_labels_and_scores(labels, probabilities)
    if len(classes) != truth.shape[1]:
        raise ValueError(f"{len(classes)} class names for {truth.shape[1]} columns of labels")
    cuts = np.full(len(classes), 0.5) if thresholds is None else np.asarray(thresholds, dtype=np.float64)
    usable, aurocs = scorable_classes(truth), class_auroc(truth, values)
    per_class: dict[str, dict[str, Any]] = {}
    skipped: dict[str, str] = {}
    for c, name in enumerate(classes):
        positives = int(truth[:, c].sum())
        figures: dict[str, Any] = {
            "positives": positives,
            "negatives": len(truth) - positives,
            "threshold": float(cuts[c]),
        }
        if usable[c]:
            figures["auroc"] = float(aurocs[c])
            figures["ap"] = float(average_precision_score(truth[:, c], values[:, c]))
            figures["f1"] = float(f1_score(truth[:, c], values[:, c] >= cuts[c], zero_division=0.0))
        else:
            figures.update(auroc=None, ap=None, f1=None)
            skipped[name] = "no positive record" if positives == 0 else "no negative record"
        per_class[name] = figures
    scored = [figures for figures in per_class.values() if figures["auroc"] is not None]
    interval = bootstrap_macro_auroc(truth, values, resamples=resamples, seed=seed)
    return {
        "records": len(truth),
        "macro_auroc": interval.to_dict() if scored else None,
        "macro_ap": float(np.mean([f["ap"] for f in scored])) if scored else None,
        "macro_f1": float(np.mean([f["f1"] for f in scored])) if scored else None,
        "skipped_classes": skipped,
        "per_class": per_class,
    }
