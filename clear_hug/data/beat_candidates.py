"""From a signal to the places where a heartbeat may be, with all that is known of each."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clear_hug.data import native
from clear_hug.data.beat_evidence import RANKS
from clear_hug.data.beat_settings import BeatSettings
from clear_hug.data.qrs_bands import Bands, band_pass, band_slope
from clear_hug.data.qrs_energy import energy_window, qrs_energy, weighing_numbers
from clear_hug.data.qrs_peaks import Candidates, candidate_peaks, peak_numbers
from clear_hug.data.qrs_similarity import similarities, similarity_numbers

__all__ = ["BeatSearch", "search_beats"]


class BeatSearch(NamedTuple):
    """Candidates at the analysis rate.

    Attributes:
        candidates: places (indices at the analysis rate), heights and clearness.
        similar: float32 [candidates, ranks], how much each looks like others nearby.
        bands: gives the signal in any pass band, at the analysis rate, which is theirs.
        weight: float32 [leads, candidates], how much each lead counts there.
        contrast: how far the clearest lead's energy peaks rise above its median.
    """

    candidates: Candidates
    similar: NDArray[np.floating]
    bands: Bands
    weight: NDArray[np.float32]
    contrast: float


def search_beats(coarse: NDArray[np.float32], settings: BeatSettings) -> BeatSearch | None:
    """Candidates in a signal without pacing spikes.

    Args:
        coarse: float32 [leads, m], mV, finite, contiguous, at `settings.analysis_hz`.
        settings: of the detector.

    Returns:
        None when every lead is flat.
    """
    bands = Bands(coarse, settings.analysis_hz)
    if native.KERNELS is not None:
        found = _compiled(settings)(coarse)
        if found is None:
            return None
        place, height, clearness, similar, weight, contrast = found
        return BeatSearch(Candidates(place, height, clearness), similar, bands, weight, contrast)
    energy = qrs_energy(bands.slope(settings.band), bands.fs, settings)
    if energy is None:
        return None
    candidates = candidate_peaks(energy, settings)
    weight = energy.weight[:, energy.cell_of(candidates.place)]
    likely = candidates.height > settings.likely
    similar = similarities(bands, settings.shape_band, candidates.place, likely, weight, RANKS)
    return BeatSearch(candidates, similar, bands, weight, float(energy.contrast.max()))


@lru_cache(maxsize=8)
def _compiled(settings: BeatSettings) -> Any:
    """The same search as one call, csrc/signal/search.h, which takes the rows."""
    fs = settings.analysis_hz
    numbers = {
        **weighing_numbers(fs, settings),
        **peak_numbers(fs, settings),
        **similarity_numbers(fs, RANKS),
        "likely": settings.likely,
    }
    filters = (
        band_slope(fs, settings.band),
        energy_window(fs, settings.integration_s),
        band_pass(fs, settings.shape_band),
    )
    return native.KERNELS.SearchPlan(*(one.taps for one in filters), numbers)
