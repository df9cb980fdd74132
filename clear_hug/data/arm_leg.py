"""Left arm and left leg exchanged: the exchange that leaves no lead upside down, told from the P waves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
        r_index: R peaks, samples.
        leads: names of the columns.
        fs: rate, Hz.

    Returns:
        The score of the median beat; 0 without I and II, with fewer than three beats, above 133 beats per minute, or
        without a P wave of 0.05 mV in I or II.
    """
    if "I" not in leads or "II" not in leads:
        return 0.0
    first, last = (round(edge * fs) for edge in (_BEFORE_P_S[0], _PR_S[1]))
    peaks = r_index[(r_index + first >= 0) & (r_index + last <= len(signal))]
    if len(peaks) < _LEAST_BEATS or np.median(np.diff(peaks)) < _LEAST_RR_S * fs:
        return 0.0
    index = peaks[:, None] + np.arange(first, last)  # [beats, m]
    one, two = (_p_wave(np.median(signal[index, leads.index(lead)], axis=0), first, fs) for lead in ("I", "II"))
    if max(one.max(), two.max()) < _LEAST_P_MV:
        return 0.0
    three = two - one
    half = len(three) // 2
    later = three[half:].mean() - three[:half].mean()
    taller = one.max() - two.max()
    return float(_WEIGHT_TALLER * np.tanh(taller / _TALLER_MV) + _WEIGHT_LATER * np.tanh(later / _LATER_MV))


def _p_wave(beat: NDArray[np.floating], first: int, fs: float) -> NDArray[np.float64]:
    """The P wave of a beat that begins `first` samples from its R peak, above a line from before it to after it."""

    def part(span: tuple[float, float]) -> NDArray[np.floating]:
        start, stop = (round(edge * fs) - first for edge in span)
        return beat[start : max(stop, start + 1)]

    before, after = part(_BEFORE_P_S).mean(), part(_PR_S).mean()
    wave = part(_P_WAVE_S)
    return np.asarray(wave - np.linspace(before, after, len(wave)))
