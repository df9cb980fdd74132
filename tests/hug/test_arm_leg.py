"""Left arm and left leg exchanged: told from P waves, and nothing said where they say nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from clear_hug.data import PrepareSettings, Record, prepare_record, read_wfdb
from clear_hug.data.arm_leg import arm_leg_score
from clear_hug.data.quality import QualityLimits, quality_codes
from clear_hug.leads import STANDARD_LEADS

FS = 100.0
R_PEAKS = np.arange(60, 960, 80)


def _bump(at_s: float, width_s: float, height: float) -> NDArray[np.float64]:
    t = np.arange(1000) / FS
    return sum(height * np.exp(-0.5 * ((t - r / FS - at_s) / width_s) ** 2) for r in R_PEAKS)


def _leads(p_in_i: float, p_in_ii: float) -> NDArray[np.float64]:
    """I and II with P waves of those heights (mV), and QRS and T waves."""
    rest = _bump(0.0, 0.015, 0.8) + _bump(0.26, 0.04, 0.2)
    return np.stack([_bump(-0.15, 0.025, p_in_i) + rest, _bump(-0.15, 0.025, p_in_ii) + 1.2 * rest], axis=1)


def _exchanged(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    one, two = signal[:, 0], signal[:, 1]
    three = two - one
    limb = (two, one, -three, -(one + two) / 2, two - one / 2, one - two / 2)
    return np.concatenate((np.stack(limb, axis=1), signal[:, 6:]), axis=1)


def test_the_taller_p_wave_belongs_to_lead_ii() -> None:
    usual = arm_leg_score(_leads(0.06, 0.15), R_PEAKS, ("I", "II"), FS)
    exchanged = arm_leg_score(_leads(0.06, 0.15)[:, ::-1], R_PEAKS, ("I", "II"), FS)
    assert usual == pytest.approx(-exchanged)
    assert exchanged > QualityLimits().arm_leg_score
    assert abs(arm_leg_score(_leads(0.1, 0.1), R_PEAKS, ("I", "II"), FS)) < 0.05


def test_the_second_half_of_p_in_lead_iii_is_above_its_first() -> None:
    one = _leads(0.1, 0.1)
    one[:, 1] += _bump(-0.19, 0.02, 0.05) - _bump(-0.10, 0.02, 0.05)  # III: up, then down
    flipped = one[:, ::-1].copy()
    assert arm_leg_score(one, R_PEAKS, ("I", "II"), FS) < -0.1
    assert arm_leg_score(flipped, R_PEAKS, ("I", "II"), FS) > 0.1


@pytest.mark.parametrize(
    ("signal", "peaks", "leads"),
    [
        (_leads(0.15, 0.06), R_PEAKS, ("I", "V1")),
        (_leads(0.15, 0.06), R_PEAKS[:2], ("I", "II")),
        (_leads(0.15, 0.06), np.zeros(0, np.int64), ("I", "II")),
        (_leads(0.15, 0.06), np.arange(60, 960, 40), ("I", "II")),  # 150 per minute
        (_leads(0.03, 0.01), R_PEAKS, ("I", "II")),  # no P wave
        (_leads(0.15, 0.06)[:50], R_PEAKS[:1], ("I", "II")),
    ],
)
def test_nothing_is_said_where_p_waves_say_nothing(
    signal: NDArray[np.float64], peaks: NDArray[np.int64], leads: tuple[str, ...]
) -> None:
    assert arm_leg_score(signal, peaks, leads, FS) == 0.0


def test_real_recordings(shared_dir: Path) -> None:
    """Measured on 350 records of PTB-XL: 5 suspected as they are, 109 with the two electrodes exchanged."""
    headers = sorted((shared_dir / "data" / "ptbxl" / "records100").rglob("*.hea"))[::3]
    settings, suspected, found = PrepareSettings(), 0, 0
    for header in headers:
        record = read_wfdb(header)
        assert record.leads == STANDARD_LEADS
        suspected += _finds(record, settings)
        found += _finds(replace(record, signal=_exchanged(record.signal)), settings)
    assert suspected <= 0.03 * len(headers)
    assert found >= 0.25 * len(headers)


def _finds(record: Record, settings: PrepareSettings) -> bool:
    codes = quality_codes(prepare_record(record, settings).notes).split()
    return "arm-leg:I,II" in codes


def test_the_threshold_is_a_setting(shared_dir: Path) -> None:
    record = read_wfdb(shared_dir / "data" / "ptbxl" / "records100" / "00000" / "00051_lr")
    assert _finds(record, PrepareSettings())
    assert not _finds(record, PrepareSettings(quality=QualityLimits(arm_leg_score=1.0)))
