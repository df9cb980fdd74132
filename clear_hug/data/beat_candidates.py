"""From a signal to the places where a heartbeat may be, with all that is known of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.beat_evidence import RANKS
from clear_hug.data.beat_settings import BeatSettings
from clear_hug.data.qrs_bands import Bands, split_bands
from clear_hug.data.qrs_energy import qrs_energy, to_analysis_rate
from clear_hug.data.qrs_peaks import Candidates, candidate_peaks
from clear_hug.data.qrs_similarity import similarities

__all__ = ["BeatSearch", "search_beats"]


@dataclass(frozen=True, eq=False)
class BeatSearch:
    """Candidates at the analysis rate.

    Attributes:
        candidates: places (indices at the analysis rate), heights and clearness.
        similar: float32 [candidates, ranks], how much each looks like others nearby.
        bands: gives the signal in any pass band, at the analysis rate.
        fs: the analysis rate, Hz.
        weight: float32 [leads, candidates], how much each lead counts there.
        contrast: how far the clearest lead's energy peaks rise above its median.
        step: samples of the signal per sample of the analysis.
    """

    candidates: Candidates
    similar: NDArray[np.floating]
    bands: Bands
    fs: float
    weight: NDArray[np.float32]
    contrast: float
    step: int


def search_beats(rows: NDArray[np.floating], fs: float, settings: BeatSettings) -> BeatSearch | None:
    """Candidates in a signal [leads, n], mV, finite and without pacing spikes; None when every lead is flat."""
    coarse, step = to_analysis_rate(rows, fs, settings)
    bands = split_bands(coarse, fs / step)
    energy = qrs_energy(bands.slope(settings.band), fs / step, settings)
    if energy is None:
        return None
    candidates = candidate_peaks(energy, settings)
    weight = energy.weight[:, energy.cell_of(candidates.place)]
    likely = candidates.height > settings.likely
    similar = similarities(bands.signal(settings.shape_band), energy.fs, candidates.place, likely, weight, RANKS)
    return BeatSearch(candidates, similar, bands, energy.fs, weight, float(energy.contrast.max()), step)
