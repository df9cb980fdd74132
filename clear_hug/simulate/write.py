"""Write a simulated data set as WFDB records with a table of labels."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import wfdb
from numpy.typing import NDArray

from clear_hug.files import write_json, write_text
from clear_hug.simulate.disorders import DISORDER_NAMES, DISORDERS
from clear_hug.simulate.lead_field import twelve_leads
from clear_hug.simulate.parameters import NoiseConfig
from clear_hug.simulate.plan import plan_record
from clear_hug.simulate.simulator import DEFAULT_NOISE, SimulatedECG, simulate_ecg

__all__ = ["write_dataset", "write_record"]

GAIN = 2000
"""adu per mV. The eight measured leads take even values (1 µV), so the halves in aVR, aVL, aVF stay whole numbers and
I + III = II holds exactly in the file."""

_MANIFEST = "simulator.json"
_VERSION = 1
_SHORTEST_S = 5.0
_INDEPENDENT = [0, 1, 6, 7, 8, 9, 10, 11]


def write_dataset(
    out_dir: str | Path,
    records: int,
    *,
    seed: int,
    fs: int = 500,
    seconds: float = 10.0,
    noise: NoiseConfig | None = DEFAULT_NOISE,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a data set of simulated records.

    The folder holds ``sim00000.hea/.dat`` (12 leads, format 16, 2000 adu/mV), ``sim00000.atr`` (true R peaks; N, or V
    for premature ventricular beats) and so on, ``labels.csv`` (columns ``record,split`` and one 0/1 column per
    disorder) and ``simulator.json`` (the settings). A record depends on ``seed`` and its number only. A run that was
    cut short goes on where it stopped, and a larger ``records`` adds to what is there. Every file appears whole.

    Args:
        out_dir: folder to make or to go on with.
        records: how many records, at least 1.
        seed: seed of the data set, from 0 on.
        fs: sampling rate, Hz.
        seconds: length of each record, s, at least 5.
        noise: typical noise amounts, or None for clean records.
        progress: called as ``progress(done, records)`` after each record.

    Returns:
        The path of ``labels.csv``.

    Raises:
        FileExistsError: the folder holds something else, or a data set of other settings.
        ValueError: a number is outside its range, or the folder already holds more records than asked for.
    """
    if records < 1:
        raise ValueError(f"records must be at least 1, got {records!r}")
    if not seconds >= _SHORTEST_S:
        raise ValueError(
            f"seconds must be at least {_SHORTEST_S:.0f} so that premature beats of slow hearts fit, got {seconds!r}"
        )
    simulate_ecg(seed=seed, fs=fs, seconds=seconds, noise=noise)
    folder = Path(out_dir)
    _claim(folder, {"seed": int(seed), "fs": int(fs), "seconds": float(seconds), "noise": noise and asdict(noise)})
    present = sorted(folder.glob("sim*.hea"))
    if present and present[-1].stem > _name(records - 1):
        raise ValueError(
            f"{folder} already holds records up to {present[-1].stem}, more than the {records} asked for; "
            f"ask for at least {int(present[-1].stem[3:]) + 1}, or choose another folder"
        )
    rows = []
    for index in range(records):
        plan = plan_record(seed, index)
        name = _name(index)
        if not _complete(folder / name, samples=round(seconds * fs)):
            ecg = simulate_ecg(plan.disorders, seed=plan.seed, fs=fs, seconds=seconds, noise=noise)
            write_record(ecg, folder, name)
        rows.append([name, plan.split, *(int(code in plan.disorders) for code in DISORDERS)])
        if progress is not None:
            progress(index + 1, records)
    table = io.StringIO(newline="")
    csv.writer(table, lineterminator="\n").writerows([["record", "split", *DISORDERS], *rows])
    write_text(folder / "labels.csv", table.getvalue())
    return folder / "labels.csv"


def write_record(ecg: SimulatedECG, folder: str | Path, name: str) -> Path:
    """Write one simulated record as ``name.hea``, ``name.dat`` and ``name.atr``, the header last.

    Args:
        ecg: the record.
        folder: an existing folder.
        name: record name of letters, digits, ``_`` and ``-``.

    Returns:
        The path of the header.

    Raises:
        ValueError: a voltage does not fit in 16 bits (16 mV).
    """
    folder = Path(folder)
    digital = _digitise(ecg.signal)
    header = _header(ecg, digital, name)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as temporary:
        partial = Path(temporary)
        (partial / f"{name}.dat").write_bytes(digital.astype("<i2").tobytes())
        (partial / f"{name}.hea").write_text(header, encoding="ascii", newline="")
        files = [f"{name}.dat", f"{name}.hea"]
        if ecg.r_index.size:
            symbols = ["V" if premature else "N" for premature in ecg.premature]
            wfdb.wrann(name, "atr", ecg.r_index, symbol=symbols, fs=ecg.fs, write_dir=temporary)
            files.insert(0, f"{name}.atr")
        for file in files:
            (partial / file).replace(folder / file)
    return folder / f"{name}.hea"


def _header(ecg: SimulatedECG, digital: NDArray[np.int64], name: str) -> str:
    # Written here, as header(5) of the WFDB manual says: wfdb.wrsamp makes the same lines, forty times slower.
    checksum = digital.sum(axis=0) % 65536
    lines = [f"{name} {len(ecg.leads)} {ecg.fs} {len(digital)}"]
    for column, lead in enumerate(ecg.leads):
        lines.append(f"{name}.dat 16 {GAIN}(0)/mV 16 0 {digital[0, column]} {checksum[column]} 0 {lead}")
    shown = ", ".join(f"{code} ({DISORDER_NAMES[code]})" for code in ecg.disorders) or "none"
    lines.append("# simulated, not a recording of a patient")
    lines.append(f"# disorders: {shown}")
    lines.append(f"# heart rate: {ecg.parameters.rhythm.heart_rate_bpm:.1f} bpm")
    return "\n".join(lines) + "\n"


def _digitise(signal: NDArray[np.float64]) -> NDArray[np.int64]:
    even = 2 * np.round(signal[:, _INDEPENDENT] * (GAIN / 2))
    digital = np.asarray(np.round(twelve_leads(even)), dtype=np.int64)
    largest = int(np.abs(digital).max(initial=0))
    if largest > np.iinfo(np.int16).max:
        raise ValueError(f"a voltage of {largest / GAIN:.1f} mV does not fit in 16 bits; lower the noise amounts")
    return digital


def _name(index: int) -> str:
    return f"sim{index:05d}"


def _complete(record: Path, samples: int) -> bool:
    data = record.with_suffix(".dat")
    return record.with_suffix(".hea").is_file() and data.is_file() and data.stat().st_size == samples * 12 * 2


def _claim(folder: Path, settings: dict[str, Any]) -> None:
    """Make the folder ours: write the manifest into an empty one, or find the same settings in it."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / _MANIFEST
    wanted = {"simulator": _VERSION, "not_real": "simulated, not recordings of patients", **settings}
    if manifest.is_file():
        found = json.loads(manifest.read_text(encoding="utf-8"))
        differing = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
        if differing:
            changes = ", ".join(f"{key} {found.get(key)!r} (asked: {wanted.get(key)!r})" for key in differing)
            raise FileExistsError(f"{folder} holds a simulated data set with {changes}; choose another folder")
    elif any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty and not a simulated data set; choose another folder")
    else:
        write_json(manifest, wanted)
