"""Left arm and left leg exchanged: the exchange that leaves no lead upside down, told from the P waves."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from clear_hug.data import native

__all__ = ["arm_leg_score"]

_P_WAVE_S, _BEFORE_P_S, _PR_S = (-0.24, -0.06), (-0.26, -0.23), (-0.07, -0.05)  # from the R peak
_LEAST_P_MV, _LEAST_RR_S, _LEAST_BEATS = 0.05, 0.45, 3
_TALLER_MV, _LATER_MV = 0.05, 0.03
_WEIGHT_TALLER, _WEIGHT_LATER = 0.6, 0.4


def arm_leg_score(
    signal: NDArray[np.floating], r_index: NDArray[np.integer], leads: tuple[str, ...], fs: float
) -> float:
    """How much the P waves speak for left arm and left leg being exchanged, from -1 (against) to 1.

    The exchange turns I into II, II into I and III into -III. P is then taller in I than in II, and in III its second
    half is above its first (criteria of Abdollah & Milliken, Am J Cardiol 1997; 80:1247). Both differences, in mV and
    bounded, are added with weights fitted to recordings exchanged by calculation; each changes its sign with the
    exchange. Nothing is said about fibrillation, or where P and T waves meet.

    Args:
        signal: float [n, leads], mV, finite.
        r_index: R peaks, samples, increasing.
        leads: names of the columns.
        fs: rate, Hz.

    Returns:
        The score of the median beat; 0 without I and II, with fewer than three beats, above 133 beats per minute, or
        without a P wave of 0.05 mV in I or II.
    """
    if "I" not in leads or "II" not in leads:
        return 0.0
    first, last = (round(edge * fs) for edge in (_BEFORE_P_S[0], _PR_S[1]))
    starts = r_index + first
    if len(starts) and (starts[0] < 0 or r_index[-1] + last > len(signal)):
        starts = starts[(starts >= 0) & (r_index + last <= len(signal))]
    if len(starts) < _LEAST_BEATS or _middle(sorted((starts[1:] - starts[:-1]).tolist())) < _LEAST_RR_S * fs:
        return 0.0
    one_place, two_place = leads.index("I"), leads.index("II")
    rows = signal.T
    pair = rows[one_place : two_place + 1] if two_place == one_place + 1 else rows[[one_place, two_place]]  # [2, n]
    waves = _medians(pair, starts, last - first) @ _p_wave(fs)  # [2, samples of the P wave]
    one, two = waves.max(axis=1).tolist()
    if max(one, two) < _LEAST_P_MV:
        return 0.0
    three = waves[1] - waves[0]
    half = len(three) // 2
    later = float(three[half:].sum()) / (len(three) - half) - float(three[:half].sum()) / max(half, 1)
    return _WEIGHT_TALLER * math.tanh((one - two) / _TALLER_MV) + _WEIGHT_LATER * math.tanh(later / _LATER_MV)


def _middle(ordered: list[int]) -> float:
    """Median of at least one number."""
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _medians(rows: NDArray[np.floating], starts: NDArray[np.integer], size: int) -> NDArray[np.float32]:
    """Medians [leads, size] over windows of that size, sample by sample."""
    rows = np.ascontiguousarray(rows, dtype=np.float32)
    found: NDArray[np.float32]
    if native.KERNELS is not None:
        found = native.KERNELS.window_medians(rows, starts, size)
        return found
    ordered = np.sort(rows[:, starts + np.arange(size)[:, None]], axis=2)  # [leads, size, windows]
    upper = ordered[:, :, len(starts) // 2]
    lower = upper if len(starts) % 2 else ordered[:, :, len(starts) // 2 - 1]
    found = (lower + upper) * np.float32(0.5) + np.float32(0.0)  # no -0
    return found


@lru_cache(maxsize=8)
def _p_wave(fs: float) -> NDArray[np.float64]:
    """[m, samples of the P wave]: the P wave above a line from before to after it, of the samples before an R peak."""
    first, last = (round(edge * fs) for edge in (_BEFORE_P_S[0], _PR_S[1]))

    def part(span: tuple[float, float]) -> NDArray[np.float64]:
        start, stop = (round(edge * fs) - first for edge in span)
        return np.eye(last - first)[:, start : max(stop, start + 1)]

    before, after = (part(span).mean(axis=1, keepdims=True) for span in (_BEFORE_P_S, _PR_S))
    wave = part(_P_WAVE_S)
    return wave - (before + (after - before) * np.linspace(0.0, 1.0, wave.shape[1]))
