"""From a store of beats to batches on a device: which rows, in which order, masked how; all follows from the seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from clear_hug.data.lazy_rows import LazyRows

TRAIN, VALIDATION, TEST = 0, 1, 2
SPLIT_NAMES = {TRAIN: "train", VALIDATION: "validation", TEST: "test"}

Rows = NDArray[np.int64]


class BeatData(Protocol):
    """What training reads of a `clear_hug.data.store.BeatStore`."""

    @property
    def tokens(self) -> NDArray[np.float32] | LazyRows:
        """[R, L, T, S] in mV."""

    @property
    def valid(self) -> NDArray[np.bool_]:
        """[R, L, T]."""

    @property
    def seconds(self) -> NDArray[Any]:
        """[R, T], 1 + floor(seconds of the R peak), 0 for padding."""

    @property
    def split(self) -> NDArray[np.int8]:
        """[R], 0 train, 1 validation, 2 test, -1 unassigned."""

    @property
    def flags(self) -> Sequence[str]:
        """Why a record is unusable; empty where it is fine."""

    @property
    def manifest(self) -> dict[str, Any]:
        """Settings and source of the store."""


class Batch(NamedTuple):
    """Beats on a device: tokens [B, L, T, S] mV, valid [B, L, T], seconds [B, T]."""

    tokens: torch.Tensor
    valid: torch.Tensor
    seconds: torch.Tensor


def usable_rows(store: BeatData) -> NDArray[np.bool_]:
    """Bool [R]: records with at least one beat, i.e. not flagged."""
    usable: NDArray[np.bool_] = np.any(store.valid, axis=(1, 2))
    return usable


def split_rows(store: BeatData, split: int) -> Rows:
    """Indices of the usable records of one split."""
    return np.flatnonzero(usable_rows(store) & (np.asarray(store.split) == split))


def epoch_order(rows: Rows, seed: int, epoch: int) -> Rows:
    """The order in which an epoch goes through `rows`; depends on nothing but the arguments."""
    return np.random.default_rng((seed, epoch)).permutation(rows)


def mask_generator(
    seed: int, step: int, rank: int = 0, stream: int = TRAIN, device: torch.device | None = None
) -> torch.Generator:
    """The generator that draws one step's masks; every (seed, rank, step, stream) has its own.

    Args:
        seed: of the run.
        step: optimiser step.
        rank: of the process, where several train together.
        stream: `TRAIN`, or `VALIDATION` for the masks that stay the same.
        device: where the masks are drawn, so that no step waits for a copy; CPU if None. Devices differ in their draws.
    """
    word = np.random.SeedSequence((seed, rank, step), spawn_key=(stream,)).generate_state(1, np.uint64)[0]
    return torch.Generator(device or "cpu").manual_seed(int(word >> np.uint64(1)))


def read_batch(store: BeatData, rows: Rows, pin: bool = False) -> Batch:
    """Copy rows out of the memory map into CPU tensors.

    Args:
        store: the beats.
        rows: int [B].
        pin: page-lock the tensors, so that copying them to a GPU does not wait.
    """
    tokens = torch.from_numpy(np.ascontiguousarray(store.tokens[rows], dtype=np.float32))  # [B, L, T, S]
    valid = torch.from_numpy(np.ascontiguousarray(store.valid[rows], dtype=bool))  # [B, L, T]
    seconds = torch.from_numpy(np.ascontiguousarray(store.seconds[rows], dtype=np.int64))  # [B, T]
    batch = Batch(tokens, valid, seconds)
    return Batch(*(t.pin_memory() for t in batch)) if pin else batch


def batches(store: BeatData, rows: Rows, size: int, device: torch.device, first: int = 0) -> Iterator[Batch]:
    """Batches of `rows` in their order, the next one read by a thread while one is in use.

    Args:
        store: the beats.
        rows: int [n].
        size: rows per batch; the last one may be smaller.
        device: where the tensors go.
        first: batches to leave out at the start.
    """
    pin = device.type == "cuda"
    parts = [rows[start : start + size] for start in range(first * size, len(rows), size)]
    with ThreadPoolExecutor(max_workers=1) as reader:
        coming = [reader.submit(read_batch, store, part, pin) for part in parts[:1]]
        for k in range(len(parts)):
            batch = coming.pop().result()
            if k + 1 < len(parts):
                coming.append(reader.submit(read_batch, store, parts[k + 1], pin))
            yield Batch(*(t.to(device, non_blocking=pin) for t in batch))
