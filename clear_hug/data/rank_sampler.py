"""Which recordings each of several processes reads, none of them twice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

__all__ = ["RankSampler"]


class RankSampler(Sampler[int]):
    """Positions 0 … size - 1, dealt to the processes in turn.

    Over all ranks every position occurs exactly once: `torch.utils.data.DistributedSampler` repeats some, so that
    metrics over its batches count recordings twice. Ranks may then differ by one recording; where they train in step
    with each other, `even` leaves the last few of each epoch's order out instead.

        sampler = RankSampler(len(dataset), rank, world_size, shuffle=True, seed=0, even=True)
        loader = DataLoader(dataset, batch_size=256, sampler=sampler, collate_fn=dataset.collate)
        for epoch in range(epochs):
            sampler.set_epoch(epoch)

    Args:
        size: number of recordings, on every rank the same.
        rank: of this process, `torch.distributed.get_rank()`.
        world_size: processes, `torch.distributed.get_world_size()`.
        shuffle: draw an order by (seed, epoch); else positions go up.
        seed: of that order, on every rank the same.
        even: give every rank `size // world_size` positions.

    Raises:
        ValueError: a rank outside [0, world_size), or a negative size.
    """

    def __init__(
        self, size: int, rank: int = 0, world_size: int = 1, *, shuffle: bool = False, seed: int = 0, even: bool = False
    ) -> None:
        if world_size < 1 or not 0 <= rank < world_size:
            raise ValueError(f"rank={rank} must be in [0, world_size={world_size})")
        if size < 0:
            raise ValueError(f"size={size} must be 0 or more")
        self.size, self.rank, self.world_size = size, rank, world_size
        self.shuffle, self.seed, self.even = shuffle, seed, even
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Which order the next pass has."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        order = np.arange(self.size)
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(self.size)
        return iter(order[self.rank :: self.world_size][: len(self)].tolist())

    def __len__(self) -> int:
        if self.even:
            return self.size // self.world_size
        return len(range(self.rank, self.size, self.world_size))
