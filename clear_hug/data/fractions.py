"""A share of a training set: one that keeps the frequencies of all classes, or one drawn as published.

The stratified one is nested: for one seed, smaller shares lie inside larger ones. The published one ("random" in the
authors' scripts) takes the whole number of records below the share, uniformly, whatever their classes; it is not
nested, and rare classes may be missing from it.
"""

from __future__ import annotations

import math
import random

import numpy as np
from numpy.typing import NDArray

__all__ = ["SAMPLINGS", "official_fraction", "sample_fraction", "stratified_order", "take_fraction"]

SAMPLINGS = ("stratified", "official")


def sample_fraction(
    labels: NDArray[np.integer], fraction: float, seed: int, sampling: str = "stratified"
) -> NDArray[np.int64]:
    """Positions of a share of the records, in increasing order, by `take_fraction` or `official_fraction`.

    Args:
        labels: [n, C] of 0 and 1.
        fraction: share to take, above 0 up to 1; at least one record is taken.
        seed: of the drawing.
        sampling: "stratified" or "official".

    Raises:
        ValueError: an unknown sampling, or `fraction` outside (0, 1].
    """
    if sampling not in SAMPLINGS:
        raise ValueError(f"unknown sampling {sampling!r}; choose one of {', '.join(SAMPLINGS)}")
    if sampling == "official":
        return official_fraction(len(labels), fraction, seed)
    return take_fraction(labels, fraction, seed)


def official_fraction(count: int, fraction: float, seed: int) -> NDArray[np.int64]:
    """Positions of `int(fraction * count)` of the records, drawn uniformly by Python's generator, increasing.

    Args:
        count: records.
        fraction: share to take, above 0 up to 1; at least one record is taken.
        seed: of the drawing. The state of the published runs' generator is not known: the rule is theirs, not the draw.

    Raises:
        ValueError: `fraction` outside (0, 1].
    """
    _check(fraction)
    size = min(count, max(1, int(count * fraction)))
    return np.sort(np.array(random.Random(seed).sample(range(count), size), dtype=np.int64))


def take_fraction(labels: NDArray[np.integer], fraction: float, seed: int) -> NDArray[np.int64]:
    """Positions of a stratified subset, in increasing order.

    Args:
        labels: [n, C] of 0 and 1.
        fraction: share to take, above 0 up to 1; at least one record is taken.
        seed: of the drawing; one seed gives nested subsets (the 1 % lies inside the 10 %).

    Raises:
        ValueError: `fraction` outside (0, 1].
    """
    _check(fraction)
    count = min(len(labels), max(1, round(fraction * len(labels))))
    return np.sort(stratified_order(labels, seed)[:count])


def stratified_order(labels: NDArray[np.integer], seed: int) -> NDArray[np.int64]:
    """An order of which every beginning has the class frequencies of the whole, as nearly as whole records allow.

    Greedy, after the iterative stratification of Sechidis et al. 2011 (doi.org/10.1007/978-3-642-23808-6_10): the
    next record is one of the class that has fallen furthest behind its share; among that class's remaining records,
    taken in seeded random order.

    Args:
        labels: [n, C] of 0 and 1; records without any class are treated as a class of their own.
        seed: of the random order.

    Returns:
        int64 [n], a permutation.
    """
    known = np.asarray(labels, dtype=bool)
    known = np.concatenate((known, ~known.any(axis=1, keepdims=True)), axis=1)  # [n, C + 1]
    total = len(known)
    shuffled = np.random.default_rng(seed).permutation(total)
    waiting = [shuffled[known[shuffled, column]] for column in range(known.shape[1])]
    share = known.sum(axis=0) / max(total, 1)  # of each class, per record taken
    cursor = [0] * len(waiting)
    have = np.zeros(len(waiting))
    taken = np.zeros(total, dtype=bool)
    order = np.empty(total, dtype=np.int64)
    for place in range(total):
        behind = np.where(share > 0, (place + 1) * share - have, -np.inf)
        while True:
            column = int(behind.argmax())
            queue, at = waiting[column], cursor[column]
            while at < len(queue) and taken[queue[at]]:
                at += 1
            cursor[column] = at
            if at < len(queue):
                break
            behind[column] = -np.inf
        record = queue[at]
        taken[record] = True
        have += known[record]
        order[place] = record
    return order


def _check(fraction: float) -> None:
    if not (math.isfinite(fraction) and 0 < fraction <= 1):
        raise ValueError(f"fraction={fraction} must be above 0 and at most 1; 0.1 takes 10 %")
