"""Random changes of recordings that do not depend on workers, ranks or batches: each has its own generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clear_hug.data.batch import BeatBatch, SignalBatch

__all__ = ["Augment", "generators", "on_each_record"]

Batch = TypeVar("Batch", BeatBatch, SignalBatch)
Augment = Callable[[Batch, Sequence[np.random.Generator]], Batch]
"""Changes a batch, given one generator per recording in it; returns the changed batch (`dataclasses.replace`)."""


def generators(seed: int, epoch: int, rows: NDArray[np.integer] | Sequence[int]) -> list[np.random.Generator]:
    """One generator per row of the store; the same (seed, epoch, row) draws the same numbers, wherever and whenever."""
    return [np.random.default_rng((seed, epoch, int(row))) for row in rows]


def on_each_record(change: Callable[[Tensor, Tensor, np.random.Generator], Tensor]) -> Augment[BeatBatch]:
    """An augmentation of batches from one of single recordings.

    Args:
        change: gets tokens float32 [L, T, S], valid bool [L, T] and a generator; returns the new tokens. What is not
            valid becomes zero again.
    """

    def augment(batch: BeatBatch, rngs: Sequence[np.random.Generator]) -> BeatBatch:
        if not isinstance(batch, BeatBatch):
            raise TypeError(f"on_each_record changes tokens, not a {type(batch).__name__}; use it without cut_later")
        changed = [change(*given) for given in zip(batch.tokens, batch.valid, rngs, strict=True)]
        tokens = torch.stack(changed).to(batch.tokens.dtype) * batch.valid[..., None]
        return BeatBatch(tokens, batch.valid, batch.seconds, batch.labels, batch.row)

    return augment
