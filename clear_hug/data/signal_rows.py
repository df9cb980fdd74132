"""Signals kept as int16: how they are rounded, and how a batch of them is read."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clear_hug.data import native
from clear_hug.data.lazy_rows import LazyRows
from clear_hug.data.shards import Shards

__all__ = ["LARGEST", "CutRows", "SignalRows", "StoredSignal", "quantise"]

LARGEST = np.iinfo(np.int16).max


class StoredSignal(NamedTuple):
    """One recording: int16 [n, L] samples, and float32 [L] mV per step."""

    samples: NDArray[np.int16]
    gain: NDArray[np.float32]


class SignalRows(NamedTuple):
    """B recordings of up to N samples.

    Attributes:
        samples: int16 [B, N + 1, L], zero beyond each recording's length; the last sample is always zero.
        length: int64 [B], samples in each recording.
        gain: float32 [B, L], mV per step.
    """

    samples: NDArray[np.int16]
    length: NDArray[np.int64]
    gain: NDArray[np.float32]


def quantise(signal: NDArray[np.floating]) -> StoredSignal:
    """Round each lead to 65535 steps over its own range; no sample moves by more than half of `gain`.

    Args:
        signal: float [n, L], mV, finite.
    """
    rows = np.ascontiguousarray(signal.T, dtype=np.float32)  # [L, n]
    if native.KERNELS is not None and rows.size:
        return StoredSignal(*native.KERNELS.quantise(rows))
    largest = np.maximum(rows.max(axis=1, initial=0.0), -rows.min(axis=1, initial=0.0))
    gain = np.where(largest > 0, largest / np.float32(LARGEST), np.float32(1.0))
    gain = np.maximum(gain, np.finfo(np.float32).tiny)
    steps = np.rint(np.clip(rows / gain[:, None].astype(np.float64), -LARGEST, LARGEST))
    return StoredSignal(np.ascontiguousarray(steps.T, dtype=np.int16), gain)


class SignalShards:
    """The signals of a store: R recordings of any length, one after another in shards.

    Args:
        shards: int16 [samples, L] each.
        offsets: int64 [R + 1], where each recording begins, counted over all shards.
        gain: float32 [R, L].
    """

    def __init__(self, shards: Shards, offsets: NDArray[np.int64], gain: NDArray[np.float32]) -> None:
        self._shards = shards
        self._offsets = offsets
        self._gain = gain

    def one(self, row: int) -> StoredSignal:
        """One recording, as a view of its file."""
        shard = int(self._shards.of(row))
        base = self._offsets[self._shards.starts[shard]]
        return StoredSignal(
            self._shards[shard][self._offsets[row] - base : self._offsets[row + 1] - base], self._gain[row]
        )

    def cut(
        self, rows: NDArray[np.int64], r_index: NDArray[np.int32], valid: NDArray[np.bool_], beat_samples: int
    ) -> NDArray[np.float32]:
        """Tokens [n, L, T, S] of several recordings [n], straight from the files; with compiled kernels only.

        Args:
            rows: [n].
            r_index: int32 [R, T], of all recordings.
            valid: bool [R, L, T], of all recordings.
            beat_samples: S.
        """
        tokens = np.empty((len(rows), *valid.shape[1:], beat_samples), dtype=np.float32)
        spans = (self._offsets[:-1], self._offsets[1:], self._gain, r_index, valid)
        for shard, mine in self._shards.groups(rows):
            base = int(self._offsets[self._shards.starts[shard]])
            native.KERNELS.cut_stored(self._shards[shard], base, *spans, rows[mine], mine, tokens)
        return tokens

    def take(self, rows: NDArray[np.int64]) -> SignalRows:
        """A copy of several recordings."""
        length = np.asarray(self._offsets[rows + 1] - self._offsets[rows])
        gain = np.asarray(self._gain[rows])
        samples = np.zeros((len(rows), int(length.max(initial=0)) + 1, gain.shape[1]), dtype=np.int16)
        for place, row in enumerate(rows):
            samples[place, : length[place]] = self.one(int(row)).samples
        return SignalRows(samples, length, gain)


class CutRows(LazyRows):
    """The tokens of a store of signals, cut when they are asked for.

    Args:
        signals: of the store.
        r_index: int32 [R, T].
        valid: bool [R, L, T].
        beat_samples: S.
    """

    def __init__(
        self,
        signals: SignalShards,
        r_index: NDArray[np.int32],
        valid: NDArray[np.bool_],
        beat_samples: int,
    ) -> None:
        super().__init__((*valid.shape, beat_samples), np.dtype(np.float32))
        self._signals, self._r_index, self._valid = signals, r_index, valid

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """See `LazyRows.take`."""
        if native.KERNELS is not None:
            return self._signals.cut(rows, self._r_index, self._valid, self.shape[-1])
        from clear_hug.data.cut_on_device import cut_rows  # PyTorch, which a store of tokens does without

        return cut_rows(self._signals.take(rows), self._r_index[rows], self._valid[rows], self.shape[-1])
