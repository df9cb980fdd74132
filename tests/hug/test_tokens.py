"""`cut_tokens`: R peak in the middle, every sample in one beat, nothing made up."""

from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import synthetic_ecg as made
from hypothesis import given, settings

from clear_hug.data import PrepareSettings, cut_tokens
from clear_hug.data.store_summary import cycle_coverage
from clear_hug.data.tokenizers import TOKENIZERS


@pytest.mark.parametrize(("fs", "samples"), [(None, 150), (100.0, 150), (250.0, 375), (500.0, 750)])
def test_tokens_hold_a_second_and_a_half_at_every_rate(fs: float | None, samples: int) -> None:
    assert PrepareSettings(fs=fs).samples == samples
    assert PrepareSettings(fs=fs, beat_samples=96).samples == 96


@pytest.mark.parametrize("fs", [0.0, 49.0, 20_000.0, 1e9, float("nan"), float("inf")])
def test_rates_that_are_none_are_refused(fs: float) -> None:
    with pytest.raises(ValueError, match="ask for 50 to 10000 Hz"):
        PrepareSettings(fs=fs)


def test_a_beat_reaches_half_way_to_its_neighbours() -> None:
    signal = np.arange(100.0)[:, None] + 1  # sample i holds i + 1
    grid = cut_tokens(signal, np.array([20, 50, 61]), fs=10.0, beats=4, beat_samples=40)
    first, second, third, empty = grid.tokens[0]
    np.testing.assert_array_equal(first[:35], np.arange(0, 35) + 1)  # 35 = (20 + 50) // 2 is the next beat's
    np.testing.assert_array_equal(first[35:], 0)
    np.testing.assert_array_equal(second[5:26], np.arange(35, 56) + 1)
    assert not second[:5].any()
    assert not second[26:].any()
    np.testing.assert_array_equal(third[15:], np.arange(56, 81) + 1)  # to the end of the token
    assert not empty.any()
    assert [token[20] for token in (first, second, third)] == [21, 51, 62]  # R at sample S // 2
    np.testing.assert_array_equal(grid.valid, [[True, True, True, False]])
    np.testing.assert_array_equal(grid.seconds, [3, 6, 7, 0])
    np.testing.assert_array_equal(grid.r_index, [20, 50, 61, -1])
    assert (grid.tokens.dtype, grid.seconds.dtype, grid.r_index.dtype) == (np.float32, np.int32, np.int32)


