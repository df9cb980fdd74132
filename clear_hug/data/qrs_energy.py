"""One curve that is high in every QRS complex, from all leads of a recording."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.ndimage
import scipy.signal
from numpy.typing import NDArray

from clear_hug.data.beat_settings import BeatSettings

__all__ = ["QRSEnergy", "band_pass", "qrs_energy", "root_mean_square", "to_analysis_rate"]

_TINY = 1e-9  # mV per s: no lead with a heartbeat has slopes this small
_LARGEST_CONTRAST = 30.0


@dataclass(frozen=True, eq=False)
class QRSEnergy:
    """The curve.

    Attributes:
        curve: float64 [m], about 1 in an ordinary QRS.
        fs: its rate, Hz.
        contrast: float64 [leads], how far each lead's peaks rise above its median, at its best; 0 for flat leads.
    """

    curve: NDArray[np.float64]
    fs: float
    contrast: NDArray[np.float64]


def to_analysis_rate(rows: NDArray[np.float64], fs: float, settings: BeatSettings) -> tuple[NDArray[np.float64], int]:
    """Every so many-th sample [leads, m] after a low-pass, for a rate near `settings.analysis_hz`; and that step."""
    step = max(1, round(fs / settings.analysis_hz))
    if step == 1:
        return rows, 1
    return scipy.signal.resample_poly(rows, 1, step, axis=1, window=_low_pass(step), padtype="line"), step


def qrs_energy(rows: NDArray[np.float64], fs: float, settings: BeatSettings) -> QRSEnergy | None:
    """Weighed root mean square over leads of the smoothed slope in the QRS band.

    Args:
        rows: float64 [leads, m], mV, finite, at the analysis rate.
        fs: that rate, Hz.
        settings: of the detector.

    Returns:
        The curve, or None when every lead is flat.
    """
    slope = np.gradient(band_pass(rows, fs, settings.band), axis=1) * fs  # [leads, m], mV per s
    energy = root_mean_square(slope, fs, settings.integration_s)  # [leads, m]
    gain, contrast = _lead_gains(energy, max(1, round(energy.shape[1] / (settings.block_s * fs))), settings)
    if not contrast.any():
        return None
    return QRSEnergy(np.sqrt(np.square(energy * gain).sum(axis=0)), fs, contrast)


def _lead_gains(
    energy: NDArray[np.float64], blocks: int, settings: BeatSettings
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[leads, 1 or m] factors that bring each lead's beats to the square root of its weight; contrasts [leads]."""
    edges = np.linspace(0, energy.shape[1], blocks + 1).astype(int)
    parts = [energy[:, start:stop] for start, stop in pairwise(edges)]
    middle, high = np.stack([np.quantile(part, (0.5, 0.98), axis=1) for part in parts], axis=1)  # [blocks, leads]
    alive = high > _TINY
    contrast = np.where(alive, np.clip(high / np.maximum(middle, _TINY), 1.0, _LARGEST_CONTRAST), 0.0)
    weight = contrast**settings.contrast_power
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), _TINY)
    gain = np.where(alive, np.sqrt(weight) / np.maximum(high, _TINY), 0.0).T  # [leads, blocks]
    best = contrast.max(axis=0)  # [leads]
    if blocks == 1:
        return gain, best
    centres = 0.5 * (edges[1:] + edges[:-1])
    grid = np.arange(energy.shape[1])
    return np.stack([np.interp(grid, centres, row) for row in gain]), best


def root_mean_square(rows: NDArray[np.float64], fs: float, window_s: float) -> NDArray[np.float64]:
    """Root of the squares [leads, m], averaged over a Hann window of that many seconds."""
    window = scipy.signal.windows.hann(round(window_s * fs) + 2)[1:-1]
    power = scipy.ndimage.convolve1d(rows**2, window / window.sum(), axis=1, mode="constant")
    return np.sqrt(np.maximum(power, 0.0))


def band_pass(rows: NDArray[np.float64], fs: float, band: tuple[float, float]) -> NDArray[np.float64]:
    """Zero-phase Butterworth band-pass [leads, m]."""
    sos = _butterworth(fs, band[0], min(band[1], 0.45 * fs))
    pad = min(rows.shape[1] - 1, round(0.5 * fs))
    return scipy.signal.sosfiltfilt(sos, rows, axis=1, padlen=pad)


@lru_cache(maxsize=32)
def _butterworth(fs: float, low: float, high: float) -> NDArray[np.float64]:
    return scipy.signal.butter(2, (low, high), "bandpass", fs=fs, output="sos")


@lru_cache(maxsize=32)
def _low_pass(step: int) -> Any:  # an array; SciPy's stubs know only names of windows
    return scipy.signal.firwin(12 * step + 1, 0.8 / step, window=("kaiser", 4.0))
