"""A signal in one pass band or another: zero phase, with the response of a Butterworth run both ways."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy  # loads its parts when they are used
from numpy.typing import NDArray

from clear_hug.data.fir import Fir, fir_filter

__all__ = ["Bands", "band_pass", "band_slope"]

_REACH_CYCLES = 1.5
"""Half the length of a filter, in cycles of the lower edge of its band; beyond, its response is below 1 %."""
_RESPONSE_SIZE = 1 << 14


@dataclass(frozen=True, eq=False)
class Bands:
    """A signal whose pass bands can be asked for; it goes on beyond its ends as its mirror image about the end points.

    Attributes:
        rows: float32 [leads, m], mV.
        fs: rate, Hz.
    """

    rows: NDArray[np.float32]
    fs: float

    def signal(self, band: tuple[float, float]) -> NDArray[np.float32]:
        """float32 [leads, m] between two frequencies in Hz, in the unit of the signal."""
        return band_pass(self.fs, band)(self.rows, ends="mirror")

    def around(self, band: tuple[float, float], starts: NDArray[np.int64], count: int) -> NDArray[np.float32]:
        """`count` samples of `signal(band)` from each of the starts on; beyond the ends its outermost sample goes on.

        Returns:
            float32 [leads, starts, count].
        """
        found = band_pass(self.fs, band).around(self.rows, starts, count, ends="mirror")
        last = self.rows.shape[1] - 1
        for window in ((starts < 0) | (starts + count - 1 > last)).nonzero()[0]:
            place = np.minimum(np.maximum(starts[window] + np.arange(count), 0), last)
            found[:, window] = found[:, window].take(place - starts[window], axis=1, mode="clip")
        return found

    def slope(self, band: tuple[float, float]) -> NDArray[np.float32]:
        """The derivative of `signal(band)`, per s."""
        return band_slope(self.fs, band)(self.rows, ends="mirror")


@lru_cache(maxsize=32)
def band_pass(fs: float, band: tuple[float, float]) -> Fir:
    """The filter behind `Bands.signal`: rate and edges of the band in Hz."""
    taps = _impulse(_response(fs, band), fs, band)
    return fir_filter(taps - taps.mean())  # nothing of an offset


@lru_cache(maxsize=32)
def band_slope(fs: float, band: tuple[float, float]) -> Fir:
    """The filter behind `Bands.slope`: rate and edges of the band in Hz; its taps are per s."""
    per_s = 2j * np.pi * np.fft.rfftfreq(_RESPONSE_SIZE, 1 / fs)
    return fir_filter(_impulse(_response(fs, band) * per_s, fs, band))


def _response(fs: float, band: tuple[float, float]) -> NDArray[np.float64]:
    sos = scipy.signal.butter(2, (band[0], min(band[1], 0.45 * fs)), "bandpass", fs=fs, output="sos")
    return np.abs(scipy.signal.freqz_sos(sos, np.fft.rfftfreq(_RESPONSE_SIZE, 1 / fs), fs=fs)[1]) ** 2


def _impulse(response: NDArray[np.inexact], fs: float, band: tuple[float, float]) -> NDArray[np.float64]:
    half = round(_REACH_CYCLES / band[0] * fs)
    whole = np.fft.irfft(response, _RESPONSE_SIZE)
    return np.concatenate((whole[-half:], whole[: half + 1]))
