"""Simulated data sets on disk: what WFDB reads back, labels, splits, resuming, refusals."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import typer
import wfdb
from typer.testing import CliRunner

from clear_hug.leads import STANDARD_LEADS
from clear_hug.simulate import DISORDERS, NoiseConfig, simulate_ecg, write_dataset, write_record
from clear_hug.simulate.disorders import parse_disorders
from clear_hug.simulate.plan import plan_record
from clear_hug.simulate.write import GAIN

SHORT = {"fs": 100, "seconds": 5.0}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_wfdb_reads_back_what_was_simulated(tmp_path: Path) -> None:
    labels = write_dataset(tmp_path / "set", 12, seed=3)
    rows = table(labels)
    assert [row["record"] for row in rows] == [f"sim{index:05d}" for index in range(12)]
    assert list(rows[0]) == ["record", "split", *DISORDERS]
    for index, row in enumerate(rows):
        plan = plan_record(3, index)
        ecg = simulate_ecg(plan.disorders, seed=plan.seed)
        record = wfdb.rdrecord(str(labels.parent / row["record"]))
        assert tuple(record.sig_name) == STANDARD_LEADS
        assert set(record.units) == {"mV"}
        assert record.fs == 500
        np.testing.assert_allclose(record.p_signal, ecg.signal, atol=2 / GAIN)
        np.testing.assert_allclose(record.p_signal[:, 0] + record.p_signal[:, 2], record.p_signal[:, 1], atol=1e-12)
        annotation = wfdb.rdann(str(labels.parent / row["record"]), "atr")
        np.testing.assert_array_equal(annotation.sample, ecg.r_index)
        assert [symbol == "V" for symbol in annotation.symbol] == ecg.premature.tolist()
        assert tuple(code for code in DISORDERS if row[code] == "1") == ecg.disorders == plan.disorders
        assert row["split"] == plan.split
        assert "not a recording" in record.comments[0]


@pytest.mark.parametrize("code", ["SR", "LVH", "AF"])
def test_files_equal_those_of_the_wfdb_package(tmp_path: Path, code: str) -> None:
    ecg = simulate_ecg([code], seed=9, fs=250, seconds=7.0)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    write_record(ecg, ours, "x-1")
    record = wfdb.rdrecord(str(ours / "x-1"), physical=False)
    wfdb.wrsamp(
        "x-1",
        fs=250,
        units=["mV"] * 12,
        sig_name=list(ecg.leads),
        d_signal=record.d_signal,
        fmt=["16"] * 12,
        adc_gain=[GAIN] * 12,
        baseline=[0] * 12,
        comments=record.comments,
        write_dir=str(theirs),
    )
    for file in ("x-1.dat", "x-1.hea"):
        assert (ours / file).read_bytes() == (theirs / file).read_bytes()


def test_asystole_is_written_without_annotations(tmp_path: Path) -> None:
    write_record(simulate_ecg(seed=0, heart_rate=0), tmp_path, "flat")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flat.dat", "flat.hea"]


def test_a_voltage_beyond_16_bits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"mV does not fit in 16 bits"):
        write_record(simulate_ecg(seed=0, noise=NoiseConfig(baseline_mv=200.0)), tmp_path, "x")
    assert not list(tmp_path.iterdir())


def test_runs_agree_and_order_does_not_matter(tmp_path: Path) -> None:
    first = contents(write_dataset(tmp_path / "a", 9, seed=1, **SHORT).parent)
    assert first == contents(write_dataset(tmp_path / "b", 9, seed=1, **SHORT).parent)
    write_dataset(tmp_path / "c", 4, seed=1, **SHORT)
    assert first == contents(write_dataset(tmp_path / "c", 9, seed=1, **SHORT).parent)
    other = contents(write_dataset(tmp_path / "d", 9, seed=2, **SHORT).parent)
    assert all(first[name] != other[name] for name in first if name.endswith(".dat"))


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    whole = contents(write_dataset(tmp_path / "whole", 8, seed=4, **SHORT).parent)

    class PlugPulledError(Exception):
        pass

    def pull(done: int, total: int) -> None:
        if done == 5:
            raise PlugPulledError

    folder = tmp_path / "cut"
    with pytest.raises(PlugPulledError):
        write_dataset(folder, 8, seed=4, progress=pull, **SHORT)
    assert not (folder / "labels.csv").exists()
    (folder / "sim00002.dat").write_bytes(b"torn")
    (folder / "sim00003.hea").unlink()
    kept = (folder / "sim00001.dat").stat().st_mtime_ns
    seen: list[tuple[int, int]] = []
    write_dataset(folder, 8, seed=4, progress=lambda done, total: seen.append((done, total)), **SHORT)
    assert seen == [(done, 8) for done in range(1, 9)]
    assert (folder / "sim00001.dat").stat().st_mtime_ns == kept
    assert contents(folder) == whole


def test_other_content_is_not_overwritten(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", 3, seed=0, **SHORT)
    before = contents(tmp_path / "set")
    with pytest.raises(FileExistsError, match=r"seed 0 \(asked: 1\); choose another folder"):
        write_dataset(tmp_path / "set", 3, seed=1, **SHORT)
    with pytest.raises(ValueError, match="already holds records up to sim00002, more than the 2 asked for"):
        write_dataset(tmp_path / "set", 2, seed=0, **SHORT)
    assert contents(tmp_path / "set") == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="not empty and not a simulated data set"):
        write_dataset(tmp_path / "mine", 3, seed=0, **SHORT)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"records": 0}, "records must be at least 1, got 0"),
        ({"seconds": 4.0}, "seconds must be at least 5.*got 4.0"),
        ({"seconds": float("nan")}, "got nan"),
        ({"fs": 0}, "at least 50 Hz.*got 0"),
        ({"seed": -1}, "seed must be 0 or more"),
    ],
)
def test_bad_settings_make_no_folder(tmp_path: Path, settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_dataset(tmp_path / "new", **{"records": 2, "seed": 0, **settings})  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("seed", range(5))
def test_every_disorder_is_in_every_split(seed: int) -> None:
    plans = [plan_record(seed, index) for index in range(300)]
    splits = Counter(plan.split for plan in plans)
    assert splits == {"train": 210, "val": 45, "test": 45}
    for split in splits:
        counts = Counter(code for plan in plans if plan.split == split for code in plan.disorders)
        assert all(counts[code] >= 4 for code in DISORDERS), counts
        # The other answer must be there too, or there is nothing to tell apart.
        assert all(counts[code] <= 0.75 * splits[split] for code in DISORDERS), counts
    assert {code for plan in plans[:80] if plan.split == "val" for code in plan.disorders} == set(DISORDERS)


def test_plans_are_possible_and_seeds_differ() -> None:
    plans = [plan_record(0, index) for index in range(2000)]
    assert len({plan.seed for plan in plans}) == 2000
    for plan in plans:
        parse_disorders(plan.disorders)
        assert len(set(plan.disorders) & {"SR", "AF", "STACH", "SBRAD"}) == 1
    assert any(len(plan.disorders) >= 3 for plan in plans)
    assert any(plan.disorders == ("SR",) for plan in plans)


def test_command(tmp_path: Path) -> None:
    from clear_hug.cli.simulate import simulate

    app = typer.Typer()
    app.command()(simulate)
    out = tmp_path / "set"
    run = CliRunner().invoke(app, ["--out", str(out), "--records", "4", "--seed", "2", "--fs", "100", "--seconds", "5"])
    assert run.exit_code == 0, run.output
    assert "4 simulated records (not real ECGs)" in run.output
    assert contents(out) == contents(write_dataset(tmp_path / "same", 4, seed=2, **SHORT).parent)
    refused = CliRunner().invoke(app, ["--out", str(out), "--fs", "10"])
    assert refused.exit_code == 2
    assert "--fs" in re.sub(r"\x1b\[[0-9;]*m", "", refused.output)
