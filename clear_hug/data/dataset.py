"""A store as a PyTorch data set: whole batches by one indexing of the memory map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from clear_hug.data.fractions import take_fraction
from clear_hug.data.store import SPLITS, BeatStore
from clear_hug.leads import canonical_leads

__all__ = ["BeatBatch", "BeatDataset"]


@dataclass(frozen=True, eq=False)
class BeatBatch:
    """B recordings with L leads, T beat slots per lead, S samples per token, C classes.

    Attributes:
        tokens: float32 [B, L, T, S], mV, R peak at sample S//2, zero in padding.
        valid: bool [B, L, T], True where there is a beat.
        seconds: int64 [B, T], 1 + the second of the R peak, 0 in empty slots.
        labels: float32 [B, C] of 0 and 1, or None without a task.
        row: int64 [B], row of each recording in its store.
    """

    tokens: Tensor
    valid: Tensor
    seconds: Tensor
    labels: Tensor | None
    row: Tensor

    def __len__(self) -> int:
        return len(self.row)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> BeatBatch:
        """The same batch on another device."""
        return self._map(lambda part: part.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> BeatBatch:
        """The same batch in page-locked memory; `DataLoader(pin_memory=True)` calls this."""
        return self._map(Tensor.pin_memory)

    def _map(self, change: Callable[[Tensor], Tensor]) -> BeatBatch:
        labels = None if self.labels is None else change(self.labels)
        return BeatBatch(change(self.tokens), change(self.valid), change(self.seconds), labels, change(self.row))


class BeatDataset(Dataset[BeatBatch]):
    """The usable recordings of a store, or of one split of it, or those with labels for a task.

    Flagged recordings are left out, and with a task those without a label in it. Give `collate` to a `DataLoader`:

        loader = DataLoader(dataset, batch_size=256, shuffle=True, collate_fn=dataset.collate)
        for batch in loader:  # BeatBatch
            ...

    Args:
        store: an open store.
        split: "train", "val", "test", or None for all.
        task: whose labels come along; None for none (pre-training).
        leads: a subset of the store's leads, in any order; None for all.
        fraction: share of the recordings to keep, stratified by the task's classes, nested for one seed.
        seed: of that choice.

    Attributes:
        rows: int64 [n], the rows of the store that belong to this data set.

    Raises:
        ValueError: an unknown split or task, leads the store does not have, a fraction outside (0, 1], or no
            recording left.
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
    ) -> None:
        if split is not None and split not in SPLITS:
            raise ValueError(f"unknown split {split!r}; choose one of {', '.join(SPLITS)}, or None for all recordings")
        self.store = store
        self.task = task
        self.leads = store.leads if leads is None else canonical_leads(leads)
        self._columns = _lead_columns(store, self.leads)
        chosen = np.array(store.usable)
        if split is not None:
            chosen &= store.split == SPLITS[split]
        self._labels = None if task is None else store.labels(task)
        if task is not None:
            chosen &= store.labelled(task)
        self.rows: NDArray[np.int64] = np.flatnonzero(chosen)
        if not len(self.rows):
            wanted = f"split {split!r}" + (f" with labels for task {task!r}" if task else "")
            raise ValueError(f"{store.path} has no usable recording in {wanted}; see the flags in its records.csv")
        if fraction != 1.0:
            labels = np.zeros((len(self.rows), 0), np.uint8) if self._labels is None else self._labels[self.rows]
            self.rows = self.rows[take_fraction(labels, fraction, seed)]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> BeatBatch:
        """The recording at one position of `rows`, as a batch of one."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} in a data set of {len(self)} recordings")
        return self.load_batch(self.rows[[index]])

    def __getitems__(self, indices: Sequence[int]) -> BeatBatch:
        """Recordings at several positions of `rows`; `DataLoader` asks for whole batches this way."""
        return self.load_batch(self.rows[np.asarray(indices, dtype=np.int64)])

    @staticmethod
    def collate(batch: BeatBatch) -> BeatBatch:
        """`collate_fn` for a `DataLoader`: batches come ready-made."""
        return batch

    def load_batch(self, rows: NDArray[np.integer] | Sequence[int]) -> BeatBatch:
        """Read rows of the store.

        Args:
            rows: [B] row numbers of the store (not positions in this data set), in any order.
        """
        rows = np.asarray(rows, dtype=np.int64)
        tokens, valid = self.store.tokens[rows], self.store.valid[rows]  # [B, L, T, S], [B, L, T]
        if self._columns is not None:
            tokens, valid = tokens[:, self._columns], valid[:, self._columns]
        labels = None if self._labels is None else torch.from_numpy(self._labels[rows].astype(np.float32))
        return BeatBatch(
            tokens=torch.from_numpy(np.ascontiguousarray(tokens)),
            valid=torch.from_numpy(np.ascontiguousarray(valid)),
            seconds=torch.from_numpy(self.store.seconds[rows].astype(np.int64)),
            labels=labels,
            row=torch.from_numpy(rows),
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
