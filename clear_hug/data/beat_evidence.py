"""Which candidates are heartbeats: height, clearness, resemblance and rhythm, weighed by logistic regression."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clear_hug.data import native
from clear_hug.data.order_statistics import running_median

if TYPE_CHECKING:
    from clear_hug.data.qrs_peaks import Candidates

__all__ = ["FEATURES", "RANKS", "EvidenceWeights", "choose_beats", "is_regular", "looks", "rhythm"]

RANKS = (1, 3)
"""Ranks of the most similar beats whose correlations count."""
FEATURES = ("log height", "log clearness", *(f"similarity {rank}" for rank in RANKS))
_RHYTHM_INTERVALS = 9
_FEWEST_SURE = 3
_LARGEST_LOG_HEIGHT = 0.7
_LARGEST_SPREAD = 0.2


@dataclass(frozen=True)
class EvidenceWeights:
    """Weights of two logistic regressions; see docs/beats.md for how they were fitted.

    Attributes:
        looks: of the features of a candidate alone, in the order of `FEATURES`, and the constant.
        both: of those, then the logarithms of the gap, the nearer neighbour and the beat before (`rhythm`), and the
            constant.
    """

    looks: tuple[float, ...] = (2.54, 2.07, 3.77, 2.98, -5.53)
    both: tuple[float, ...] = (1.84, 1.88, 3.29, 2.5, 0.53, 2.33, 0.3, -4.08)


def looks(candidates: Candidates, similar: NDArray[np.floating]) -> NDArray[np.float64]:
    """Features [candidates, len(FEATURES)] of each candidate by itself."""
    features = np.empty((len(candidates.place), len(FEATURES)))
    features[:, 0] = np.minimum(np.log(candidates.height), _LARGEST_LOG_HEIGHT)
    features[:, 1] = np.log(candidates.clearness)
    features[:, 2:] = similar
    return features


def rhythm(place: NDArray[np.int64], sure: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Where each candidate lies between the sure beats around it.

    Args:
        place: int64 [candidates], increasing.
        sure: bool [candidates], beats by their looks.

    Returns:
        float64 [candidates, 3], logarithms in usual RR intervals nearby: from the sure beat before to that after (2 for
        an ordinary beat, 1 for something between two), to the nearer of them, and to the one before. Neutral where
        there are too few sure beats.
    """
    index = sure.nonzero()[0]
    if len(index) < _FEWEST_SURE:
        return np.tile(np.log((2.0, 1.0, 1.0)), (len(place), 1))  # neutral
    out: NDArray[np.float64]
    if native.KERNELS is not None:
        out = native.KERNELS.rhythm(place, sure, _RHYTHM_INTERVALS)
        return np.log(out, out=out)
    beats = place[index]
    intervals = (beats[1:] - beats[:-1]).astype(np.float32)
    usual = running_median(intervals[None], min(_RHYTHM_INTERVALS, len(intervals)))[0].astype(np.float64)
    position = sure.cumsum() - sure  # sure beats before each candidate
    before, after = position - 1, position + sure
    known = np.maximum(before, 0)
    interval = usual[np.minimum(known, len(usual) - 1)]
    since = (place - beats[known]) / interval
    until = (beats[np.minimum(after, len(beats) - 1)] - place) / interval
    since[before < 0] = 1.0
    until[after >= len(beats)] = 1.0
    out = np.empty((len(place), 3))
    np.minimum(np.maximum(since + until, 0.5), 3.0, out=out[:, 0])
    np.minimum(np.maximum(np.minimum(since, until), 0.2), 1.0, out=out[:, 1])
    np.minimum(np.maximum(since, 0.2), 1.0, out=out[:, 2])
    return np.log(out, out=out)


def choose_beats(candidates: Candidates, similar: NDArray[np.floating], weights: EvidenceWeights) -> NDArray[np.bool_]:
    """True [candidates] for heartbeats.

    First every candidate is judged by its looks; those that pass are the sure beats, which say where others are to be
    expected (a candidate in a pause needs less, one between two regular beats more), and all are judged again.

    Args:
        candidates: peaks of the energy.
        similar: float [candidates, ranks], of `similarities` for `RANKS`.
        weights: of the two regressions.
    """
    alone = looks(candidates, similar)
    by_looks, by_both, by_rhythm = _vectors(weights)
    sure = alone @ by_looks > -weights.looks[-1]
    both = alone @ by_both + rhythm(candidates.place, sure) @ by_rhythm
    return np.asarray(both > -weights.both[-1])


@lru_cache(maxsize=8)
def _vectors(weights: EvidenceWeights) -> tuple[NDArray[np.float64], ...]:
    """Weights of the looks alone, and of looks and rhythm together."""
    both = np.array(weights.both[:-1])
    return np.array(weights.looks[:-1]), both[: len(FEATURES)], both[len(FEATURES) :]


def is_regular(beats: NDArray[np.int64]) -> bool:
    """Fast rhythms leave no quiet time between beats, but they are regular, which noise is not."""
    intervals = np.diff(beats)
    return len(intervals) >= 4 and float(np.std(intervals)) < _LARGEST_SPREAD * float(np.mean(intervals))
