"""One curve that is high in every QRS complex, from all leads of a recording."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.signal
from numpy.typing import NDArray

from clear_hug.data.beat_settings import BeatSettings

__all__ = [
    "QRSEnergy",
    "band_passes",
    "cell_extremes",
    "odd_cells",
    "qrs_energy",
    "root_mean_square",
    "running_median",
    "to_analysis_rate",
]

_TINY = 1e-6  # mV per s: no lead with a heartbeat has slopes this small
_LARGEST_CONTRAST = 30.0
_PAD_S = 0.5
_CELL_S = 0.2


@dataclass(frozen=True, eq=False)
class QRSEnergy:
    """The curve.

    Attributes:
        curve: float64 [m], about 1 in an ordinary QRS.
        fs: its rate, Hz.
        contrast: float64 [leads], how far each lead's peaks rise above its median; 0 for flat leads.
        weight: float64 [leads, cells], how much each lead counts in each stretch of `cell` samples; sums to 1.
        cell: samples per cell.
    """

    curve: NDArray[np.float64]
    fs: float
    contrast: NDArray[np.float64]
    weight: NDArray[np.float64]
    cell: int

    def cell_of(self, places: NDArray[np.integer]) -> NDArray[np.integer]:
        """Which cell samples of the curve lie in."""
        return np.minimum(places // self.cell, self.weight.shape[1] - 1)


def to_analysis_rate(rows: NDArray[np.float64], fs: float, settings: BeatSettings) -> tuple[NDArray[np.float64], int]:
    """Every so many-th sample [leads, m] after a low-pass, for a rate near `settings.analysis_hz`; and that step."""
    step = max(1, round(fs / settings.analysis_hz))
    if step == 1:
        return rows, 1
    return scipy.signal.resample_poly(rows, 1, step, axis=1, window=_low_pass(step), padtype="line"), step


def qrs_energy(slope: NDArray[np.float64], fs: float, settings: BeatSettings) -> QRSEnergy | None:
    """Weighed root mean square over leads of the smoothed slope in the QRS band.

    Args:
        slope: float64 [leads, m], mV per s, in the QRS band, at the analysis rate.
        fs: that rate, Hz.
        settings: of the detector.

    Returns:
        The curve, or None when every lead is flat.
    """
    energy = root_mean_square(slope, fs, settings.integration_s)  # [leads, m]
    count = energy.shape[1]
    ordered = np.partition(energy, (count // 2, int(0.98 * count)), axis=1)
    middle, high = ordered[:, count // 2], ordered[:, int(0.98 * count)]
    alive = high > _TINY
    if not alive.any():
        return None
    contrast = np.where(alive, np.clip(high / np.maximum(middle, _TINY), 1.0, _LARGEST_CONTRAST), 0.0)
    cell = max(1, int(_CELL_S * fs))
    peak, floor = cell_extremes(energy, cell)  # [leads, cells]
    highest = scipy.ndimage.maximum_filter1d(peak, odd_cells(settings.longest_rr_s), axis=1, mode="nearest")
    height = np.maximum(running_median(highest, odd_cells(settings.height_s)), _TINY)
    local = np.minimum(highest, height)
    noise = running_median(floor, odd_cells(settings.noise_s))
    clear = local / np.maximum(noise, height / _LARGEST_CONTRAST)
    weight = np.where(alive[:, None], clear, 0.0) ** settings.contrast_power
    weight /= np.maximum(weight.sum(axis=0), 1e-30)
    at = np.minimum(np.arange(count) // cell, weight.shape[1] - 1)
    relative = np.minimum(energy / height[:, at], settings.largest)
    curve = np.sqrt((np.square(relative) * weight[:, at]).sum(axis=0))
    return QRSEnergy(curve, fs, contrast, weight, cell)


def odd_cells(seconds: float) -> int:
    """Odd number of cells that lasts about so long."""
    return 2 * round(seconds / _CELL_S / 2) + 1


def cell_extremes(energy: NDArray[np.float64], cell: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Largest and smallest value [leads, cells] in each cell."""
    starts = np.arange(0, max(energy.shape[1] - cell // 2, 1), cell)
    return np.maximum.reduceat(energy, starts, axis=1), np.minimum.reduceat(energy, starts, axis=1)


def running_median(rows: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Running median along the second axis."""
    return scipy.ndimage.median_filter(rows, size=(1, size), mode="nearest")


def root_mean_square(rows: NDArray[np.float64], fs: float, window_s: float) -> NDArray[np.float64]:
    """Root of the squares [leads, m], averaged over a Hann window of that many seconds."""
    window = scipy.signal.windows.hann(round(window_s * fs) + 2)[1:-1]
    power = scipy.ndimage.convolve1d(rows**2, window / window.sum(), axis=1, mode="constant")
    return np.sqrt(np.maximum(power, 0.0))


def band_passes(
    rows: NDArray[np.float64], fs: float, bands: tuple[tuple[float, float], ...]
) -> list[NDArray[np.float64]]:
    """Zero-phase band-passes [leads, m] with a Butterworth's response, the first one as slope in units per s."""
    rows = rows - rows.mean(axis=1, keepdims=True)  # or the zeros that fill up the transform make a step
    count = rows.shape[1]
    pad = min(count - 1, round(_PAD_S * fs))
    left, right = 2 * rows[:, :1] - rows[:, pad:0:-1], 2 * rows[:, -1:] - rows[:, -2 : -pad - 2 : -1]
    size = scipy.fft.next_fast_len(count + 2 * pad, real=True)
    spectrum = scipy.fft.rfft(np.concatenate((left, rows, right), axis=1), size, axis=1)
    return [
        scipy.fft.irfft(spectrum * _response(size, fs, band, slope=not index), size, axis=1)[:, pad : pad + count]
        for index, band in enumerate(bands)
    ]


@lru_cache(maxsize=32)
def _response(size: int, fs: float, band: tuple[float, float], slope: bool) -> NDArray[np.complex128]:
    frequency = scipy.fft.rfftfreq(size, 1 / fs)
    sos = scipy.signal.butter(2, (band[0], min(band[1], 0.45 * fs)), "bandpass", fs=fs, output="sos")
    gain = np.abs(scipy.signal.freqz_sos(sos, frequency, fs=fs)[1]) ** 2
    return np.asarray(gain * (2j * np.pi * frequency if slope else 1.0), dtype=np.complex128)


@lru_cache(maxsize=32)
def _low_pass(step: int) -> Any:  # an array; SciPy's stubs know only names of windows
    return scipy.signal.firwin(12 * step + 1, 0.8 / step, window=("kaiser", 4.0))
