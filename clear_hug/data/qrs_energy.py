"""One curve that is high in every QRS complex, from all leads of a recording."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy  # loads its parts when they are used
from numpy.typing import NDArray

from clear_hug.data import native
from clear_hug.data.beat_settings import BeatSettings
from clear_hug.data.fir import Fir, fir_filter
from clear_hug.data.order_statistics import cell_count, cell_extremes, ranked, running_maximum, running_median

__all__ = [
    "HEIGHT_CELLS",
    "QRSEnergy",
    "energy_window",
    "lead_weights",
    "odd_cells",
    "qrs_energy",
    "root_mean_square",
    "weighed_sum",
    "weighing_numbers",
]

_TINY = 1e-6  # mV per s: no lead with a heartbeat has slopes this small
_LARGEST_CONTRAST = 30.0
_CELL_S = 0.2
_HIGH_SHARE = 0.98
HEIGHT_CELLS = 5
"""So many cells share one beat height, which changes slowly."""


@dataclass(frozen=True, eq=False)
class QRSEnergy:
    """The curve.

    Attributes:
        curve: float32 [m], about 1 in an ordinary QRS.
        fs: its rate, Hz.
        contrast: float32 [leads], how far each lead's peaks rise above its median; 0 for flat leads.
        weight: float32 [leads, cells], how much each lead counts in each stretch of `cell` samples; sums to 1.
        cell: samples per cell.
    """

    curve: NDArray[np.float32]
    fs: float
    contrast: NDArray[np.float32]
    weight: NDArray[np.float32]
    cell: int

    def cell_of(self, places: NDArray[np.integer]) -> NDArray[np.integer]:
        """Which cell samples of the curve lie in."""
        return np.minimum(places // self.cell, self.weight.shape[1] - 1)


def qrs_energy(slope: NDArray[np.float32], fs: float, settings: BeatSettings) -> QRSEnergy | None:
    """Weighed root mean square over leads of the smoothed slope in the QRS band.

    Args:
        slope: float32 [leads, m], mV per s, in the QRS band, at the analysis rate.
        fs: that rate, Hz.
        settings: of the detector.

    Returns:
        The curve, or None when every lead is flat.
    """
    energy = root_mean_square(slope, fs, settings.integration_s)  # [leads, m]
    cell = cell_samples(fs)
    weights = lead_weights(energy, cell, settings)
    if weights is None:
        return None
    contrast, height, weight = weights
    return QRSEnergy(weighed_sum(energy, height, weight, cell, settings.largest), fs, contrast, weight, cell)


def lead_weights(
    energy: NDArray[np.float32], cell: int, settings: BeatSettings
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]] | None:
    """How much each lead counts from moment to moment.

    Args:
        energy: float32 [leads, m].
        cell: samples per cell.
        settings: of the detector.

    Returns:
        float32 contrast [leads] and weight [leads, cells], as in `QRSEnergy`, and between them height [leads, cells],
        of an ordinary beat; None when every lead is flat.
    """
    count = energy.shape[1]
    rr, tall, quiet = (odd_cells(s) for s in (settings.longest_rr_s, settings.height_s, settings.noise_s))
    if native.KERNELS is not None:
        found: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]] | None
        found = native.KERNELS.lead_weights(
            energy,
            int(_HIGH_SHARE * count),
            cell,
            cell_count(count, cell),
            rr,
            tall,
            HEIGHT_CELLS,
            quiet,
            settings.contrast_power,
            _TINY,
            _LARGEST_CONTRAST,
        )
        return found
    tiny, zero = np.float32(_TINY), np.float32(0.0)
    middle, high = ranked(energy, (count // 2, int(_HIGH_SHARE * count)))
    alive = high > tiny
    if not alive.any():
        return None
    contrast = np.minimum(np.maximum(high / np.maximum(middle, tiny), np.float32(1.0)), np.float32(_LARGEST_CONTRAST))
    contrast = np.where(alive, contrast, zero)
    peak, floor = cell_extremes(energy, cell)  # [leads, cells]
    highest = running_maximum(peak, rr)
    height = np.maximum(running_median(highest, tall, HEIGHT_CELLS), tiny)
    noise = np.maximum(running_median(floor, quiet), height / np.float32(_LARGEST_CONTRAST))
    clear = np.minimum(highest, height) / noise
    weight = clear.copy()
    for _ in range(settings.contrast_power - 1):
        weight *= clear
    weight = np.where(alive[:, None], weight, zero)
    total = np.zeros(weight.shape[1], dtype=np.float32)
    for of_lead in weight:  # in order
        total += of_lead
    return contrast, height, weight / np.maximum(total, np.float32(1e-30))


def weighed_sum(
    energy: NDArray[np.float32],
    height: NDArray[np.float32],
    weight: NDArray[np.float32],
    cell: int,
    largest: float,
) -> NDArray[np.float32]:
    """Root of the weighed sum of squares over leads, of energy in units of its height.

    Args:
        energy: float32 [leads, m].
        height: float32 [leads, cells].
        weight: float32 [leads, cells].
        cell: samples per cell; what is left goes to the last one.
        largest: no lead counts for more than this.

    Returns:
        float32 [m].
    """
    if native.KERNELS is not None:
        curve: NDArray[np.float32] = native.KERNELS.weighed_sum(energy, height, weight, cell, largest)
        return curve
    total = np.zeros(energy.shape[1], dtype=np.float32)
    of_sample = np.minimum(np.arange(len(total)) // cell, height.shape[1] - 1)
    for lead, row in enumerate(energy):
        relative = np.minimum(row / height[lead, of_sample], np.float32(largest))
        total += np.square(relative) * weight[lead, of_sample]
    return np.sqrt(total)


def odd_cells(seconds: float) -> int:
    """Odd number of cells that lasts about so long."""
    return 2 * round(seconds / _CELL_S / 2) + 1


def root_mean_square(rows: NDArray[np.float32], fs: float, window_s: float) -> NDArray[np.float32]:
    """Root of the squares [leads, m], averaged over a Hann window of that many seconds."""
    return np.sqrt(np.maximum(energy_window(fs, window_s)(np.square(rows)), 0.0))


def weighing_numbers(fs: float, settings: BeatSettings) -> dict[str, float]:
    """What `qrs_energy` goes by at that rate in Hz, for the compiled search."""
    return {
        "cell": cell_samples(fs),
        "high_share": _HIGH_SHARE,
        "rr_cells": odd_cells(settings.longest_rr_s),
        "height_cells": odd_cells(settings.height_s),
        "height_every": HEIGHT_CELLS,
        "noise_cells": odd_cells(settings.noise_s),
        "power": settings.contrast_power,
        "tiny": _TINY,
        "largest_contrast": _LARGEST_CONTRAST,
        "largest": settings.largest,
    }


def cell_samples(fs: float) -> int:
    """Samples per cell."""
    return max(1, int(_CELL_S * fs))


@lru_cache(maxsize=32)
def energy_window(fs: float, window_s: float) -> Fir:
    """The mean over a Hann window of that many s, at a rate in Hz."""
    window = scipy.signal.windows.hann(round(window_s * fs) + 2)[1:-1]
    return fir_filter(window / window.sum())
