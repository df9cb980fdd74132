"""Wide ventricular beats: as tall as the others or taller, but with slopes too gentle for the search by slope."""

from __future__ import annotations

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from clear_hug.data.beat_settings import BeatSettings
from clear_hug.data.qrs_energy import QRSEnergy, band_pass, root_mean_square
from clear_hug.data.qrs_peaks import candidate_peaks

__all__ = ["add_wide_beats"]

_INTEGRATION_S = 0.16  # the length of a wide QRS
_FEWEST_BEATS = 3  # to know what an ordinary beat is


def add_wide_beats(
    rows: NDArray[np.float64], energy: QRSEnergy, beats: NDArray[np.int64], settings: BeatSettings
) -> NDArray[np.int64]:
    """Add the peaks of the energy that were too low for a beat, but where the deflection itself is that of a beat.

    Args:
        rows: float64 [leads, m], mV, at the analysis rate.
        energy: the slope energy.
        beats: int64 [beats], those found by slope, indices into the curve.
        settings: of the detector.

    Returns:
        int64 [beats or more], increasing.
    """
    if len(beats) < _FEWEST_BEATS:
        return beats
    fs = energy.fs
    size = _deflection(rows, fs, beats, settings)  # [m], 1 = an ordinary beat
    peaks, height = candidate_peaks(energy, settings)
    apart = _distance(peaks, beats) >= settings.wide_gap_s * fs
    wide = peaks[(height > settings.wide_energy) & (size[peaks] >= settings.wide_ratio) & apart]
    added = set(wide.tolist())
    kept: list[int] = []
    for beat in sorted({*beats.tolist(), *added}):
        if kept and beat in added:
            since = beat - kept[-1]
            t_wave = since < settings.wide_t_wave_s * fs and size[beat] < settings.wide_t_wave_ratio * size[kept[-1]]
            if t_wave or since < settings.wide_gap_s * fs:
                continue
        kept.append(beat)
    return np.array(kept, dtype=np.int64)


def _distance(peaks: NDArray[np.integer], beats: NDArray[np.int64]) -> NDArray[np.int64]:
    """From each peak to the nearest beat, samples."""
    after = np.searchsorted(beats, peaks)
    before = np.abs(peaks - beats[np.maximum(after - 1, 0)])
    return np.minimum(before, np.abs(beats[np.minimum(after, len(beats) - 1)] - peaks))


def _deflection(
    rows: NDArray[np.float64], fs: float, beats: NDArray[np.int64], settings: BeatSettings
) -> NDArray[np.float64]:
    """[m] height of the low-frequency deflection near each sample, in ordinary beats; the median lead's."""
    smooth = root_mean_square(band_pass(rows, fs, settings.wide_band), fs, _INTEGRATION_S)
    reach = 2 * int(settings.locate_s * fs) + 1
    usual = np.median(scipy.ndimage.maximum_filter1d(smooth, reach, axis=1)[:, beats], axis=1)
    relative = smooth / np.where(usual > 1e-9, usual, np.inf)[:, None]  # [leads, m]
    return np.median(relative, axis=0) if len(rows) > 2 else relative.max(axis=0)