@settings(deadline=None, max_examples=60)
@given(
    length=st.integers(1, 400),
    peaks=st.sets(st.integers(0, 399), max_size=30),
    beats=st.integers(1, 12),
    beat_samples=st.integers(1, 90),
    leads=st.integers(1, 3),
)
def test_any_beats_on_any_grid(length: int, peaks: set[int], beats: int, beat_samples: int, leads: int) -> None:
    r_index = np.array(sorted(p for p in peaks if p < length), dtype=np.int64)
    signal = np.arange(1.0, 1 + length * leads).reshape(length, leads)  # every sample differs
    grid = cut_tokens(signal, r_index, fs=50.0, beats=beats, beat_samples=beat_samples)
    kept = r_index[:beats]
    assert grid.beats_found == len(r_index)
    np.testing.assert_array_equal(grid.valid, np.tile(np.arange(beats) < len(kept), (leads, 1)))
    np.testing.assert_array_equal(grid.seconds[: len(kept)], kept // 50 + 1)
    for lead in range(leads):
        used = grid.tokens[lead][grid.tokens[lead] != 0]
        assert len(np.unique(used)) == len(used)  # no sample twice
        for slot, r in enumerate(kept):
            token = grid.tokens[lead, slot]
            assert token[beat_samples // 2] == signal[r, lead]
            where = np.flatnonzero(token)
            assert np.all(np.diff(where) == 1)
            np.testing.assert_array_equal(token[where], signal[r - beat_samples // 2 + where, lead])
    if beat_samples == 1 or len(r_index) != len(kept) or not len(r_index):
        return
    if beat_samples >= 2 * length:  # tokens long enough for everything: then every sample is in exactly one beat
        assert np.count_nonzero(grid.tokens[0]) == length


@pytest.mark.parametrize("bpm", [40, 72, 120, 180])
def test_the_default_sizes_lose_nothing_between_40_and_180_per_minute(bpm: int) -> None:
    peaks = np.round(100 * made.r_times(10.0, bpm)).astype(int)
    grid = cut_tokens(np.ones((1000, 1)), peaks, fs=100.0)
    assert grid.valid.sum() == len(peaks)
    assert np.count_nonzero(grid.tokens) == min(peaks[-1] + 75, 1000) - max(peaks[0] - 75, 0)


def test_a_flat_beat_is_padding_in_its_lead_only() -> None:
    signal = np.random.default_rng(0).standard_normal((300, 2))
    signal[100:200, 1] = 0.7
    grid = cut_tokens(signal, np.array([50, 150, 250]), fs=100.0, beats=3, beat_samples=200, flat_mv=0.02)
    np.testing.assert_array_equal(grid.valid, [[True, True, True], [True, False, True]])
    assert not grid.tokens[1, 1].any()


@pytest.mark.parametrize(
    ("signal", "peaks", "sizes", "message"),
    [
        (np.zeros(10), [1], (2, 4), "shape"),
        (np.zeros((0, 2)), [], (2, 4), "shape"),
        (np.full((10, 1), np.nan), [1], (2, 4), "NaN"),
        (np.zeros((10, 1)), [5, 3], (2, 4), "increase"),
        (np.zeros((10, 1)), [-1], (2, 4), "increase"),
        (np.zeros((10, 1)), [10], (2, 4), r"inside \[0, 10\)"),
        (np.zeros((10, 1)), [1], (0, 4), "beats=0"),
    ],
)
def test_refusals(signal: np.ndarray, peaks: list[int], sizes: tuple[int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cut_tokens(signal, np.array(peaks, dtype=int), fs=100.0, beats=sizes[0], beat_samples=sizes[1])


def test_tokenizers_are_found_by_name_and_refuse_sizes_they_do_not_have() -> None:
    assert PrepareSettings().samples == 150
    assert (PrepareSettings(tokenizer="official").slots, PrepareSettings(tokenizer="official").samples) == (15, 96)
    with pytest.raises(ValueError, match=f"'cubes'; choose one of {', '.join(TOKENIZERS)}"):
        PrepareSettings(tokenizer="cubes")
    with pytest.raises(ValueError, match=r"\(100.0, 15, 96\).* not \(100.0, 20, 96\)"):
        PrepareSettings(tokenizer="official", beats=20)
    with pytest.raises(ValueError, match="twelve standard leads"):
        PrepareSettings(tokenizer="official", leads=("I", "II"))


def test_settings_survive_their_dict() -> None:
    for settings_ in (
        PrepareSettings(),
        PrepareSettings(tokenizer="official"),
        PrepareSettings(leads=("V1",), beats=3),
    ):
        assert PrepareSettings.from_dict(settings_.to_dict()) == settings_
    with pytest.raises(ValueError, match="not the settings"):
        PrepareSettings.from_dict({"tokenizer": "beats"})
    with pytest.raises(ValueError, match="beat detector 'older'"):
        PrepareSettings.from_dict({**PrepareSettings().to_dict(), "detector": "older"})


@pytest.mark.parametrize(
    "bad", [{"fs": 10.0}, {"beats": 0}, {"beat_samples": 1}, {"leads": ()}, {"leads": ("V9",)}, {"leads": ("I", "i")}]
)
def test_settings_that_cannot_be(bad: dict) -> None:
    with pytest.raises(ValueError):
        PrepareSettings(**bad)


@pytest.mark.parametrize("bpm", [40, 60, 80, 100, 120, 150, 180])
@pytest.mark.parametrize(("beats", "beat_samples"), [(30, 150), (15, 96)])
def test_how_much_is_kept_is_what_the_documentation_says(bpm: int, beats: int, beat_samples: int) -> None:
    """Ten seconds of a regular rhythm: the share of its beats, and the share of each cycle, in a token."""
    r_index = np.round(np.arange(0.1, 10.0, 60.0 / bpm) * 100.0).astype(int)
    grid = cut_tokens(np.ones((1000, 1)), r_index, fs=100.0, beats=beats, beat_samples=beat_samples)
    kept = (grid.r_index >= 0).sum() / grid.beats_found
    inside, length = cycle_coverage(grid.r_index[None], beat_samples)
    row = f"{100 * kept:.0f} % / {100 * inside / length:.0f} %"
    table = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    line = next(line for line in table.splitlines() if line.startswith(f"| T {beats}, S {beat_samples} |"))
    head = next(line for line in table.splitlines() if line.startswith("| beats / cycle |"))
    column = [cell.strip() for cell in head.split("|")].index(f"{bpm} bpm")
    assert [cell.strip() for cell in line.split("|")][column] == row
