"""Which leads are used, which are not, and what is said about them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import synthetic_ecg as made
from numpy.typing import NDArray

from clear_hug.data import PrepareSettings, Record, prepare_record, read_wfdb
from clear_hug.data.lead_select import select_leads
from clear_hug.data.quality import QualityLimits, check_leads, quality_codes
from clear_hug.leads import STANDARD_LEADS

GOOD = made.record(fs=250.0).signal
SETTINGS = PrepareSettings()


def _check(signal: NDArray[np.float64]) -> tuple[str, ...]:
    return check_leads(signal, STANDARD_LEADS, 250.0).notes


def test_a_good_recording_passes_unchanged_and_without_a_remark() -> None:
    checked = check_leads(GOOD, STANDARD_LEADS, 250.0)
    assert checked.valid.all()
    assert checked.notes == ()
    np.testing.assert_array_equal(checked.signal, GOOD.astype(np.float32))


def test_flat_missing_and_implausible_leads_are_left_out() -> None:
    signal = GOOD.copy()
    signal[:, 3] = 0.4
    signal[:, 7] = np.nan
    signal[:, 9] *= 1000
    checked = check_leads(signal, STANDARD_LEADS, 250.0)
    np.testing.assert_array_equal(np.flatnonzero(~checked.valid), [3, 7, 9])
    assert checked.notes == ("aVR flat", "V4 range above 50 mV, left out (wrong unit or gain?)")
    assert np.isfinite(checked.signal).all()
    assert not checked.signal[:, [3, 7, 9]].any()


def test_noise_or_one_spike_does_not_make_a_flat_lead_lively() -> None:
    signal = GOOD.copy()
    signal[:, 7] = 0.003 * np.random.default_rng(0).standard_normal(len(signal))
    signal[:, 8] = 0.2
    signal[500, 8] = 0.27
    assert np.ptp(signal[:, 7]) > 0.02
    assert _check(signal) == ("V2 V3 flat",)


def test_a_spike_does_not_make_a_lead_implausible() -> None:
    signal = GOOD.copy()
    signal[100, 2] = 90.0
    assert check_leads(signal, STANDARD_LEADS, 250.0).valid.all()


def test_short_gaps_are_bridged_and_long_ones_are_not() -> None:
    signal = GOOD.copy()
    signal[440:460, 6] = np.nan  # 0.08 s
    signal[300, 6] = np.inf
    signal[440:470, 8] = np.nan  # 0.12 s
    checked = check_leads(signal, STANDARD_LEADS, 250.0)
    assert checked.notes == ("V1 short gaps interpolated", "V3 gaps longer than 0.1 s, left out")
    np.testing.assert_allclose(checked.signal[440:460, 6], GOOD[440:460, 6], atol=0.02)
    np.testing.assert_array_equal(np.flatnonzero(~checked.valid), [8])


def test_clipping_is_noticed() -> None:
    signal = GOOD.copy()
    signal[:, 10] = np.clip(signal[:, 10], -0.02, 0.3)
    assert _check(signal) == ("V5 clipped",)


def test_limb_leads_that_contradict_each_other_are_noticed() -> None:
    signal = GOOD.copy()
    signal[:, 1] *= 3
    assert "I + III differs from II by" in _check(signal)[0]
    swapped = GOOD.copy()
    swapped[:, [0, 6]] = swapped[:, [6, 0]]
    assert "wrong gains or lead names?" in _check(swapped)[0]


def test_thresholds_are_settings() -> None:
    strict = QualityLimits(flat_mv=10.0)
    assert not check_leads(GOOD, STANDARD_LEADS, 250.0, strict).valid.any()


def test_leads_are_taken_by_name_in_any_order() -> None:
    order = np.random.default_rng(0).permutation(12)
    record = Record(GOOD[:, order], 250.0, tuple(STANDARD_LEADS[i] for i in order), "shuffled")
    signal, notes = select_leads(record, STANDARD_LEADS)
    np.testing.assert_array_equal(signal, GOOD)
    assert notes == ()
    picked, _ = select_leads(record, ("V6", "I"))
    np.testing.assert_array_equal(picked, GOOD[:, [11, 0]])


def test_four_limb_leads_follow_from_two() -> None:
    keep = [0, 1, *range(6, 12)]
    record = Record(GOOD[:, keep], 250.0, tuple(STANDARD_LEADS[i] for i in keep), "eight leads")
    signal, notes = select_leads(record, STANDARD_LEADS)
    np.testing.assert_allclose(signal, GOOD, atol=1e-12)
    assert notes == ("III aVR aVL aVF derived from I and II",)
    row = prepare_record(record, SETTINGS)
    assert row.valid.any(axis=1).all()
    assert notes[0] in row.notes


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_leads_without_a_finite_sample_are_derived_or_noted(value: float) -> None:
    signal = GOOD.copy()
    signal[:, [2, 9]] = value  # III, V4
    row = prepare_record(Record(signal, 250.0, STANDARD_LEADS, "two empty leads"), SETTINGS)
    assert row.valid.any(axis=1).tolist() == [lead != "V4" for lead in STANDARD_LEADS]
    assert "III derived from I and II" in row.notes
    assert "V4 without a finite sample" in row.notes


def test_leads_that_cannot_be_had_are_padding() -> None:
    record = Record(GOOD[:, [1, 6]], 250.0, ("II", "V1"), "two leads")
    row = prepare_record(record, SETTINGS)
    np.testing.assert_array_equal(np.flatnonzero(row.valid.any(axis=1)), [1, 6])
    assert row.notes == ("I III aVR aVL aVF V2 V3 V4 V5 V6 missing",)
    assert row.flag == ""
    assert not row.tokens[~row.valid].any()


def test_beats_of_an_electrode_that_fell_off_are_padding() -> None:
    signal = GOOD.copy()
    signal[1250:, 11] = 0.1
    row = prepare_record(Record(signal, 250.0, STANDARD_LEADS, "V6 fell off"), SETTINGS)
    beats = row.r_index >= 0
    np.testing.assert_array_equal(row.valid[0], beats)
    assert 0 < row.valid[11].sum() < beats.sum()
    assert any(note == "V6 flat for some beats, which are left out there" for note in row.notes)


@pytest.mark.parametrize(
    ("signal", "leads", "flag"),
    [
        (np.zeros((2500, 12)), STANDARD_LEADS, "no beats found: I II III aVR aVL aVF V1 V2 V3 V4 V5 V6 flat"),
        (
            0.1 * np.random.default_rng(0).standard_normal((2500, 12)),
            STANDARD_LEADS,
            "no beats found: I + III differs from II",
        ),
        (GOOD[:200], STANDARD_LEADS, "too short: 0.8 s, at least 1 s are needed"),
        (GOOD[:, :2], ("V1", "V2"), "no usable lead: I II missing"),
    ],
)
def test_recordings_that_cannot_be_used_are_flagged(signal: np.ndarray, leads: tuple[str, ...], flag: str) -> None:
    settings = SETTINGS if len(leads) == 12 else PrepareSettings(leads=("I", "II"))
    row = prepare_record(Record(signal, 250.0, leads, "bad"), settings)
    assert row.flag.startswith(flag)
    assert not row.valid.any()
    assert not row.tokens.any()
    assert (row.r_index == -1).all()
    assert not row.seconds.any()


def test_a_rate_too_low_for_a_heartbeat_is_flagged() -> None:
    row = prepare_record(made.record(fs=25.0), SETTINGS)
    assert row.flag.startswith("cannot be cut: beats cannot be found at 25.0 Hz")


@pytest.mark.parametrize("seconds", [8.0, 60.0])
def test_eight_seconds_and_a_minute(seconds: float) -> None:
    row = prepare_record(made.record(fs=500.0, seconds=seconds, bpm=72.0), SETTINGS)
    expected = len(made.r_times(seconds, 72.0))
    assert row.beats_found == expected
    assert (row.r_index >= 0).sum() == min(expected, 30)
    assert row.flag == ""
    assert any("first 30 kept" in note for note in row.notes) == (expected > 30)
    longer = prepare_record(made.record(fs=500.0, seconds=seconds, bpm=72.0), PrepareSettings(beats=80))
    assert (longer.r_index >= 0).sum() == expected
    assert longer.seconds.max() == int(made.r_times(seconds, 72.0)[-1]) + 1


def _exchange(pair: str) -> NDArray[np.float64]:
    """GOOD as it looks with two electrodes exchanged."""
    one, two, three, avr, avl, avf = GOOD[:, :6].T
    zero = 0.03 * two
    limb = {
        "arms": (-one, three, two, avl, avr, avf),
        "right arm and left leg": (-three, -two, -one, avf, avl, avr),
        "right arm and right leg": (-three, zero, three + zero, *3 * (zero,)),
    }[pair]
    signal = GOOD.copy()
    signal[:, :6] = np.stack(limb, axis=1)
    if pair.endswith("right leg"):
        one, two = signal[:, 0], signal[:, 1]
        signal[:, 3:6] = np.stack([-(one + two) / 2, one - two / 2, two - one / 2], axis=1)
    return signal


@pytest.mark.parametrize(
    ("pair", "note", "code"),
    [
        ("arms", "I opposite to V6: limb electrodes exchanged?", "exchanged:I"),
        ("right arm and left leg", "II opposite to V6: limb electrodes exchanged?", "exchanged:I,II"),
        ("right arm and right leg", "II nearly flat beside the other limb leads", "right-leg:II"),
    ],
)
def test_exchanged_limb_electrodes(pair: str, note: str, code: str) -> None:
    notes = _check(_exchange(pair))
    assert any(note in text for text in notes)
    assert quality_codes(notes) == code


@pytest.mark.parametrize("lead", ["aVR", "aVL", "aVF", "V1", "V2", "V4", "V5", "V6"])
def test_a_lead_with_the_wrong_sign(lead: str) -> None:
    signal = GOOD.copy()
    signal[:, STANDARD_LEADS.index(lead)] *= -1
    assert _check(signal) == (f"{lead} polarity swapped?",)
    assert check_leads(signal, STANDARD_LEADS, 250.0).valid.all()


def test_noise_between_the_beats_is_noticed() -> None:
    signal = GOOD.copy()
    signal[:, 8] += 0.08 * np.random.default_rng(0).standard_normal(len(signal))
    assert _check(signal) == ("V3 noisy, above 0.05 mV",)
    assert check_leads(signal, STANDARD_LEADS, 250.0).valid.all()


def test_findings_for_machines() -> None:
    signal = GOOD.copy()
    signal[:, 3] = 0.4
    signal[440:460, 6] = np.nan
    signal[440:480, 8] = np.nan
    signal[:, 9] *= 1000
    signal[:, 10] = np.clip(signal[:, 10], -0.02, 0.3)
    notes = (
        "V6 missing",
        *_check(signal),
        "V2 flat for some beats, which are left out there",
        "72 beats, first 30 kept",
    )
    assert quality_codes(notes) == "gaps:V1 gappy:V3 flat:aVR implausible:V4 clipped:V5"
    assert quality_codes(("I + III differs from II by 40 % (wrong gains or lead names?)",)) == "contradicting:I"
    assert quality_codes(()) == ""


@pytest.mark.parametrize("leads", [("II",), ("I", "II"), ("V5", "V6"), ("I", "V6"), ("aVR", "aVL")])
def test_few_leads_are_no_trouble(leads: tuple[str, ...]) -> None:
    columns = [STANDARD_LEADS.index(lead) for lead in leads]
    assert check_leads(GOOD[:, columns], leads, 250.0).notes == ()


def test_real_records_are_seldom_suspected(shared_dir: Path) -> None:
    """Measured on 350 records of PTB-XL: 2 with a lead opposite to V6, 0 others; 5 noisy."""
    found: Counter[str] = Counter()
    headers = sorted((shared_dir / "data" / "ptbxl" / "records100").rglob("*.hea"))[::3]
    for header in headers:
        record = read_wfdb(header)
        codes = quality_codes(check_leads(record.signal, record.leads, record.fs).notes)
        found.update({code.split(":")[0] for code in codes.split()})
    assert found["exchanged"] + found["inverted"] + found["right-leg"] <= 0.02 * len(headers)
    assert found["noisy"] <= 0.05 * len(headers)
