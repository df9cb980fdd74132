"""What a data loader gives: tokens ready-made, or signals from which they are cut on the training device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from clear_hug.amplitude import amplitude_features
from clear_hug.data.cut_on_device import cut_on_device

__all__ = ["BeatBatch", "SignalBatch"]

_Batch = TypeVar("_Batch", bound="BeatBatch | SignalBatch")


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

    @property
    def amplitude(self) -> Tensor:
        """float32 [B, L, T, 3], mean, standard deviation and peak-to-peak of every token, mV; 0 where there is no beat.

        For models that standardise their tokens; those of this package take them by ``CLEARConfig(amplitude=True)``.
        """
        return amplitude_features(self.tokens)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> BeatBatch:
        """The same batch on another device."""
        return _each(self, lambda part: part.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> BeatBatch:
        """The same batch in page-locked memory; `DataLoader(pin_memory=True)` calls this."""
        return _each(self, Tensor.pin_memory)


@dataclass(frozen=True, eq=False)
class SignalBatch:
    """B recordings of up to N samples, whose tokens are not cut yet: a tenth of the bytes to move.

    Attributes:
        samples: int16 [B, N + 1, L], zero beyond each recording's end; the last sample is always zero.
        length: int64 [B], samples in each recording.
        gain: float32 [B, L], mV per step.
        r_index: int64 [B, T], R peaks in samples, -1 in empty slots.
        valid: bool [B, L, T], True where there is a beat.
        seconds: int64 [B, T], 1 + the second of the R peak, 0 in empty slots.
        labels: float32 [B, C] of 0 and 1, or None without a task.
        row: int64 [B], row of each recording in its store.
        beat_samples: S.
    """

    samples: Tensor
    length: Tensor
    gain: Tensor
    r_index: Tensor
    valid: Tensor
    seconds: Tensor
    labels: Tensor | None
    row: Tensor
    beat_samples: int

    def __len__(self) -> int:
        return len(self.row)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> SignalBatch:
        """The same batch on another device."""
        return _each(self, lambda part: part.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> SignalBatch:
        """The same batch in page-locked memory; `DataLoader(pin_memory=True)` calls this."""
        return _each(self, Tensor.pin_memory)

    def cut(self) -> BeatBatch:
        """The tokens, cut where the signals are."""
        tokens = cut_on_device(self.samples, self.length, self.gain, self.r_index, self.valid, self.beat_samples)
        return BeatBatch(tokens, self.valid, self.seconds, self.labels, self.row)


def _each(batch: _Batch, change: Callable[[Tensor], Tensor]) -> _Batch:
    values: dict[str, Any] = {item.name: getattr(batch, item.name) for item in fields(batch)}
    changed: dict[str, Any] = {name: change(value) for name, value in values.items() if isinstance(value, Tensor)}
    return replace(batch, **changed)
