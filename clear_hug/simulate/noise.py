"""Noise at the electrodes: mains hum, muscle, baseline wander, electrode motion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clear_hug.simulate.parameters import NoiseConfig

__all__ = ["ELECTRODES_TO_LEADS", "electrode_noise", "lead_noise"]

ELECTRODES: tuple[str, ...] = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")
"""Electrodes whose potential is noisy; the right leg's is the amplifier's reference."""

ELECTRODES_TO_LEADS: NDArray[np.float64] = np.zeros((8, 9))
"""I = LA - RA, II = LL - RA, V = chest electrode - mean of the limb electrodes (Wilson's terminal); [8, 9]."""
ELECTRODES_TO_LEADS[0, [1, 0]] = 1, -1
ELECTRODES_TO_LEADS[1, [2, 0]] = 1, -1
ELECTRODES_TO_LEADS[2:, 3:] = np.eye(6)
ELECTRODES_TO_LEADS[2:, :3] = -1 / 3
ELECTRODES_TO_LEADS.flags.writeable = False


def lead_noise(
    config: NoiseConfig, respiration_hz: float, fs: int, samples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Noise of one record in the independent leads.

    Args:
        config: typical amounts.
        respiration_hz: breathing rate, Hz.
        fs: sampling rate, Hz.
        samples: length of the record.
        rng: source of the draws.

    Returns:
        I, II, V1…V6 in mV, float64 [samples, 8].
    """
    return electrode_noise(config, respiration_hz, fs, samples, rng) @ ELECTRODES_TO_LEADS.T


def electrode_noise(
    config: NoiseConfig, respiration_hz: float, fs: int, samples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Noise potentials of the electrodes RA, LA, LL, V1…V6 in mV, float64 [samples, 9]; arguments as `lead_noise`."""
    seconds = np.arange(samples) / fs
    amount = np.exp(config.variation * rng.standard_normal(4))
    noise = np.zeros((samples, len(ELECTRODES)))
    if config.powerline_mv:
        noise += _hum(config.powerline_mv * amount[0], config.powerline_hz, seconds, fs, rng)
    if config.emg_mv:
        noise += config.emg_mv * amount[1] * _band_noise(20.0, 150.0, fs, samples, rng)
    if config.baseline_mv:
        noise += config.baseline_mv * amount[2] * _wander(respiration_hz, seconds, rng)
    if config.motion_mv and config.motion_per_minute:
        noise += config.motion_mv * amount[3] * _motion(config.motion_per_minute, seconds, fs, rng)
    return noise


def _tone(
    frequency_hz: float, seconds: NDArray[np.float64], amplitude: NDArray[np.float64], phase: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sine of one frequency at every electrode, [n, 9]; two sines in time serve all phases."""
    angle = 2 * np.pi * frequency_hz * seconds
    basis = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    return np.asarray(basis @ np.stack([amplitude * np.cos(phase), amplitude * np.sin(phase)]))


def _hum(
    amplitude: float, mains_hz: float, seconds: NDArray[np.float64], fs: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    coupling = amplitude * rng.uniform(0.3, 1.0, len(ELECTRODES))
    phase = rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.3, len(ELECTRODES))
    hum = np.zeros((seconds.size, len(ELECTRODES)))
    for harmonic, share in ((1, 1.0), (3, 0.2)):
        if harmonic * mains_hz < fs / 2:
            hum += _tone(harmonic * mains_hz, seconds, share * coupling, harmonic * phase)
    return hum


def _band_noise(low_hz: float, high_hz: float, fs: int, samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    # Smooth band edges (first order) leave no ringing; where fs cannot carry the band, what fits is kept.
    frequency = np.fft.rfftfreq(samples, 1 / fs)[:, None]
    response = 1 / np.sqrt((1 + (low_hz / np.maximum(frequency, 1e-9)) ** 2) * (1 + (frequency / high_hz) ** 2))
    white = rng.standard_normal((samples, len(ELECTRODES)))
    noise = np.fft.irfft(response * np.fft.rfft(white, axis=0), samples, axis=0)
    spread = rng.uniform(0.6, 1.4, len(ELECTRODES))
    return np.asarray(spread * noise / np.maximum(noise.std(axis=0), 1e-12))


def _wander(respiration_hz: float, seconds: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    phase = rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.4, len(ELECTRODES))
    wander = _tone(respiration_hz, seconds, rng.uniform(0.2, 1.0, len(ELECTRODES)), phase)
    for _ in range(3):
        drift_hz, phase = rng.uniform(0.02, 0.15), rng.uniform(0, 2 * np.pi, len(ELECTRODES))
        wander += _tone(drift_hz, seconds, rng.uniform(0.0, 0.8, len(ELECTRODES)), phase)
    return wander


def _motion(per_minute: float, seconds: NDArray[np.float64], fs: int, rng: np.random.Generator) -> NDArray[np.float64]:
    motion = np.zeros((seconds.size, len(ELECTRODES)))
    span = seconds.size / fs
    for _ in range(int(rng.poisson(per_minute * span / 60))):
        at, width = rng.uniform(0, span), rng.uniform(0.1, 0.5)
        swing_hz, phase = rng.uniform(1.0, 8.0), rng.uniform(0, 2 * np.pi)
        burst = np.exp(-0.5 * ((seconds - at) / width) ** 2) * np.sin(2 * np.pi * swing_hz * (seconds - at) + phase)
        motion[:, int(rng.integers(len(ELECTRODES)))] += rng.uniform(0.5, 1.5) * burst
    return motion
