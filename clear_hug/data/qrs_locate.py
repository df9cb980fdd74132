"""From roughly where a QRS complex is to the sample of its R peak."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from clear_hug.data.beat_settings import BeatSettings
from clear_hug.data.order_statistics import row_medians

__all__ = ["locate_r_peaks"]

_TAPS_S = 0.1  # half length of the band-pass; its impulse response is below 1 % beyond


def locate_r_peaks(
    rows: NDArray[np.float32],
    fs: float,
    rough: NDArray[np.int64],
    weight: NDArray[np.float32],
    settings: BeatSettings,
) -> NDArray[np.int64]:
    """The sample near each rough position where the leads together are farthest from the baseline.

    Every lead is band-passed and scaled by its own usual deflection; the weighed sum of squares over leads peaks at the
    R (or the dominant S) wave. Only the neighbourhood of each beat is filtered, as one matrix product.

    Args:
        rows: float32 [leads, n], mV, finite.
        fs: rate, Hz.
        rough: int64 [beats], increasing positions within `settings.locate_s` of the R peaks.
        weight: float32 [leads, beats], how much each lead counts there.
        settings: of the detector.

    Returns:
        int64 [beats], strictly increasing (beats that end up on one sample are merged).
    """
    if not len(rough):
        return rough
    reach = max(1, round(settings.locate_s * fs))
    half = max(2, round(_TAPS_S * fs))
    taps = _band_pass_matrix(fs, settings.locate_band, reach, half)  # [samples around the beat, candidates]
    around = np.arange(-reach - half, reach + half + 1)
    near = rows.take(rough[:, None] + around, axis=1, mode="clip")  # [leads, beats, samples around]
    deflection = np.abs(near.reshape(-1, len(around)) @ taps).reshape(len(rows), len(rough), -1)  # [.., candidates]
    usual = row_medians(deflection.max(axis=2))[:, None, None]  # [leads, 1, 1]
    usual = np.where(usual > 1e-6, usual, np.inf)
    combined = np.einsum("lb,lbc->bc", weight, np.square(deflection / usual))  # [beats, candidates]
    best = np.minimum(np.maximum(rough + combined.argmax(axis=1) - reach, 0), rows.shape[1] - 1)
    return best if (best[1:] > best[:-1]).all() else np.unique(best)


@lru_cache(maxsize=32)
def _band_pass_matrix(fs: float, band: tuple[float, float], reach: int, half: int) -> NDArray[np.float32]:
    """[2 (reach + half) + 1, 2 reach + 1] Toeplitz matrix of a zero-phase Butterworth band-pass, cut at ± half."""
    sos = scipy.signal.butter(2, (band[0], min(band[1], 0.45 * fs)), "bandpass", fs=fs, output="sos")
    impulse = np.zeros(8 * half + 1)
    impulse[4 * half] = 1.0
    response = scipy.signal.sosfiltfilt(sos, impulse)[3 * half : 5 * half + 1]  # symmetric, [2 half + 1]
    matrix = np.zeros((2 * (reach + half) + 1, 2 * reach + 1))
    for candidate in range(2 * reach + 1):
        matrix[candidate : candidate + 2 * half + 1, candidate] = response
    return np.asarray(matrix - matrix.mean(axis=0), dtype=np.float32)  # takes the mean of the samples away first
