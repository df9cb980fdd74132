"""A signal in one pass band after another, from a single Fourier transform."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
import scipy.signal
from numpy.typing import NDArray

__all__ = ["Bands", "split_bands"]

_PAD_S = 0.5


@dataclass(frozen=True, eq=False)
class Bands:
    """A signal whose pass bands can be asked for: zero phase, with the response of a Butterworth run both ways.

    Attributes:
        spectrum: complex64 [leads, frequencies], of the signal with `pad` samples before it.
        fs: rate, Hz.
        size: samples of the transform.
        pad: see above.
        count: m, samples of the signal.
    """

    spectrum: NDArray[np.complex64]
    fs: float
    size: int
    pad: int
    count: int

    def signal(self, band: tuple[float, float]) -> NDArray[np.float32]:
        """float32 [leads, m] between two frequencies in Hz, in the unit of the signal."""
        return self._filtered(_gain(self.size, self.fs, band))

    def slope(self, band: tuple[float, float]) -> NDArray[np.float32]:
        """The derivative of `signal(band)`, per s."""
        return self._filtered(_slope(self.size, self.fs, band))

    def _filtered(self, response: NDArray[np.inexact]) -> NDArray[np.float32]:
        whole = scipy.fft.irfft(self.spectrum * response, self.size, axis=1, overwrite_x=True)
        return np.asarray(whole[:, self.pad : self.pad + self.count])


def split_bands(rows: NDArray[np.float32], fs: float) -> Bands:
    """Transform rows [leads, m] at `fs` Hz, continued at both ends by their own mirror image about the end point."""
    leads, count = rows.shape
    pad = min(count - 1, round(_PAD_S * fs))
    size = scipy.fft.next_fast_len(count + 2 * pad, real=True)
    # Zeros fill up the transform, so the mean must go, or they make a step.
    padded = np.zeros((leads, size), dtype=np.float32)
    inner = padded[:, pad : pad + count]
    np.subtract(rows, rows.mean(axis=1, keepdims=True), out=inner)
    np.subtract(2 * inner[:, :1], inner[:, pad:0:-1], out=padded[:, :pad])
    np.subtract(2 * inner[:, -1:], inner[:, -2 : -pad - 2 : -1], out=padded[:, pad + count : count + 2 * pad])
    return Bands(scipy.fft.rfft(padded, axis=1), fs, size, pad, count)


@lru_cache(maxsize=32)
def _gain(size: int, fs: float, band: tuple[float, float]) -> NDArray[np.float32]:
    sos = scipy.signal.butter(2, (band[0], min(band[1], 0.45 * fs)), "bandpass", fs=fs, output="sos")
    response = scipy.signal.freqz_sos(sos, scipy.fft.rfftfreq(size, 1 / fs), fs=fs)[1]
    return np.asarray(np.abs(response) ** 2, dtype=np.float32)


@lru_cache(maxsize=32)
def _slope(size: int, fs: float, band: tuple[float, float]) -> NDArray[np.complex64]:
    per_s = 2j * np.pi * scipy.fft.rfftfreq(size, 1 / fs)
    return np.asarray(_gain(size, fs, band) * per_s, dtype=np.complex64)
