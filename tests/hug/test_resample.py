"""Resampling: band-limited, no ringing at the ends, and indices that move with the signal."""

from __future__ import annotations

import numpy as np
import pytest

from clear_hug.data.resample import map_indices, rational_ratio, resample

RATES = [100.0, 128.0, 250.0, 257.0, 360.0, 400.0, 499.5, 500.0, 1000.0]


@pytest.mark.parametrize("fs", RATES)
def test_a_slow_wave_keeps_its_shape_and_its_timing(fs: float) -> None:
    t, out = np.arange(round(10 * fs)) / fs, np.arange(1000) / 100.0
    found = resample(np.stack([np.sin(2 * np.pi * 3.0 * t), 5.0 + 0.1 * t], axis=1), fs, 100.0)
    np.testing.assert_allclose(found[20:970, 0], np.sin(2 * np.pi * 3.0 * out[20:970]), atol=2e-3)
    np.testing.assert_allclose(found[:998, 1], 5.0 + 0.1 * out[:998], atol=1e-3)  # to the very ends


def test_what_lies_above_half_the_new_rate_is_removed() -> None:
    t = np.arange(5000) / 500.0
    left = np.abs(resample(np.sin(2 * np.pi * 80.0 * t)[:, None], 500.0, 100.0))
    assert left[20:-20].max() < 0.005  # the hum starts and stops at the ends, which is not above 50 Hz


@pytest.mark.parametrize("fs", RATES)
def test_indices_move_with_the_samples(fs: float) -> None:
    times = np.array([0.5, 1.23, 7.77])
    peaks = np.round(times * fs).astype(int)
    signal = np.zeros((round(10 * fs), 1))
    for r in peaks:
        signal += np.exp(-0.5 * ((np.arange(len(signal)) / fs - r / fs) / 0.03) ** 2)[:, None]
    out = resample(signal, fs, 100.0)
    for r in map_indices(peaks, fs, 100.0, len(out)):
        assert abs(int(out[r - 10 : r + 11, 0].argmax()) - 10) <= 1


def test_ratios() -> None:
    assert rational_ratio(499.5, 100.0) == rational_ratio(999.0, 200.0)
    assert (rational_ratio(257.0, 100.0).numerator, rational_ratio(257.0, 100.0).denominator) == (100, 257)
    same = np.ones((10, 2))
    assert resample(same, 100.0, 100.0) is same


@pytest.mark.parametrize("fs", [0.0, -1.0, float("nan"), float("inf"), 0.1])
def test_impossible_rates(fs: float) -> None:
    with pytest.raises(ValueError, match="cannot resample"):
        resample(np.ones((10, 1)), fs, 100.0)
