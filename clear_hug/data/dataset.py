"""A store as a PyTorch data set: whole batches by one indexing of the memory map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from clear_hug.data.augment import Augment, generators
from clear_hug.data.batch import BeatBatch, SignalBatch
from clear_hug.data.fractions import SAMPLINGS, sample_fraction
from clear_hug.data.store import SPLITS, BeatStore
from clear_hug.leads import canonical_leads

__all__ = ["BeatBatch", "BeatDataset", "SignalBatch"]


class BeatDataset(Dataset[Any]):
    """The usable recordings of a store, or of one split of it, or those with labels for a task.

    Flagged recordings are left out, and with a task those without a label in it. Give `collate` to a `DataLoader`:

        loader = DataLoader(dataset, batch_size=256, shuffle=True, collate_fn=dataset.collate)
        for batch in loader:  # BeatBatch
            ...

    From a store of signals, the tokens can be cut on the training device, so that a tenth of the bytes is moved:

        dataset = BeatDataset(store, cut_later=True)
        for batch in loader:  # SignalBatch
            batch = batch.to("cuda", non_blocking=True).cut()  # BeatBatch

    Args:
        store: an open store.
        split: "train", "val", "test", or None for all.
        task: whose labels come along; None for none (pre-training).
        leads: a subset of the store's leads, in any order; None for all. The store itself is not changed or copied.
        fraction: share of the recordings to keep.
        seed: of that choice and of the augmentation.
        sampling: how that share is drawn: "stratified" (by the task's classes, nested for one seed) or "official" (as
            published: uniformly, not nested); see `clear_hug.data.fractions`.
        augment: changes every batch, with one generator per recording that depends on (seed, epoch, row) only; see
            `set_epoch`. With `cut_later` it gets signals.
        cut_later: give `SignalBatch`es, from a store of signals.

    Attributes:
        rows: int64 [n], the rows of the store that belong to this data set.

    Raises:
        ValueError: an unknown split, task or sampling, leads the store does not have, a fraction outside (0, 1], no
            recording left, or `cut_later` with a store of tokens.
    """

    def __init__(
        self,
        store: BeatStore,
        *,
        split: str | None = None,
        task: str | None = None,
        leads: Sequence[str] | None = None,
        fraction: float = 1.0,
        seed: int = 0,
        sampling: str = "stratified",
        augment: Augment[Any] | None = None,
        cut_later: bool = False,
    ) -> None:
        if split is not None and split not in SPLITS:
            raise ValueError(f"unknown split {split!r}; choose one of {', '.join(SPLITS)}, or None for all recordings")
        if sampling not in SAMPLINGS:
            raise ValueError(f"unknown sampling {sampling!r}; choose one of {', '.join(SAMPLINGS)}")
        if cut_later:
            _ = store.signals  # raises where there are none
        self.store = store
        self.task = task
        self.seed = seed
        self.augment = augment
        self.cut_later = cut_later
        # Shared, so that the workers of a loader that keeps them see it change.
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()
        self.leads = store.leads if leads is None else canonical_leads(leads)
        self._columns = _lead_columns(store, self.leads)
        chosen = np.array(store.usable)
        if split is not None:
            chosen &= store.split == SPLITS[split]
        self._labels = None if task is None else np.array(store.labels(task))
        if task is not None:
            chosen &= store.labelled(task)
        self.rows: NDArray[np.int64] = np.flatnonzero(chosen)
        if not len(self.rows):
            wanted = f"split {split!r}" + (f" with labels for task {task!r}" if task else "")
            raise ValueError(f"{store.path} has no usable recording in {wanted}; see the flags in its records.csv")
        if fraction != 1.0:
            labels = np.zeros((len(self.rows), 0), np.uint8) if self._labels is None else self._labels[self.rows]
            self.rows = self.rows[sample_fraction(labels, fraction, seed, sampling)]

    def __len__(self) -> int:
        return len(self.rows)

    def set_epoch(self, epoch: int) -> None:
        """Which numbers the augmentation draws from now on, in the workers of a running `DataLoader` too."""
        self._epoch[0] = epoch

    def __getitem__(self, index: int) -> BeatBatch | SignalBatch:
        """The recording at one position of `rows`, as a batch of one."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} in a data set of {len(self)} recordings")
        return self.load_batch(self.rows[[index]])

    def __getitems__(self, indices: Sequence[int]) -> BeatBatch | SignalBatch:
        """Recordings at several positions of `rows`; `DataLoader` asks for whole batches this way."""
        return self.load_batch(self.rows[np.asarray(indices, dtype=np.int64)])

    @staticmethod
    def collate(batch: BeatBatch | SignalBatch) -> BeatBatch | SignalBatch:
        """`collate_fn` for a `DataLoader`: batches come ready-made."""
        return batch

    def load_batch(self, rows: NDArray[np.integer] | Sequence[int]) -> BeatBatch | SignalBatch:
        """Read rows of the store, and augment them.

        Args:
            rows: [B] row numbers of the store (not positions in this data set), in any order.
        """
        wanted: NDArray[np.int64] = np.asarray(rows, dtype=np.int64)
        batch = self._signals(wanted) if self.cut_later else self._tokens(wanted)
        if self.augment is None:
            return batch
        changed: BeatBatch | SignalBatch = self.augment(batch, generators(self.seed, int(self._epoch), wanted))
        return changed

    def _tokens(self, rows: NDArray[np.int64]) -> BeatBatch:
        tokens = self.store.tokens
        read = tokens[rows] if self._columns is None else tokens.of_leads(rows, self._columns)  # [B, L, T, S]
        return BeatBatch(torch.from_numpy(np.ascontiguousarray(read)), *self._common(rows))

    def _signals(self, rows: NDArray[np.int64]) -> SignalBatch:
        samples, length, gain = self.store.signals.take(rows)
        if self._columns is not None:
            samples, gain = samples[:, :, self._columns], gain[:, self._columns]
        return SignalBatch(
            torch.from_numpy(np.ascontiguousarray(samples)),
            torch.from_numpy(length),
            torch.from_numpy(np.ascontiguousarray(gain)),
            torch.from_numpy(self.store.r_index[rows].astype(np.int64)),
            *self._common(rows),
            beat_samples=int(self.store.manifest["beat_samples"]),
        )

    def _common(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
        """valid, seconds, labels, row."""
        valid = self.store.valid[rows]
        if self._columns is not None:
            valid = valid[:, self._columns]
        return (
            torch.from_numpy(np.ascontiguousarray(valid)),
            torch.from_numpy(self.store.seconds[rows].astype(np.int64)),
            None if self._labels is None else torch.from_numpy(self._labels[rows].astype(np.float32)),
            torch.from_numpy(rows),
        )


def _lead_columns(store: BeatStore, leads: tuple[str, ...]) -> NDArray[np.int64] | None:
    """Columns of the leads in the store; None when they are all of them, in order."""
    if leads == store.leads:
        return None
    absent = [lead for lead in leads if lead not in store.leads]
    if absent or not leads:
        raise ValueError(
            f"{store.path} has no lead {' '.join(absent) or '(none asked for)'}; it has {' '.join(store.leads)}"
        )
    return np.array([store.leads.index(lead) for lead in leads], dtype=np.int64)
