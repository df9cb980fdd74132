"""`detect_beats` on made-up signals: rates, noise, pacing, bad leads, and signals without a beat."""

from __future__ import annotations

import numpy as np
import pytest
import synthetic_ecg as made
from numpy.typing import NDArray

from clear_hug.data import detect_beats
from clear_hug.leads import STANDARD_LEADS


def _agree(found: NDArray[np.int64], times: NDArray[np.float64], fs: float, within: float) -> None:
    assert len(found) == len(times), f"{found / fs} instead of {times}"
    np.testing.assert_allclose(found / fs, times, atol=within)


@pytest.mark.parametrize("bpm", [20, 30, 40, 60, 100, 150, 200, 250, 300])
def test_every_beat_from_20_to_300_per_minute(bpm: int) -> None:
    times = made.r_times(30.0, bpm, first=0.5)
    _agree(detect_beats(made.twelve_leads(500.0, times, 30.0), 500.0, STANDARD_LEADS), times, 500.0, 0.012)


@pytest.mark.parametrize("fs", [100.0, 128.0, 250.0, 257.0, 360.0, 499.5, 1000.0])
def test_the_r_peak_is_found_at_any_rate(fs: float) -> None:
    times = made.r_times(10.0, 72.0)
    _agree(detect_beats(made.twelve_leads(fs, times, 10.0), fs, STANDARD_LEADS), times, fs, 0.011)


@pytest.mark.parametrize("leads", [STANDARD_LEADS, ("II", "V5"), ("II",)], ids=len)
@pytest.mark.parametrize("noise_mv", [0.0, 0.05])
@pytest.mark.parametrize("fs", [250.0, 360.0, 500.0, 1000.0])
def test_the_r_peak_is_found_to_one_sample_at_the_native_rate(
    fs: float, noise_mv: float, leads: tuple[str, ...]
) -> None:
    """Beats whose R wave is tallest at a known sample; the noise, a twentieth of it, comes with drift and hum."""
    for seed, bpm in enumerate((45.0, 72.0, 101.0, 140.0)):
        truth = np.round(made.r_times(20.0, bpm) * fs).astype(np.int64)
        signal = made.twelve_leads(fs, truth / fs, 20.0)
        assert np.argmax(signal[: truth[0] + 20, 1]) == truth[0]
        t = np.arange(len(signal)) / fs
        signal += noise_mv * np.random.default_rng(seed).standard_normal(signal.shape)
        signal += noise_mv * (10 * np.sin(2 * np.pi * 0.3 * t) + np.sin(2 * np.pi * 50.0 * t))[:, None]
        found = detect_beats(signal[:, [STANDARD_LEADS.index(lead) for lead in leads]], fs, leads)
        assert len(found) == len(truth)
        assert np.abs(found - truth).max() <= 1, f"{found - truth} at {bpm} bpm"


@pytest.mark.parametrize("seconds", [2.0, 8.0, 60.0])
def test_short_and_long_recordings(seconds: float) -> None:
    times = made.r_times(seconds, 66.0)
    _agree(detect_beats(made.twelve_leads(250.0, times, seconds), 250.0, STANDARD_LEADS), times, 250.0, 0.012)


def test_irregular_rhythm() -> None:
    times = 0.5 + np.cumsum(np.random.default_rng(3).uniform(0.4, 1.4, 30))
    seconds = float(times[-1]) + 1
    _agree(detect_beats(made.twelve_leads(500.0, times, seconds), 500.0, STANDARD_LEADS), times, 500.0, 0.012)


def test_noise_drift_and_hum() -> None:
    times = made.r_times(20.0, 75.0)
    signal = made.twelve_leads(500.0, times, 20.0)
    t = np.arange(len(signal)) / 500.0
    signal += 0.8 * np.sin(2 * np.pi * 0.3 * t)[:, None] + 0.1 * np.sin(2 * np.pi * 50.0 * t)[:, None]
    signal += 0.05 * np.random.default_rng(0).standard_normal(signal.shape)
    _agree(detect_beats(signal, 500.0, STANDARD_LEADS), times, 500.0, 0.015)


