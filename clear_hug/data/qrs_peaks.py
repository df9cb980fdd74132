"""Peaks of the QRS energy: every one that could be a heartbeat, and how far it stands out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.ndimage
import scipy.signal
from numpy.typing import NDArray

from clear_hug.data.beat_settings import BeatSettings
from clear_hug.data.order_statistics import running_median
from clear_hug.data.qrs_energy import HEIGHT_CELLS, QRSEnergy, cell_extremes, odd_cells

__all__ = ["Candidates", "candidate_peaks"]

_LOWEST_FLOOR = 0.02  # of an ordinary beat; a curve quieter than this is not quieter in a telling way


@dataclass(frozen=True, eq=False)
class Candidates:
    """Peaks of the energy that are a refractory time apart.

    Attributes:
        place: int64 [candidates], increasing indices into the curve.
        height: float32 [candidates], 1 = an ordinary beat nearby.
        clearness: float32 [candidates], height over the floor of the curve around it: noise fills the time between
            beats.
    """

    place: NDArray[np.int64]
    height: NDArray[np.float32]
    clearness: NDArray[np.float32]


def candidate_peaks(energy: QRSEnergy, settings: BeatSettings) -> Candidates:
    """All peaks above `settings.lowest` ordinary beats.

    The height of an ordinary beat is the median, over `settings.height_s`, of maxima in windows of
    `settings.longest_rr_s`, which one artefact cannot lift.
    """
    curve = energy.curve
    place = scipy.signal.find_peaks(curve, distance=max(1, int(settings.refractory_s * energy.fs)))[0]
    highest, lowest = cell_extremes(curve[None], energy.cell)  # [1, cells]
    highest = scipy.ndimage.maximum_filter1d(highest, odd_cells(settings.longest_rr_s), axis=1, mode="nearest")
    usual = np.maximum(running_median(highest, odd_cells(settings.height_s), HEIGHT_CELLS)[0], 1e-12)
    floor = running_median(lowest, odd_cells(settings.noise_s))[0]
    cell = energy.cell_of(place)
    height = curve[place] / usual[cell]
    clearness = curve[place] / np.maximum(floor[cell], _LOWEST_FLOOR)
    high = height > settings.lowest
    return Candidates(place[high].astype(np.int64), height[high], clearness[high])
