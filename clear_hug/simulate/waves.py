"""A beat as a sum of Gaussian dipole waves, and the train of beats that it becomes.

McSharry et al. (2003) write one lead as a sum of Gaussians over the cardiac phase; Sameni et al. (2007) do the same
for each axis of the heart dipole. Here a wave has one centre, one dipole vector and two widths (rise and fall), and
time is kept in seconds from the R peak instead of phase: PR and QRS do not stretch with the cycle, QT does by its own
rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clear_hug.simulate.parameters import Vector

__all__ = ["Beat", "Wave", "evaluate", "render", "rotated", "scaled", "shifted"]

REACH = 4.5
"""Widths after which a Gaussian counts as over (4e-5 of its peak)."""

_CHUNK = 20_000


@dataclass(frozen=True)
class Wave:
    """One asymmetric Gaussian of the heart dipole.

    Attributes:
        name: what it is, such as "septum" or "T".
        centre_s: peak time, s.
        rise_s: Gaussian width before the peak, s.
        fall_s: Gaussian width after the peak, s.
        dipole_mv: vector at the peak, mV (x left, y feet, z back).
        repolarisation: it belongs to ST or T, whose timing follows the RR interval.
    """

    name: str
    centre_s: float
    rise_s: float
    fall_s: float
    dipole_mv: Vector
    repolarisation: bool = False


Beat = tuple[Wave, ...]
"""All waves of one heartbeat; times relative to its R peak."""


def shifted(waves: Sequence[Wave], seconds: float) -> list[Wave]:
    """The waves, ``seconds`` later."""
    return [replace(wave, centre_s=wave.centre_s + seconds) for wave in waves]


def scaled(waves: Sequence[Wave], factor: float) -> list[Wave]:
    """The waves with their dipoles times ``factor``."""
    return [_with_dipole(wave, np.asarray(wave.dipole_mv) * factor) for wave in waves]


def rotated(waves: Sequence[Wave], degrees: float) -> list[Wave]:
    """The waves turned in the frontal plane, by ``degrees`` from left towards the feet."""
    turn = np.deg2rad(degrees)
    matrix = np.array([[np.cos(turn), -np.sin(turn), 0.0], [np.sin(turn), np.cos(turn), 0.0], [0.0, 0.0, 1.0]])
    return [_with_dipole(wave, matrix @ np.asarray(wave.dipole_mv)) for wave in waves]


def _with_dipole(wave: Wave, vector: NDArray[np.float64]) -> Wave:
    x, y, z = (float(v) for v in vector)
    return replace(wave, dipole_mv=(x, y, z))


def evaluate(waves: Sequence[Wave], seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Heart dipole of one beat.

    Args:
        waves: the waves to add.
        seconds: times on the clock of the waves, s, [n].

    Returns:
        Dipole in mV, float64 [3, n].
    """
    centre, rise, fall, dipole = _columns(waves)
    offset = seconds - centre[:, None]
    width = np.where(offset < 0, rise[:, None], fall[:, None])
    return np.asarray(dipole.T @ np.exp(-0.5 * (offset / width) ** 2))


def render(
    beat: Beat,
    r_times: NDArray[np.float64],
    gain: NDArray[np.float64],
    stretch: NDArray[np.float64],
    fs: int,
    samples: int,
) -> NDArray[np.float64]:
    """Heart dipole of a train of equal beats.

    Args:
        beat: the waves, times relative to the R peak.
        r_times: R peaks, s, [beats]; those outside the record still contribute their tails.
        gain: amplitude factor of each beat, [beats].
        stretch: factor on the repolarisation times of each beat, [beats].
        fs: sampling rate, Hz.
        samples: length of the record.

    Returns:
        Dipole in mV, float64 [3, samples].
    """
    dipole_train = np.zeros((3, samples))
    centre, rise, fall, dipole = _columns(beat)
    follows = np.array([wave.repolarisation for wave in beat])
    factor = np.where(follows, stretch[:, None], 1.0)
    peak = (r_times[:, None] + centre * factor).ravel()
    rise, fall = (rise * factor).ravel(), (fall * factor).ravel()
    amplitude = (gain[:, None, None] * dipole).reshape(-1, 3)
    first = np.clip(np.ceil((peak - REACH * rise) * fs), 0, samples).astype(np.int64)
    last = np.clip(np.floor((peak + REACH * fall) * fs) + 1, 0, samples).astype(np.int64)
    # Chunks bound the memory of a day-long record; within one, every sample of every wave is a row of a flat list.
    for start in range(0, peak.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        length = np.maximum(last[part] - first[part], 0)
        total = int(length.sum())
        if total == 0:
            continue
        owner = start + np.repeat(np.arange(length.size), length)
        position = np.arange(total) - np.repeat(np.cumsum(length) - length, length) + first[owner]
        offset = position / fs - peak[owner]
        value = np.exp(-0.5 * (offset / np.where(offset < 0, rise[owner], fall[owner])) ** 2)
        low, high = int(position.min()), int(position.max()) + 1
        for axis in range(3):
            weight = value * amplitude[owner, axis]
            dipole_train[axis, low:high] += np.bincount(position - low, weights=weight, minlength=high - low)
    return dipole_train


def _columns(waves: Sequence[Wave]) -> tuple[NDArray[np.float64], ...]:
    centre = np.array([wave.centre_s for wave in waves], dtype=np.float64)
    rise = np.array([wave.rise_s for wave in waves], dtype=np.float64)
    fall = np.array([wave.fall_s for wave in waves], dtype=np.float64)
    return centre, rise, fall, np.array([wave.dipole_mv for wave in waves], dtype=np.float64).reshape(-1, 3)
