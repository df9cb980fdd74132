"""One curve that is high in every QRS complex, from all leads of a recording."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.ndimage
import scipy.signal
from numpy.typing import NDArray

from clear_hug.data.beat_settings import BeatSettings
from clear_hug.data.block_filter import BlockFilter, block_filter
from clear_hug.data.order_statistics import running_median

__all__ = [
    "HEIGHT_CELLS",
    "QRSEnergy",
    "cell_extremes",
    "odd_cells",
    "qrs_energy",
    "root_mean_square",
    "to_analysis_rate",
]

_TINY = 1e-6  # mV per s: no lead with a heartbeat has slopes this small
_LARGEST_CONTRAST = 30.0
_CELL_S = 0.2
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


def to_analysis_rate(rows: NDArray[np.floating], fs: float, settings: BeatSettings) -> tuple[NDArray[np.float32], int]:
    """Every so many-th sample [leads, m] after a low-pass, for a rate near `settings.analysis_hz`; and that step."""
    step = max(1, round(fs / settings.analysis_hz))
    rows = np.asarray(rows, dtype=np.float32)
    return (_low_pass(step)(rows, along_line=True) if step > 1 else rows), step


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
    count = energy.shape[1]
    ordered = np.sort(energy, axis=1)  # whole: NumPy sorts faster than it selects
    middle, high = ordered[:, count // 2], ordered[:, int(0.98 * count)]
    alive = high > _TINY
    if not alive.any():
        return None
    contrast = np.where(alive, np.minimum(np.maximum(high / np.maximum(middle, _TINY), 1.0), _LARGEST_CONTRAST), 0.0)
    cell = max(1, int(_CELL_S * fs))
    peak, floor = cell_extremes(energy, cell)  # [leads, cells]
    highest = scipy.ndimage.maximum_filter1d(peak, odd_cells(settings.longest_rr_s), axis=1, mode="nearest")
    height = np.maximum(running_median(highest, odd_cells(settings.height_s), HEIGHT_CELLS), _TINY)
    local = np.minimum(highest, height)
    noise = running_median(floor, odd_cells(settings.noise_s))
    clear = local / np.maximum(noise, height / _LARGEST_CONTRAST)
    weight = np.where(alive[:, None], clear, np.float32(0.0)) ** settings.contrast_power
    weight /= np.maximum(weight.sum(axis=0), 1e-30)
    cells = weight.shape[1]
    samples = np.append(np.full(cells - 1, cell), count - cell * (cells - 1))  # in each cell
    relative = np.minimum(energy / np.repeat(height, samples, axis=1), settings.largest)
    curve = np.sqrt((np.square(relative) * np.repeat(weight, samples, axis=1)).sum(axis=0))
    return QRSEnergy(curve, fs, contrast, weight, cell)


def odd_cells(seconds: float) -> int:
    """Odd number of cells that lasts about so long."""
    return 2 * round(seconds / _CELL_S / 2) + 1


def cell_extremes(energy: NDArray[np.float32], cell: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Largest and smallest value [leads, cells] in each cell."""
    starts = np.arange(0, max(energy.shape[1] - cell // 2, 1), cell)
    return np.maximum.reduceat(energy, starts, axis=1), np.minimum.reduceat(energy, starts, axis=1)


def root_mean_square(rows: NDArray[np.float32], fs: float, window_s: float) -> NDArray[np.float32]:
    """Root of the squares [leads, m], averaged over a Hann window of that many seconds."""
    return np.sqrt(np.maximum(_hann(round(window_s * fs))(np.square(rows)), 0.0))


@lru_cache(maxsize=32)
def _hann(size: int) -> BlockFilter:
    window = scipy.signal.windows.hann(size + 2)[1:-1]
    return block_filter(window / window.sum())


@lru_cache(maxsize=32)
def _low_pass(step: int) -> BlockFilter:
    taps = scipy.signal.firwin(12 * step + 1, 0.8 / step, window=("kaiser", 4.0))
    return block_filter(taps, down=step, unit_gain=True)
