"""Filters give what SciPy's convolutions give; order statistics give what NumPy's sort gives."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal

from clear_hug.data.fir import fir_filter
from clear_hug.data.order_statistics import cell_extremes, row_medians, row_quantiles, running_maximum, running_median

ROWS = np.random.default_rng(0).standard_normal((3, 1777)).astype(np.float32)


@pytest.mark.parametrize(("up", "down"), [(1, 1), (1, 4), (1, 5), (2, 1), (5, 18), (100, 257), (200, 999)])
@pytest.mark.parametrize("count", [1, 2, 40, 1000, 1777])
def test_the_filter_is_that_of_upfirdn(up: int, down: int, count: int) -> None:
    half = 10 * max(up, down)
    taps = scipy.signal.firwin(2 * half + 1, 0.9 / max(up, down, 2))
    found = fir_filter(taps, up, down)(np.ascontiguousarray(ROWS[:, :count]))
    whole = scipy.signal.upfirdn(taps, ROWS[:, :count].astype(np.float64), up, 1, axis=1)[:, half::down]
    expected = np.zeros(found.shape)
    expected[:, : whole.shape[1]] = whole[:, : found.shape[1]]
    assert found.shape == (3, -(-count * up // down))
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_taps_in_any_order() -> None:
    taps = np.array([0.5, 0.25, 0.125])
    expected = np.stack([np.convolve(row, taps, mode="same") for row in ROWS.astype(np.float64)])
    np.testing.assert_allclose(fir_filter(taps)(ROWS), expected, atol=1e-6)


@pytest.mark.parametrize(("up", "down"), [(1, 4), (5, 18), (3, 2)])
def test_a_line_goes_on_as_a_line(up: int, down: int) -> None:
    half = 10 * max(up, down)
    taps = scipy.signal.firwin(2 * half + 1, 1 / max(up, down)) * up
    line = (3.0 + 0.001 * np.arange(1000, dtype=np.float32))[None]
    found = fir_filter(taps, up, down, unit_gain=True)(line, "line")
    np.testing.assert_allclose(found[0], 3.0 + 0.001 * np.arange(found.shape[1]) * down / up, atol=2e-4)


@pytest.mark.parametrize("ends", ["zero", "hold", "line", "mirror"])
def test_windows_are_parts_of_the_whole(ends: str) -> None:
    band = fir_filter(scipy.signal.firwin(41, 0.3))
    whole = band(ROWS, ends)
    starts = np.array([0, 3, 700, 1777 - 70], dtype=np.int64)
    found = band.around(ROWS, starts, 70, ends)
    np.testing.assert_array_equal(found, whole[:, starts[:, None] + np.arange(70)])
    assert band.around(ROWS, np.array([-50, 1760], dtype=np.int64), 70, ends).shape == (3, 2, 70)


def test_ends_that_are_given() -> None:
    band = fir_filter(scipy.signal.firwin(41, 0.3), down=4)
    inner = band(ROWS)[:, 5:-5]  # outputs that do not reach beyond the ends
    np.testing.assert_array_equal(band(ROWS, "given")[:, : inner.shape[1]], inner)


@pytest.mark.parametrize("size", [1, 2, 5, 8, 9, 41])
def test_running_medians(size: int) -> None:
    rows = np.ascontiguousarray(ROWS[:, :60])
    expected = scipy.ndimage.median_filter(rows, size=(1, size), mode="nearest")
    np.testing.assert_array_equal(running_median(rows, size), expected)
    rows = np.ascontiguousarray(ROWS[:, :58])
    shared = running_median(rows, size, every=5)
    middle = scipy.ndimage.median_filter(rows, size=(1, size), mode="nearest")[:, 2::5]
    np.testing.assert_array_equal(shared[:, 2::5], middle)
    np.testing.assert_array_equal(shared[:, 0::5][:, : middle.shape[1]], middle)


@pytest.mark.parametrize("size", [1, 3, 15, 201])
def test_running_maxima(size: int) -> None:
    rows = np.ascontiguousarray(ROWS[:, :90])
    expected = scipy.ndimage.maximum_filter1d(rows, size, axis=1, mode="nearest")
    np.testing.assert_array_equal(running_maximum(rows, size), expected)


@pytest.mark.parametrize("count", [1, 2, 7, 10])
def test_medians_and_quantiles(count: int) -> None:
    rows = np.ascontiguousarray(ROWS[:, :count])
    np.testing.assert_allclose(row_medians(rows), np.median(rows, axis=1), rtol=1e-6)
    for found, share in zip(row_quantiles(rows, (0.0, 0.3, 1.0)), (0.0, 0.3, 1.0), strict=True):
        np.testing.assert_allclose(found, np.quantile(rows.astype(np.float64), share, axis=1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("count", "cells"), [(1, 1), (15, 1), (16, 2), (100, 10), (105, 10), (106, 11)])
def test_the_last_cell_takes_what_is_left(count: int, cells: int) -> None:
    largest, smallest = cell_extremes(np.ascontiguousarray(ROWS[:, :count]), 10)
    assert largest.shape == (3, cells)
    last = ROWS[:, 10 * (cells - 1) : count]
    np.testing.assert_array_equal((largest[:, -1], smallest[:, -1]), (last.max(axis=1), last.min(axis=1)))
