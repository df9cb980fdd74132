"""Memory-mapped arrays of consecutive rows, opened when a row of theirs is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Shards"]


class Shards:
    """The files that R rows are divided into.

    Args:
        load: gives the array of each shard; called once for a shard.
        starts: first row of each shard, from 0 on, increasing.
    """

    def __init__(self, load: Callable[[int], NDArray[Any]], starts: Sequence[int]) -> None:
        self._load = load
        self.starts: NDArray[np.int64] = np.asarray(starts, dtype=np.int64)
        self._open: dict[int, NDArray[Any]] = {}

    def __getitem__(self, shard: int) -> NDArray[Any]:
        if shard not in self._open:
            self._open[shard] = self._load(shard)
        return self._open[shard]

    def of(self, rows: NDArray[np.integer] | int) -> NDArray[np.int64]:
        """The shard of each row."""
        return np.asarray(self.starts.searchsorted(rows, side="right") - 1)

    def groups(self, rows: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Each shard that some of the rows [n] lie in, and their places among the rows."""
        if len(self.starts) == 1 or not len(rows):
            yield 0, np.arange(len(rows))
            return
        shards = self.of(rows)
        if len(rows) == 1:
            yield int(shards[0]), np.zeros(1, dtype=np.int64)
            return
        order = np.argsort(shards, kind="stable")
        ordered = shards[order]
        edges = (np.flatnonzero(ordered[1:] != ordered[:-1]) + 1).tolist()
        for first, last in pairwise((0, *edges, len(rows))):
            yield int(ordered[first]), order[first:last]
