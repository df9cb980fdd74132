"""`Record`: what it refuses, and what it knows."""

from __future__ import annotations

import numpy as np
import pytest
import synthetic_ecg as made

from clear_hug.data import Record, RecordError


def test_names_are_made_standard_and_the_length_is_known() -> None:
    record = Record(np.zeros((250, 2)), 125.0, ("avr", "MLII"), "r")
    assert record.leads == ("aVR", "II")
    assert record.duration == 2.0
    assert made.record(seconds=8.0).duration == 8.0


@pytest.mark.parametrize(
    ("signal", "fs", "leads", "message"),
    [
        (np.zeros(100), 500.0, ("I",), "shape"),
        (np.zeros((100, 1), dtype=np.int16), 500.0, ("I",), "floating point"),
        (np.zeros((0, 1)), 500.0, ("I",), "empty"),
        (np.zeros((100, 1)), 0.0, ("I",), "0.0 Hz"),
        (np.zeros((100, 1)), float("nan"), ("I",), "nan Hz"),
        (np.zeros((100, 2)), 500.0, ("I",), "1 lead names"),
        (np.zeros((100, 1)), 500.0, ("X9",), "unknown lead name 'X9'"),
        (np.zeros((100, 2)), 500.0, ("II", "MLII"), "named twice"),
    ],
)
def test_refusals_name_the_value(signal: np.ndarray, fs: float, leads: tuple[str, ...], message: str) -> None:
    with pytest.raises(RecordError, match=message) as caught:
        Record(signal, fs, leads, "broken")
    assert "broken" in str(caught.value)
