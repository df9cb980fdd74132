"""Wide ventricular beats: as tall as the others or taller, but with slopes too gentle for the search by slope."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.beat_settings import BeatSettings
from clear_hug.data.order_statistics import row_medians
from clear_hug.data.qrs_bands import Bands
from clear_hug.data.qrs_energy import root_mean_square
from clear_hug.data.qrs_peaks import Candidates

__all__ = ["add_wide_beats"]

_INTEGRATION_S = 0.16  # the length of a wide QRS
_FEWEST_BEATS = 3  # to know what an ordinary beat is


def add_wide_beats(
    bands: Bands,
    candidates: Candidates,
    beats: NDArray[np.bool_],
    settings: BeatSettings,
) -> NDArray[np.bool_]:
    """Add candidates that were too low for a beat, but where the deflection itself is that of a beat.

    Args:
        bands: of the signal in mV, at the analysis rate.
        candidates: peaks of the slope energy.
        beats: bool [candidates], those found by slope.
        settings: of the detector.

    Returns:
        bool [candidates].
    """
    if np.count_nonzero(beats) < _FEWEST_BEATS:
        return beats
    place, fs = candidates.place, bands.fs
    possible = (candidates.height > settings.wide_energy) & (candidates.clearness > settings.wide_clearness) & ~beats
    if not possible.any():
        return beats
    possible &= _distance(place, place[beats]) >= settings.wide_gap_s * fs
    if not possible.any():
        return beats
    size = _deflection(bands, place, place[beats], settings)  # [candidates], 1 = an ordinary beat
    wide = possible & (size >= settings.wide_ratio)
    kept = beats.copy()
    last = -1
    for index in np.flatnonzero(beats | wide).tolist():
        if wide[index] and last >= 0:
            since = place[index] - place[last]
            t_wave = since < settings.wide_t_wave_s * fs and size[index] < settings.wide_t_wave_ratio * size[last]
            if t_wave or since < settings.wide_gap_s * fs:
                continue
        kept[index] = True
        last = index
    return kept


def _distance(peaks: NDArray[np.integer], beats: NDArray[np.int64]) -> NDArray[np.int64]:
    """From each peak to the nearest beat, samples."""
    after = np.searchsorted(beats, peaks)
    before = np.abs(peaks - beats[np.maximum(after - 1, 0)])
    return np.minimum(before, np.abs(beats[np.minimum(after, len(beats) - 1)] - peaks))


def _deflection(
    bands: Bands, place: NDArray[np.int64], beats: NDArray[np.int64], settings: BeatSettings
) -> NDArray[np.float32]:
    """Height [places] of the low-frequency deflection near each place, in ordinary beats; the median lead's."""
    smooth = root_mean_square(bands.signal(settings.wide_band), bands.fs, _INTEGRATION_S)
    reach = int(settings.locate_s * bands.fs)
    near = np.minimum(np.maximum(beats[:, None] + np.arange(-reach, reach + 1), 0), smooth.shape[1] - 1)
    usual = row_medians(smooth[:, near].max(axis=2))  # [leads]
    relative = smooth[:, place] / np.where(usual > 1e-9, usual, np.float32(np.inf))[:, None]  # [leads, places]
    if len(relative) < 3:
        return np.asarray(relative.max(axis=0))
    return row_medians(np.ascontiguousarray(relative.T))
