"""Tokens kept without their empty slots: most recordings have more slots than beats."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.lazy_rows import LazyRows
from clear_hug.data.shards import Shards

__all__ = ["PackedRows"]


class PackedRows(LazyRows):
    """The tokens of a store that keeps them so, put into their slots when they are asked for.

    Args:
        shards: float32 [L beats, S] each, recording after recording, in each of them lead after lead.
        beat_start: int64 [R + 1], beats of all recordings before, counted over all shards.
        shape: R, L, T, S.
    """

    def __init__(self, shards: Shards, beat_start: NDArray[np.int64], shape: tuple[int, int, int, int]) -> None:
        super().__init__(shape, np.dtype(np.float32))
        self._shards, self._beat_start = shards, beat_start

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """See `LazyRows.take`."""
        return self.take_leads(rows, slice(None))

    def take_leads(self, rows: NDArray[np.int64], leads: NDArray[np.int64] | slice) -> NDArray[Any]:
        """See `LazyRows.take_leads`."""
        _, every, slots, samples = self.shape
        width = every if isinstance(leads, slice) else len(leads)
        out = np.zeros((len(rows), width, slots, samples), dtype=np.float32)  # [n, L, T, S]
        shards = self._shards.of(rows)
        base = self._beat_start[self._shards.starts[shards]]
        start, stop = self._beat_start[rows] - base, self._beat_start[rows + 1] - base
        places = zip(out, shards.tolist(), start.tolist(), stop.tolist(), strict=True)
        for row, shard, first, last in places:
            held = self._shards[shard][every * first : every * last].reshape(every, last - first, samples)
            row[:, : last - first] = held[leads]
        return out