@pytest.mark.parametrize("bad", ["noise", "nan", "flat", "spikes", "steps"])
def test_one_bad_lead_among_others_changes_nothing(bad: str) -> None:
    times = made.r_times(10.0, 72.0)
    signal = made.twelve_leads(500.0, times, 10.0)
    rng = np.random.default_rng(1)
    spoiled = {
        "noise": rng.standard_normal(5000),
        "nan": np.full(5000, np.nan),
        "flat": np.zeros(5000),
        "spikes": np.where(rng.random(5000) < 0.01, 8.0, 0.0),
        "steps": 4.0 * (np.arange(5000) // 700 % 2),
    }[bad]
    for column in (0, 1, 7):
        broken = signal.copy()
        broken[:, column] = spoiled
        _agree(detect_beats(broken, 500.0, STANDARD_LEADS), times, 500.0, 0.012)


def test_two_good_leads_among_ten_noisy_ones() -> None:
    times = made.r_times(20.0, 72.0)
    signal = made.twelve_leads(500.0, times, 20.0)
    rng = np.random.default_rng(2)
    noise = np.repeat(rng.standard_normal((1000, 10)), 10, axis=0)  # steps of 20 ms, in the band of a QRS
    signal[:, 2:] += noise
    _agree(detect_beats(signal, 500.0, STANDARD_LEADS), times, 500.0, 0.05)


def test_a_single_lead_is_enough() -> None:
    times = made.r_times(10.0, 72.0)
    signal = made.twelve_leads(500.0, times, 10.0)
    for column, lead in enumerate(STANDARD_LEADS):
        _agree(detect_beats(signal[:, [column]], 500.0, [lead]), times, 500.0, 0.04)


def test_low_voltage() -> None:
    times = made.r_times(10.0, 72.0)
    _agree(detect_beats(0.05 * made.twelve_leads(500.0, times, 10.0), 500.0, STANDARD_LEADS), times, 500.0, 0.012)


@pytest.mark.parametrize("lead_time", [0.04, 0.15])
def test_pacing_spikes_are_no_beats(lead_time: float) -> None:
    times = made.r_times(10.0, 70.0)
    signal = made.twelve_leads(500.0, times, 10.0)
    for r in times:
        at = round((r - lead_time) * 500.0)
        signal[at : at + 1] += 5.0
        signal[at + 1 : at + 2] -= 2.0
    _agree(detect_beats(signal, 500.0, STANDARD_LEADS), times, 500.0, 0.02)


def test_a_pause_and_an_early_beat() -> None:
    times = np.array([0.5, 1.3, 2.1, 2.55, 4.9, 5.7, 6.5, 7.3])  # an early beat at 2.55 s, then a pause
    _agree(detect_beats(made.twelve_leads(500.0, times, 8.5), 500.0, STANDARD_LEADS), times, 500.0, 0.012)


def test_wide_ventricular_beats_and_their_t_waves() -> None:
    """Bigeminy: every second beat is early, tall, three times as wide, and has a T wave that is steep as well."""
    narrow = np.arange(0.5, 18.0, 1.6)
    wide = narrow + 0.5
    signal = made.twelve_leads(500.0, narrow, 18.5)
    t = np.arange(len(signal)) / 500.0
    for r in wide:
        shape = np.exp(-0.5 * ((t - r) / 0.032) ** 2) - 0.55 * np.exp(-0.5 * ((t - r - 0.36) / 0.024) ** 2)
        signal += np.outer(1.4 * shape, np.abs(signal[:400]).max(axis=0))
    times = np.sort(np.concatenate((narrow, wide)))
    _agree(detect_beats(signal, 500.0, STANDARD_LEADS), times, 500.0, 0.02)


def test_polarity_and_gaps_do_not_matter() -> None:
    times = made.r_times(10.0, 72.0)
    signal = -made.twelve_leads(500.0, times, 10.0)
    signal[1200:1230] = np.nan
    signal[3000, 4] = np.inf
    _agree(detect_beats(signal, 500.0, STANDARD_LEADS), times, 500.0, 0.012)


@pytest.mark.parametrize("kind", ["flat", "offset", "nan", "noise", "walk", "empty", "one sample", "short"])
def test_signals_without_a_beat_give_none(kind: str) -> None:
    rng = np.random.default_rng(5)
    signal = {
        "flat": np.zeros((5000, 12)),
        "offset": np.full((5000, 12), 3.0),
        "nan": np.full((5000, 12), np.nan),
        "noise": 0.1 * rng.standard_normal((5000, 12)),
        "walk": 0.01 * rng.standard_normal((5000, 12)).cumsum(axis=0),
        "empty": np.zeros((0, 12)),
        "one sample": np.ones((1, 12)),
        "short": rng.standard_normal((20, 12)),
    }[kind]
    found = detect_beats(signal, 500.0, STANDARD_LEADS)
    assert found.dtype == np.int64
    assert found.shape == (0,)


@pytest.mark.parametrize(
    ("shape", "fs", "leads", "message"),
    [
        ((5000,), 500.0, ["I"], r"\(5000,\)"),
        ((5000, 2), 500.0, ["I"], "1 lead names"),
        ((5000, 1), 500.0, ["Q"], "unknown lead name 'Q'"),
        ((5000, 1), 40.0, ["I"], "40.0 Hz"),
        ((5000, 1), float("nan"), ["I"], "nan Hz"),
    ],
)
def test_refusals(shape: tuple[int, ...], fs: float, leads: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        detect_beats(np.zeros(shape), fs, leads)
