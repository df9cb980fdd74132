"""Pacing spikes become the local median, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage

from clear_hug.data import spikes
from clear_hug.data.sample_checks import curvature, curvature_reach

ROWS = np.random.default_rng(0).standard_normal((3, 400)).astype(np.float32)


@pytest.mark.parametrize("fs", [250.0, 500.0, 1000.0])
@pytest.mark.parametrize("threshold", [0.1, 1.0, 2.5, 100.0])
def test_medians_near_spikes_alone(fs: float, threshold: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spikes, "_TOGETHER", 7)
    repaired = spikes.remove_spikes(ROWS, fs, threshold)
    reach, width = curvature_reach(fs), 2 * round(0.012 * fs) + 1
    expected = ROWS.copy()
    for lead, row in enumerate(ROWS):
        near = np.zeros(row.shape, dtype=bool)
        near[reach:-reach] = curvature(ROWS[lead : lead + 1], reach)[0] > threshold
        near = scipy.ndimage.binary_dilation(near, iterations=reach)
        expected[lead, near] = scipy.ndimage.median_filter(row, size=width, mode="nearest")[near]
    np.testing.assert_array_equal(repaired, expected)


def test_nothing_to_repair_is_no_copy() -> None:
    assert spikes.remove_spikes(ROWS, 500.0, 100.0) is ROWS
    assert spikes.remove_spikes(ROWS, 100.0, 0.1) is ROWS  # the recorder's own filter has smeared them
