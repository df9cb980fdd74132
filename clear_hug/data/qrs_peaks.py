"""Which peaks of the QRS energy are heartbeats."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import scipy.ndimage
import scipy.signal
from numpy.typing import NDArray

from clear_hug.data.beat_settings import BeatSettings
from clear_hug.data.qrs_energy import QRSEnergy

__all__ = ["candidate_peaks", "pick_beats"]

_GRID_S = 0.2
_LONG_PAUSE = 1.6
_LARGEST_SPREAD = 0.2


def pick_beats(energy: QRSEnergy, settings: BeatSettings) -> NDArray[np.int64]:
    """Peaks of the energy that are beats.

    Args:
        energy: the curve of `qrs_energy`.
        settings: of the detector.

    Returns:
        int64 [beats], indices into the curve, increasing.
    """
    peaks, height = candidate_peaks(energy, settings)
    kept = _drop_t_waves(peaks, height, settings, energy.fs)
    kept = _search_pauses(peaks, height, kept, settings, energy.fs)
    beats = peaks[kept]
    if energy.contrast.max() < settings.least_contrast and not _regular(beats):
        return np.zeros(0, dtype=np.int64)
    return beats.astype(np.int64)


def candidate_peaks(energy: QRSEnergy, settings: BeatSettings) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """All peaks of the energy that are a refractory time apart, and their heights; 1 = an ordinary beat nearby."""
    peaks = scipy.signal.find_peaks(energy.curve, distance=max(1, int(settings.refractory_s * energy.fs)))[0]
    return peaks, energy.curve[peaks] / _beat_height(energy.curve, energy.fs, settings)[peaks]


def _beat_height(curve: NDArray[np.float64], fs: float, settings: BeatSettings) -> NDArray[np.float64]:
    """[m] what a beat's peak is around each sample: the median of running maxima, which one artefact cannot lift."""
    step = max(1, int(_GRID_S * fs))
    highest = scipy.ndimage.maximum_filter1d(curve, max(1, int(settings.longest_rr_s * fs)), mode="nearest")[::step]
    size = 2 * round(settings.height_s / _GRID_S / 2) + 1
    usual = scipy.ndimage.median_filter(highest, size=size, mode="nearest")
    place = np.minimum(np.arange(len(curve)) // step, len(usual) - 1)
    return np.maximum(usual[place], 1e-12)


def _drop_t_waves(peaks: NDArray[np.intp], height: NDArray[np.float64], settings: BeatSettings, fs: float) -> list[int]:
    kept: list[int] = []
    for index in np.flatnonzero(height > settings.threshold):
        if kept:
            near = peaks[index] - peaks[kept[-1]] < settings.t_wave_s * fs
            if near and height[index] < settings.t_wave_ratio * height[kept[-1]]:
                continue
        kept.append(int(index))
    return kept


def _search_pauses(
    peaks: NDArray[np.intp], height: NDArray[np.float64], kept: list[int], settings: BeatSettings, fs: float
) -> list[int]:
    """Add the highest peak above the lower threshold in every pause, well away from its two neighbours."""
    if len(kept) < 3:
        return kept
    usual = np.median(np.diff(peaks[kept]))
    added: list[int] = []
    for before, after in pairwise(kept):
        if peaks[after] - peaks[before] <= _LONG_PAUSE * usual:
            continue
        inside = np.arange(before + 1, after)
        inside = inside[
            (height[inside] > settings.search_back)
            & (peaks[inside] - peaks[before] > settings.t_wave_s * fs)
            & (peaks[after] - peaks[inside] > settings.refractory_s * fs)
        ]
        if len(inside):
            added.append(int(inside[np.argmax(height[inside])]))
    return sorted(kept + added)


def _regular(beats: NDArray[np.intp]) -> bool:
    """Fast rhythms leave no quiet time between beats, but they are regular, which noise is not."""
    intervals = np.diff(beats)
    return len(intervals) >= 4 and float(np.std(intervals)) < _LARGEST_SPREAD * float(np.mean(intervals))
