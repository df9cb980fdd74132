"""The simulator: from disorders to a twelve-lead record."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clear_hug.leads import STANDARD_LEADS
from clear_hug.simulate.disorders import DISORDERS, parse_disorders
from clear_hug.simulate.draw import draw_physiology, rhythm_of
from clear_hug.simulate.fibrillation import fibrillatory_waves
from clear_hug.simulate.heartbeat import conducted_beat, premature_beat
from clear_hug.simulate.lead_field import lead_field, twelve_leads
from clear_hug.simulate.noise import lead_noise
from clear_hug.simulate.parameters import NoiseConfig, Physiology
from clear_hug.simulate.rhythm import BeatTrain, beat_train
from clear_hug.simulate.waves import render

__all__ = ["DEFAULT_NOISE", "SimulatedECG", "simulate_ecg", "simulate_physiology"]

DEFAULT_NOISE = NoiseConfig()
"""A good resting record: some hum, some muscle, a breathing baseline, now and then a moving electrode."""

_LOWEST_FS = 50
_PATIENT, _RHYTHM, _BEATS, _ATRIA, _NOISE = range(5)


@dataclass(frozen=True)
class SimulatedECG:
    """A simulated record with its ground truth.

    Attributes:
        signal: mV, float64 [n, 12].
        fs: sampling rate, Hz.
        leads: names of the columns, the standard order.
        r_index: samples of the R peaks (largest magnitude of the heart dipole in each QRS), int64 [beats], ascending.
        premature: which of those beats are premature ventricular ones, bool [beats].
        disorders: codes of what the record shows, in the order of `DISORDERS`.
        parameters: the patient behind it.
    """

    signal: NDArray[np.float64]
    fs: int
    leads: tuple[str, ...]
    r_index: NDArray[np.int64]
    premature: NDArray[np.bool_]
    disorders: tuple[str, ...]
    parameters: Physiology


def simulate_ecg(
    disorders: Iterable[str] = ("sinus rhythm",),
    *,
    seed: int,
    fs: int = 500,
    seconds: float = 10.0,
    noise: NoiseConfig | None = DEFAULT_NOISE,
    heart_rate: float | None = None,
) -> SimulatedECG:
    """Simulate one record of one patient.

    The heart is one dipole that moves with time: each beat is a sum of Gaussian waves of its three axes (McSharry et
    al. 2003; Sameni et al. 2007), projected on the leads by Dower's matrix (Dower et al. 1980). It is a teaching model,
    good for demonstrations and tests; it is not a recording, and a result on it says nothing about patients.

    The same seed draws the same patient and the same beats at any ``fs`` and with any ``noise``.

    Args:
        disorders: codes or full names of `DISORDERS`. Without a rhythm among them the rhythm is sinus.
        seed: any integer from 0 on.
        fs: sampling rate, Hz, at least 50.
        seconds: length, s.
        noise: typical noise amounts, or None for a clean record.
        heart_rate: mean ventricular rate in bpm: 20 to 300, 0 for asystole, None for one that fits the rhythm. Sinus
            rhythm is labelled by it: SBRAD below 60, STACH above 100.

    Returns:
        The record, its R peaks and its labels.

    Raises:
        TypeError: ``fs`` or ``seed`` is not an integer.
        ValueError: a disorder is unknown or excluded by another, or a number is outside its range.
    """
    codes = parse_disorders(disorders)
    rate = None if heart_rate is None else float(heart_rate)
    rhythm = rhythm_of(codes, rate)
    patient = draw_physiology(codes, rate, _stream(seed, _PATIENT))
    shown = (codes - {"SR"}) | ({rhythm} if rhythm else set())
    return simulate_physiology(
        patient, seed=seed, fs=fs, seconds=seconds, noise=noise, disorders=tuple(c for c in DISORDERS if c in shown)
    )


def simulate_physiology(
    patient: Physiology,
    *,
    seed: int,
    fs: int = 500,
    seconds: float = 10.0,
    noise: NoiseConfig | None = DEFAULT_NOISE,
    disorders: tuple[str, ...] = (),
) -> SimulatedECG:
    """Simulate a patient whose every parameter is given.

    Args:
        patient: the parameters, for example ``dataclasses.replace(ecg.parameters, ...)``.
        seed: source of beat times, beat variation and noise, from 0 on.
        fs: sampling rate, Hz, at least 50.
        seconds: length, s.
        noise: typical noise amounts, or None for a clean record.
        disorders: codes to note in the result; they change nothing.

    Returns:
        The record.

    Raises:
        TypeError: ``fs`` or ``seed`` is not an integer.
        ValueError: a number is outside its range.
    """
    samples = _sample_count(fs, seconds)
    train = beat_train(patient.rhythm, seconds, _stream(seed, _RHYTHM))
    field = lead_field(patient.torso)
    dipole = _dipole(patient, train, field, fs, samples, seed)
    independent = (field @ dipole).T
    if noise is not None:
        independent = independent + lead_noise(noise, patient.rhythm.respiration_hz, fs, samples, _stream(seed, _NOISE))
    r_index = np.round(train.r_times * fs).astype(np.int64)
    inside = (r_index >= 0) & (r_index < samples)
    return SimulatedECG(
        signal=twelve_leads(independent),
        fs=int(fs),
        leads=STANDARD_LEADS,
        r_index=r_index[inside],
        premature=train.premature[inside],
        disorders=disorders,
        parameters=patient,
    )


def _dipole(
    patient: Physiology, train: BeatTrain, field: NDArray[np.float64], fs: int, samples: int, seed: int
) -> NDArray[np.float64]:
    dipole = np.zeros((3, samples))
    if train.r_times.size == 0:
        return dipole
    rng = _stream(seed, _BEATS)
    breathing = np.sin(2 * np.pi * patient.rhythm.respiration_hz * train.r_times + rng.uniform(0, 2 * np.pi))
    variation = patient.ventricles.beat_variation
    gain = 1 + variation * (breathing + 0.5 * rng.standard_normal(train.r_times.size))
    mean_rr = 60.0 / patient.rhythm.heart_rate_bpm
    # QT follows the cycle before it, and only in part within one beat.
    stretch = np.clip((train.rr_before / mean_rr) ** (1 / 6), 0.9, 1.1)
    for beat, which in ((conducted_beat(patient, field), ~train.premature), (premature_beat(patient), train.premature)):
        if which.any():
            dipole += render(beat, train.r_times[which], gain[which], stretch[which], fs, samples)
    if patient.rhythm.mechanism == "fibrillation":
        dipole += fibrillatory_waves(patient.rhythm, np.arange(samples) / fs, _stream(seed, _ATRIA))
    return dipole


def _sample_count(fs: int, seconds: float) -> int:
    if isinstance(fs, bool) or not isinstance(fs, (int, np.integer)):
        raise TypeError(f"fs must be an integer number of Hz, got {fs!r}")
    if fs < _LOWEST_FS:
        raise ValueError(f"fs must be at least {_LOWEST_FS} Hz to show a QRS complex, got {fs!r}; use 100 or 500")
    if not math.isfinite(seconds) or seconds <= 0:
        raise ValueError(f"seconds must be a positive number, got {seconds!r}; a resting ECG has 10")
    samples = round(seconds * fs)
    if samples < 1:
        raise ValueError(f"{seconds!r} s at {fs} Hz hold no sample; raise seconds")
    return samples


def _stream(seed: int, purpose: int) -> np.random.Generator:
    # One independent stream per purpose: adding noise or changing fs leaves patient and beats as they are.
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"seed must be an integer, got {seed!r}")
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, got {seed!r}")
    return np.random.default_rng(np.random.SeedSequence([int(seed), purpose]))
