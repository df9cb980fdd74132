"""Peaks of the QRS energy: every one that could be a heartbeat, and how far it stands out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy  # loads its parts when they are used
from numpy.typing import NDArray

from clear_hug.data import native
from clear_hug.data.beat_settings import BeatSettings
from clear_hug.data.order_statistics import cell_count, cell_extremes, running_maximum, running_median
from clear_hug.data.qrs_energy import HEIGHT_CELLS, QRSEnergy, odd_cells

__all__ = ["Candidates", "candidate_peaks", "peak_numbers", "spaced_peaks"]

_LOWEST_FLOOR = 0.02  # of an ordinary beat; a curve quieter than this is not quieter in a telling way


class Candidates(NamedTuple):
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
    distance = _distance(energy.fs, settings)
    rr, tall, quiet = (odd_cells(s) for s in (settings.longest_rr_s, settings.height_s, settings.noise_s))
    if native.KERNELS is not None:
        cells = cell_count(len(curve), energy.cell)
        limits = settings.lowest, _LOWEST_FLOOR
        return Candidates(
            *native.KERNELS.candidates(curve, distance, energy.cell, cells, rr, tall, HEIGHT_CELLS, quiet, *limits)
        )
    place = spaced_peaks(curve, distance)
    highest, lowest = cell_extremes(curve[None], energy.cell)  # [1, cells]
    usual = np.maximum(running_median(running_maximum(highest, rr), tall, HEIGHT_CELLS)[0], np.float32(1e-12))
    floor = running_median(lowest, quiet)[0]
    cell = energy.cell_of(place)
    height = curve[place] / usual[cell]
    clearness = curve[place] / np.maximum(floor[cell], np.float32(_LOWEST_FLOOR))
    high = height > np.float32(settings.lowest)
    return Candidates(place[high], height[high], clearness[high])


def peak_numbers(fs: float, settings: BeatSettings) -> dict[str, float]:
    """What `candidate_peaks` goes by at that rate in Hz, for the compiled search."""
    return {"distance": _distance(fs, settings), "lowest": settings.lowest, "lowest_floor": _LOWEST_FLOOR}


def _distance(fs: float, settings: BeatSettings) -> int:
    return max(1, int(settings.refractory_s * fs))


def spaced_peaks(curve: NDArray[np.float32], distance: int) -> NDArray[np.int64]:
    """Peaks at least so many samples apart: the highest stay, of equals the later one.

    Args:
        curve: float32 [m], finite.
        distance: samples.

    Returns:
        int64 [peaks], increasing indices; of a level peak its middle, rounded down.
    """
    if native.KERNELS is not None:
        found: NDArray[np.int64] = native.KERNELS.spaced_peaks(curve, distance)
        return found
    place = scipy.signal.find_peaks(curve)[0].astype(np.int64)
    # `find_peaks` has a distance too, but leaves open which of two peaks of the same height stays.
    at, kept = place.tolist(), [True] * len(place)
    for best in np.argsort(curve[place], kind="stable")[::-1].tolist():
        if not kept[best]:
            continue
        for step in (-1, 1):
            other = best + step
            while 0 <= other < len(at) and abs(at[other] - at[best]) < distance:
                kept[other] = False
                other += step
    return place[np.array(kept, dtype=bool)]
