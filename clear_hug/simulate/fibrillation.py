"""Fibrillatory waves of the atria."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clear_hug.simulate.parameters import Rhythm

__all__ = ["fibrillatory_waves"]

_DIRECTIONS = np.array([[-0.30, 0.45, -0.84], [0.45, 0.62, -0.64]])
_HARMONICS = 3


def fibrillatory_waves(rhythm: Rhythm, seconds: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Heart dipole of fibrillating atria.

    Each of two sources is the sawtooth of Stridh & Sörnmo (2001): a few harmonics of a fundamental whose frequency and
    amplitude swing slowly. The stronger one is near V1, where f waves are seen best.

    Args:
        rhythm: dominant frequency (Hz) and amplitude (mV) of the waves.
        seconds: sample times, s, [n].
        rng: source of phases and modulations.

    Returns:
        Dipole in mV, float64 [3, n].
    """
    dipole = np.zeros((3, seconds.size))
    for direction, share in zip(_DIRECTIONS, (1.0, 0.5), strict=True):
        fundamental = rhythm.f_wave_hz * rng.uniform(0.95, 1.05)
        deviation, modulation = rng.uniform(0.2, 0.5), rng.uniform(0.1, 0.3)
        swing, swing_hz = rng.uniform(0.15, 0.4), rng.uniform(0.1, 0.6)
        start = rng.uniform(0, 2 * np.pi, 3)
        phase = (
            2 * np.pi * fundamental * seconds
            + deviation / modulation * np.sin(2 * np.pi * modulation * seconds + start[0])
            + start[1]
        )
        amplitude = 1 + swing * np.sin(2 * np.pi * swing_hz * seconds + start[2])
        wave = sum(2 / (m * np.pi) * np.sin(m * phase) for m in range(1, _HARMONICS + 1))
        dipole += direction[:, None] * (share * rhythm.f_wave_mv * amplitude * wave)
    return dipole
