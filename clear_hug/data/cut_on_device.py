"""Tokens out of stored signals by one gather, on whatever device the signals are; by a compiled kernel on a CPU."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clear_hug.data import native
from clear_hug.data.signal_rows import SignalRows

__all__ = ["cut_on_device", "cut_rows"]


def cut_on_device(
    samples: Tensor, length: Tensor, gain: Tensor, r_index: Tensor, valid: Tensor, beat_samples: int
) -> Tensor:
    """Cut one token per beat and lead, as `clear_hug.data.tokens.cut_tokens` does.

    A beat reaches from half-way to the R peak before it to half-way to the next one, and at most to the ends of its
    token; the first beat reaches to the start of its recording, the last one to its end.

    Args:
        samples: [B, N + 1, L], int16 or float; the last sample of every recording is zero.
        length: int64 [B], samples in each recording, at most N.
        gain: float32 [B, L], mV per step.
        r_index: int [B, T], R peaks, increasing, -1 in empty slots at the end.
        valid: bool [B, L, T].
        beat_samples: S.

    Returns:
        float32 [B, L, T, S], mV, the R peak at sample S//2, zero outside the beat and where `valid` is False.
    """
    if native.KERNELS is not None and samples.device.type == "cpu" and samples.dtype == torch.int16:
        return _cut_compiled(samples, length, gain, r_index, valid, beat_samples)
    batch, padded, leads = samples.shape
    slots = r_index.shape[1]
    peaks = r_index.long()  # [B, T]
    there = peaks >= 0
    following = torch.cat((peaks[:, 1:], peaks.new_full((batch, 1), -1)), dim=1)
    end = length[:, None].to(peaks)
    stop = torch.where(following >= 0, (peaks + following + 1) // 2, end)  # [B, T]
    start = torch.cat((torch.zeros_like(stop[:, :1]), stop[:, :-1]), dim=1)
    offsets = torch.arange(beat_samples, device=peaks.device) - beat_samples // 2
    index = peaks[..., None] + offsets  # [B, T, S]
    inside = (index >= start[..., None]) & (index < stop[..., None]) & there[..., None]
    index = torch.where(inside, index, padded - 1)  # the zero at the end stands for all that is outside
    index += padded * torch.arange(batch, device=peaks.device)[:, None, None]
    found = samples.reshape(batch * padded, leads).index_select(0, index.reshape(-1))  # [B T S, L]
    factor = gain[..., None] * valid  # [B, L, T]
    found = found.view(batch, slots, beat_samples, leads).permute(0, 3, 1, 2)  # [B, L, T, S]
    return (found.to(gain.dtype) * factor[..., None]).contiguous()


def _cut_compiled(
    samples: Tensor, length: Tensor, gain: Tensor, r_index: Tensor, valid: Tensor, beat_samples: int
) -> Tensor:
    """The same bits by the compiled kernel."""
    batch, padded, leads = samples.shape
    tokens = np.empty((*valid.shape, beat_samples), dtype=np.float32)
    every = np.arange(batch)
    begin = padded * every
    spans = (begin, begin + length.numpy(), gain.numpy(), r_index.numpy().astype(np.int32), valid.numpy())
    native.KERNELS.cut_stored(samples.numpy().reshape(-1, leads), 0, *spans, every, every, tokens)
    return torch.from_numpy(tokens)


def cut_rows(
    signals: SignalRows, r_index: NDArray[np.int32], valid: NDArray[np.bool_], beat_samples: int
) -> NDArray[np.float32]:
    """The same from and to NumPy arrays [B, ...], on the CPU; slots that are empty in all rows cost nothing."""
    used = int((r_index >= 0).sum(axis=1).max(initial=0))
    out = np.zeros((*valid.shape, beat_samples), dtype=np.float32)
    if used:
        samples, length, gain = map(torch.from_numpy, signals)
        peaks, there = map(torch.from_numpy, (r_index[:, :used], valid[:, :, :used]))
        out[:, :, :used] = cut_on_device(samples, length, gain, peaks, there, beat_samples).numpy()
    return out
