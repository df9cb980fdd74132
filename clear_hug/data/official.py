"""The published tokenizer: the same beats, windows and slots as the vectors its authors' code made.

For comparison with released weights only: at 100 Hz its detector, XQRS, finds T waves and misses beats.
"""

from __future__ import annotations

import io
import warnings
from contextlib import redirect_stdout

import numpy as np
import scipy  # loads its parts when they are used
from numpy.typing import NDArray

from clear_hug.data.tokens import BeatGrid

__all__ = ["OFFICIAL_BEATS", "OFFICIAL_BEAT_SAMPLES", "OFFICIAL_FS", "official_r_peaks", "official_tokens"]

OFFICIAL_FS = 100.0
OFFICIAL_BEATS = 15
OFFICIAL_BEAT_SAMPLES = 96
_LEAD_II = 1


def official_r_peaks(signal: NDArray[np.floating]) -> tuple[NDArray[np.int64], bool]:
    """R peaks by `wfdb.processing.xqrs_detect` on lead II, else on the first lead where it finds any.

    Args:
        signal: float64 [n, 12], mV, 100 Hz, leads in standard order.

    Returns:
        int64 [beats], and whether they are real: False for the 15 equally spaced indices of a beatless recording.
    """
    for lead in (_LEAD_II, *range(signal.shape[1])):
        found = _xqrs(np.ascontiguousarray(signal[:, lead]))
        if len(found):
            return found, True
    return np.linspace(0, len(signal) - 1, OFFICIAL_BEATS, dtype=int).astype(np.int64), False


def official_tokens(signal: NDArray[np.floating], r_index: NDArray[np.integer]) -> BeatGrid:
    """Cut the published tokens.

    Args:
        signal: float [n, L], mV, 100 Hz.
        r_index: [beats found], increasing R peaks, samples.

    Returns:
        A grid of 15 slots of 96 samples. An R peak at sample 0 gets second 0, as published, though its beat is valid.
    """
    half, size = OFFICIAL_BEAT_SAMPLES // 2, OFFICIAL_BEAT_SAMPLES
    length, leads = signal.shape
    tokens = np.zeros((leads, OFFICIAL_BEATS, size), dtype=np.float32)
    valid = np.zeros((leads, OFFICIAL_BEATS), dtype=bool)
    kept = np.full(OFFICIAL_BEATS, -1, dtype=np.int32)
    peaks = [int(r) for r in r_index]
    for slot, r in enumerate(peaks[:OFFICIAL_BEATS]):
        start, stop = _window(peaks, slot, length)
        window = signal[start:stop].T  # [L, up to 96]
        # A beat that starts more than 48 samples before its R peak is not cut there: it slides right, its R off centre.
        at = max(half - (r - start), 0)
        window = window[:, : size - at]
        tokens[:, slot, at : at + window.shape[1]] = window
        valid[:, slot] = True
        kept[slot] = r
    seconds = np.where(kept > 0, kept // int(OFFICIAL_FS) + 1, 0).astype(np.int32)
    return BeatGrid(tokens, valid, seconds, kept, len(peaks))


def to_official_rate(signal: NDArray[np.floating], fs: float) -> NDArray[np.floating]:
    """The published Fourier resampling to 100 Hz; the signal itself when it has that rate."""
    if fs == OFFICIAL_FS:
        return signal
    return scipy.signal.resample(signal, round(len(signal) * OFFICIAL_FS / fs), axis=0)


def _window(peaks: list[int], slot: int, length: int) -> tuple[int, int]:
    half, size = OFFICIAL_BEAT_SAMPLES // 2, OFFICIAL_BEAT_SAMPLES
    r = peaks[slot]
    if len(peaks) == 1:
        start, stop = max(r - half, 0), max(r - half, 0) + size
    else:
        start = max(r - half, 0) if slot == 0 else (peaks[slot - 1] + r) // 2
        stop = min(r + half, length) if slot == len(peaks) - 1 else (r + peaks[slot + 1]) // 2
    if stop - start > size:
        start = max(r - half, 0)
        stop = start + size
    return start, min(stop, length)


def _xqrs(lead: NDArray[np.floating]) -> NDArray[np.int64]:
    from wfdb import processing  # takes a second to import, and only this tokenizer needs it

    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            return np.asarray(processing.xqrs_detect(lead, fs=int(OFFICIAL_FS), verbose=False), dtype=np.int64)
    except (ValueError, IndexError, ZeroDivisionError):  # what XQRS raises on flat or very short signals
        return np.zeros(0, dtype=np.int64)
