"""Heartbeat tokens: one window of samples per beat and lead, the R peak always at the same place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clear_hug.data import native

__all__ = ["BeatGrid", "cut_tokens", "seconds_of", "token_grid"]


class BeatGrid(NamedTuple):
    """The beats of one recording on the model's grid: L leads, T beat slots, S samples per token.

    Attributes:
        tokens: float32 [L, T, S], mV, the R peak at sample S//2, zero outside the beat and in empty slots.
        valid: bool [L, T], True where there is a beat.
        seconds: int32 [T], 1 + the second in which the R peak falls, 0 in empty slots.
        r_index: int32 [T], R peaks in samples at the tokens' rate, -1 in empty slots.
        beats_found: how many beats the recording had, kept or not.
        signal: float [n, L], mV, what the tokens were cut from, up to the end of the last kept beat; None where they
            cannot be cut again from it.
    """

    tokens: NDArray[np.float32]
    valid: NDArray[np.bool_]
    seconds: NDArray[np.int32]
    r_index: NDArray[np.int32]
    beats_found: int
    signal: NDArray[np.floating] | None = None


def cut_tokens(
    signal: NDArray[np.floating],
    r_index: NDArray[np.integer],
    *,
    fs: float,
    beats: int = 30,
    beat_samples: int = 150,
    flat_mv: float = 0.0,
) -> BeatGrid:
    """Cut one token per beat and lead.

    A beat reaches from half-way to the R peak before it to half-way to the next one, so that every sample belongs to
    one beat, and at most to the ends of its token; the first and the last beat reach to the end of the recording.

    Args:
        signal: float [n, L], mV, finite.
        r_index: [beats found], strictly increasing R peaks, samples.
        fs: rate of signal and indices, Hz.
        beats: T, slots per lead; later beats are not kept.
        beat_samples: S, samples per token.
        flat_mv: a beat that spans less than this in a lead, in mV, is not valid there: its electrode fell off.

    Returns:
        The grid; valid wherever there is a beat that is not flat.

    Raises:
        ValueError: a signal that is no finite [n, L] array, R peaks out of order or outside it, sizes below 1.
    """
    signal = np.asarray(signal)
    r_index = np.asarray(r_index, dtype=np.int64).reshape(-1)
    _check(signal, r_index, fs, beats, beat_samples)
    return token_grid(signal, r_index, fs, beats, beat_samples, flat_mv)


def token_grid(
    signal: NDArray[np.floating], r_index: NDArray[np.int64], fs: float, beats: int, beat_samples: int, flat_mv: float
) -> BeatGrid:
    """`cut_tokens` of what needs no check."""
    rows = np.ascontiguousarray(signal.T, dtype=np.float32)  # [L, n]
    used = 0
    if len(r_index):
        used = len(signal) if len(r_index) <= beats else int(r_index[beats - 1] + r_index[beats] + 1) // 2
    if native.KERNELS is not None:
        tokens, valid, seconds, padded = native.KERNELS.cut(rows, r_index, beats, beat_samples, flat_mv, fs)
    else:
        padded = np.full(beats, -1, dtype=np.int32)
        padded[: len(r_index)] = r_index[:beats]
        tokens, valid = _tokens(rows, r_index, beats, beat_samples, flat_mv)
        seconds = seconds_of(padded, fs)
    return BeatGrid(tokens, valid, seconds, padded, len(r_index), signal[:used])


def _tokens(
    rows: NDArray[np.float32], r_index: NDArray[np.int64], beats: int, beat_samples: int, flat_mv: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Tokens [L, T, S], and which are valid [L, T]."""
    before = beat_samples // 2
    kept = r_index[:beats]  # [k]
    middle = (r_index[:-1] + r_index[1:] + 1) // 2  # rounded up: an R peak always lies in its own beat
    stop = np.concatenate((middle, [rows.shape[1]]))[: len(kept)]  # [k] one past the last sample of each beat
    first = np.maximum(np.concatenate(([0], middle))[: len(kept)], kept - before)  # [k] of its token
    last = np.minimum(stop, kept - before + beat_samples)  # [k] one past it
    lively = _spans(rows, first, last) >= np.float32(flat_mv)  # [L, k]
    tokens = np.zeros((len(rows), beats, beat_samples), dtype=np.float32)
    for slot, (r, begin, end) in enumerate(zip(kept.tolist(), first.tolist(), last.tolist(), strict=True)):
        tokens[:, slot, begin - r + before : end - r + before] = rows[:, begin:end]
    if not lively.all():
        tokens[:, : len(kept)][~lively] = 0.0
    valid = np.zeros((len(rows), beats), dtype=bool)
    valid[:, : len(kept)] = lively
    return tokens, valid


def _spans(rows: NDArray[np.float32], start: NDArray[np.int64], stop: NDArray[np.int64]) -> NDArray[np.float32]:
    """Peak-to-peak [L, k] of the samples from `start` up to `stop`, which do not overlap."""
    if not len(start):
        return np.zeros((len(rows), 0), dtype=np.float32)
    edges = np.column_stack((start, stop)).reshape(-1)  # between them lie beats and gaps in turn
    if edges[-1] == rows.shape[1]:
        edges = edges[:-1]
    return np.asarray(np.maximum.reduceat(rows, edges, axis=1) - np.minimum.reduceat(rows, edges, axis=1))[:, ::2]


def seconds_of(r_index: NDArray[np.integer], fs: float) -> NDArray[np.int32]:
    """1 + floor(R / fs), and 0 where the index is negative (an empty slot)."""
    second: NDArray[np.int32] = np.floor(r_index / fs).astype(np.int32)
    second += 1
    second[r_index < 0] = 0
    return second


def _check(signal: NDArray[np.floating], r_index: NDArray[np.int64], fs: float, beats: int, beat_samples: int) -> None:
    if signal.ndim != 2 or signal.size == 0:
        raise ValueError(f"the signal has shape {signal.shape}, but must be [samples, leads] and not empty")
    if not np.isfinite(np.add.reduce(signal, axis=None)) and not np.isfinite(signal).all():
        raise ValueError("the signal has NaN or infinite samples; bridge them first (clear_hug.data.quality)")
    if beats < 1 or beat_samples < 1:
        raise ValueError(f"{beats=} and {beat_samples=} must be at least 1")
    if not fs > 0:
        raise ValueError(f"the rate is {fs} Hz, but must be positive")
    if len(r_index) and (r_index[0] < 0 or r_index[-1] >= len(signal) or (r_index[1:] <= r_index[:-1]).any()):
        raise ValueError(
            f"R peaks must increase inside [0, {len(signal)}), got {r_index[:8].tolist()}{' …' * (len(r_index) > 8)}"
        )
