"""`clear-hug evaluate-beats`: matching, readers, and the table."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import synthetic_ecg as made
import wfdb
from typer.testing import CliRunner

from clear_hug.cli import app
from clear_hug.data.beat_detectors import NamedDetector, available_detectors
from clear_hug.data.beat_evaluation import annotated_records, compare_beats, evaluate, summarise
from clear_hug.leads import STANDARD_LEADS

_FS = 250.0
_MARKS = np.array([100, 300, 500])


@pytest.fixture
def annotated(tmp_path: Path) -> Path:
    """Two records of three leads with `.atr` marks, among them one that is no beat, and a record without marks."""
    for name, bpm in (("a", 60.0), ("b", 90.0)):
        times = made.r_times(12.0, bpm)
        made.write_record(tmp_path, name, made.twelve_leads(_FS, times, 12.0)[:, :3], _FS, STANDARD_LEADS[:3])
        places = np.round(times * _FS).astype(int)
        symbols = ["+", *("N" if index % 2 else "V" for index in range(len(places)))]
        wfdb.wrann(name, "atr", np.r_[10, places], symbols, write_dir=str(tmp_path))
    made.write_record(tmp_path, "c", made.twelve_leads(_FS, times, 12.0)[:, :3], _FS, STANDARD_LEADS[:3])
    return tmp_path


@pytest.mark.parametrize(
    ("beats", "expected"),
    [
        ([100, 300, 500], (3, 0, 0)),
        ([82, 318, 500], (3, 0, 0)),  # 18 samples are 72 ms
        ([80, 300, 500], (2, 1, 0)),  # 80 ms before the first mark: missed, and outside the annotated span
        ([100, 320, 500], (2, 1, 1)),
        ([100, 298, 304, 500], (3, 0, 1)),  # one mark is found once
        ([10, 100, 300, 500, 900], (3, 0, 0)),  # outside the annotated span
        ([], (0, 3, 0)),
    ],
)
def test_matching(beats: list[int], expected: tuple[int, int, int]) -> None:
    assert compare_beats(np.array(beats, dtype=np.int64), _MARKS, _FS)[:3] == expected


def test_offset_is_summed_in_seconds() -> None:
    assert compare_beats(np.array([101, 298, 500]), _MARKS, _FS)[3] == pytest.approx(3 / _FS)


def test_records_without_marks_and_marks_without_beats_are_left_out(annotated: Path) -> None:
    records = list(annotated_records(annotated, leads=["II"]))
    assert [record.name for record in records] == ["a", "b"]
    assert records[0].leads == ("II",)
    assert len(records[0].marks) == 12
    assert records[0].marks[0] == 100


def test_ludb_is_read_in_counts(tmp_path: Path) -> None:
    """The header's gain says that a lead spans 1; the counts are microvolts."""
    times = made.r_times(8.0, 60.0)
    signal = made.twelve_leads(500.0, times, 8.0)
    folder = tmp_path / "data"
    folder.mkdir()
    gains = [float(np.ptp(np.rint(column * 1000))) for column in signal.T]
    counts = np.rint(signal * 1000).astype(np.int64)
    names = [lead.lower() for lead in STANDARD_LEADS]
    wfdb.wrsamp(
        "1",
        fs=500,
        units=["mV"] * 12,
        sig_name=names,
        d_signal=counts,
        fmt=["16"] * 12,
        adc_gain=gains,
        baseline=[0] * 12,
        write_dir=str(folder),
    )
    places = np.round(times * 500).astype(int)
    marks = np.sort(np.r_[places - 20, places, places + 20])
    wfdb.wrann("1", "ii", marks, ["(", "N", ")"] * len(places), write_dir=str(folder))
    (tmp_path / "ludb.csv").write_text("ID\n1\n")
    for root in (tmp_path, folder):
        record = next(annotated_records(root))
        np.testing.assert_allclose(record.signal, counts / 1000)
        assert record.leads == STANDARD_LEADS
        np.testing.assert_array_equal(record.marks, places)


def test_summary_sums_counts_and_brackets_f1(annotated: Path) -> None:
    perfect = NamedDetector("all", lambda signal, fs, leads: np.round(made.r_times(12.0, 60.0) * _FS).astype(np.int64))
    scores = evaluate(annotated_records(annotated), [perfect])
    row = summarise(scores)[0]
    assert (row.records, row.beats) == (2, 12 + 18)
    assert scores[0].f1 == 1.0
    assert scores[1].f1 < 1.0
    assert row.f1_low <= row.f1 <= row.f1_high == 1.0


def test_ours_is_always_there_and_others_say_why_not() -> None:
    ready, absent = available_detectors()
    assert ready[0].name == "clear-hug"
    assert {detector.name for detector in ready} | set(absent) == {"clear-hug", "wfdb XQRS", "sleepecg", "neurokit2"}


def test_the_message_for_a_missing_detector_names_the_extra_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("sleepecg", "neurokit2"):
        monkeypatch.setitem(sys.modules, package, None)  # what a missing one is like
    ready, absent = available_detectors()
    assert [detector.name for detector in ready] == ["clear-hug", "wfdb XQRS"]
    assert set(absent) == {"sleepecg", "neurokit2"}
    settings = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    extra = next(line for line in settings.splitlines() if line.startswith("detectors = "))
    for package, reason in absent.items():
        assert reason.endswith("(pip install 'clear-hug[detectors]')")
        assert f'"{package}>=' in extra


def test_command(annotated: Path, tmp_path: Path) -> None:
    table = tmp_path / "out" / "scores.csv"
    result = CliRunner().invoke(app, ["evaluate-beats", str(annotated), "--csv", str(table)])
    assert result.exit_code == 0, result.output
    assert "2 records, 30 beats marked" in result.output
    assert "1.0000" in next(line for line in result.output.splitlines() if "clear-hug" in line)
    rows = list(csv.DictReader(table.open()))
    assert [row["missed"] for row in rows if row["detector"] == "clear-hug"] == ["0", "0"]


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--annotation", "qrs"], "--annotation"), (["--leads", "V6"], "none of the leads"), (["--leads", "Z"], "'Z'")],
)
def test_refusals(annotated: Path, options: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["evaluate-beats", str(annotated), *options], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert message in result.output
