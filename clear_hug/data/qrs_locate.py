"""From roughly where a QRS complex is to the sample of its R peak."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy  # loads its parts when they are used
from numpy.typing import NDArray

from clear_hug.data import native
from clear_hug.data.beat_settings import BeatSettings
from clear_hug.data.beat_windows import strongest_places
from clear_hug.data.fir import Fir, fir_filter

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
    R (or the dominant S) wave. Only the neighbourhood of each beat is filtered.

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
    band_pass = _band_pass(fs, settings.locate_band)
    if native.KERNELS is not None:
        found: NDArray[np.int64] = native.KERNELS.locate(rows, band_pass.taps, rough, reach, weight)
        return found
    deflection = band_pass.around(rows, rough - reach, 2 * reach + 1, ends="hold")  # [leads, beats, candidates]
    best = rough + strongest_places(deflection, weight) - reach
    return np.unique(np.minimum(np.maximum(best, 0), rows.shape[1] - 1))


@lru_cache(maxsize=32)
def _band_pass(fs: float, band: tuple[float, float]) -> Fir:
    """A zero-phase Butterworth band-pass, cut at 0.1 s on either side; a constant gives nothing."""
    half = max(2, round(_TAPS_S * fs))
    sos = scipy.signal.butter(2, (band[0], min(band[1], 0.45 * fs)), "bandpass", fs=fs, output="sos")
    impulse = np.zeros(8 * half + 1)
    impulse[4 * half] = 1.0
    taps = scipy.signal.sosfiltfilt(sos, impulse)[3 * half : 5 * half + 1]  # symmetric, [2 half + 1]
    return fir_filter(taps - taps.mean())
