"""The official tokenizer against vectors made by its authors' code, and its rules where no recording shows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synthetic_ecg as made

from clear_hug.data import PrepareSettings, Record, prepare_record, read_wfdb
from clear_hug.data.official import official_r_peaks, official_tokens
from clear_hug.leads import STANDARD_LEADS


def test_the_same_bits_as_the_published_code(shared_dir: Path) -> None:
    with np.load(shared_dir / "reference" / "beat_tokens_ptbxl.npz", allow_pickle=False) as reference:
        expected = {name: reference[name] for name in reference.files}
    settings = PrepareSettings(tokenizer="official")
    for index, name in enumerate(expected["record"]):
        record = read_wfdb(shared_dir / "data" / "ptbxl" / "records100" / "00000" / str(name))
        peaks, real = official_r_peaks(record.signal)
        row = prepare_record(record, settings)
        assert real
        np.testing.assert_array_equal(peaks, expected["r_index"][index][expected["r_index"][index] >= 0])
        np.testing.assert_array_equal(row.tokens.reshape(180, 96), expected["tokens"][index])
        np.testing.assert_array_equal(row.valid.reshape(180), expected["pad"][index] == 0)
        np.testing.assert_array_equal(np.tile(row.seconds, 12), expected["in_times"][index])
        lead_of_token = np.repeat(np.arange(12), 15) + 1
        np.testing.assert_array_equal(lead_of_token, expected["in_chans"][index])


SIGNAL = np.arange(1.0, 1001.0)[:, None]  # sample i holds i + 1


def test_a_lone_beat_is_cut_to_one_token() -> None:
    grid = official_tokens(SIGNAL, np.array([500]))
    np.testing.assert_array_equal(grid.tokens[0, 0], np.arange(452, 548) + 1)
    assert grid.valid[0].sum() == 1


def test_first_and_last_beat_stop_48_samples_from_the_r_peak() -> None:
    grid = official_tokens(SIGNAL, np.array([10, 60, 980]))
    np.testing.assert_array_equal(grid.tokens[0, 0, 38:73], np.arange(0, 35) + 1)
    assert np.count_nonzero(grid.tokens[0, 0]) == 35
    np.testing.assert_array_equal(grid.tokens[0, 2, :68], np.arange(932, 1000) + 1)  # too long: 48 before the R peak


def test_a_beat_that_starts_early_slides_right() -> None:
    grid = official_tokens(SIGNAL, np.array([100, 210, 230]))
    np.testing.assert_array_equal(grid.tokens[0, 1, :65], np.arange(155, 220) + 1)  # 55 samples before its R peak


def test_an_r_peak_at_the_first_sample_has_no_second() -> None:
    grid = official_tokens(SIGNAL, np.array([0, 100]))
    np.testing.assert_array_equal(grid.seconds[:2], [0, 2])
    assert grid.valid[0, 0]


def test_only_15_beats_are_kept() -> None:
    grid = official_tokens(SIGNAL, np.arange(20, 1000, 40))
    assert (grid.valid.sum(), grid.beats_found) == (15, 25)


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_where_nothing_is_found_windows_are_equally_spaced(value: float) -> None:
    record = Record(np.full((1000, 12), value), 100.0, STANDARD_LEADS, "flat")
    row = prepare_record(record, PrepareSettings(tokenizer="official"))
    np.testing.assert_array_equal(row.r_index, np.linspace(0, 999, 15).astype(int))
    assert row.flag == ""
    assert "equally spaced" in row.notes[0]


def test_other_rates_go_through_fourier_resampling_and_missing_leads_are_padding() -> None:
    whole = made.record(fs=500.0, bpm=70.0)
    record = Record(whole.signal[:, :11], 500.0, whole.leads[:11], "no V6")
    row = prepare_record(record, PrepareSettings(tokenizer="official"))
    assert row.valid[:11].any(axis=1).all()
    assert not row.valid[11].any()
    assert row.r_index.max() < 1000
