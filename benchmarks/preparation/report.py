"""The figures of `prepare_bench.py`, as they are printed and as CSV."""

from __future__ import annotations

import csv
import importlib.metadata
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from attn.machine import survey
from clear_hug.data import native
from preparation.measure import Rate

GOALS = {"records": 100.0, "ratio": 10.0, "open_s": 0.01, "random": 20_000.0}
_PACKAGES = ("numpy", "scipy", "wfdb")


class Figure(NamedTuple):
    """One number of the table."""

    work: str
    value: float
    unit: str
    records: int


def report_rates(ours: Mapping[str, Rate], theirs: Rate, spent: Mapping[str, float]) -> list[Figure]:
    """Print preparing beside the published work; `spent` has its seconds per stage."""
    print(f"\n{'work':34} {'records':>8} {'wall s':>8} {'ms/record':>10} {'per s and core':>15} {'ratio':>7}")
    figures = []
    named = {"published work, in Python": theirs, **{f"prepare, {name}": rate for name, rate in ours.items()}}
    for name, rate in named.items():
        ratio = rate.per_core / theirs.per_core
        print(
            f"{name:34} {rate.records:8} {rate.wall:8.1f} {1000 / rate.per_core:10.2f} {rate.per_core:15.1f} "
            f"{ratio:7.1f}"
        )
        figures += [
            Figure(name, 1000 / rate.per_core, "ms of processor time per record", rate.records),
            Figure(name, 1000 * rate.wall / rate.records, "ms of wall clock per record", rate.records),
            Figure(name, rate.per_core, "records per s and core", rate.records),
            Figure(name, ratio, "of the published work's rate", rate.records),
        ]
    figures += report_stages("published work", spent, theirs.records)
    print(f"goal: {GOALS['records']:.0f} per s and core, ratio {GOALS['ratio']:.0f}")
    return figures


def report_stages(work: str, spent: Mapping[str, float], records: int, remark: str = "") -> list[Figure]:
    """Print where the time of one record goes; `spent` has the seconds of all."""
    stages = {stage: 1000 * seconds / records for stage, seconds in spent.items()}
    print(f"{work}, ms per record: {', '.join(f'{stage} {ms:.2f}' for stage, ms in stages.items())}{remark}")
    return [Figure(f"{work}: {stage}", ms, "ms of processor time per record", records) for stage, ms in stages.items()]


def report_access(mode: str, name: str, rates: Mapping[str, float], records: int) -> list[Figure]:
    """Print how many random records a second are read from a store, by the way of asking for them."""
    said = ", ".join(f"{rate:9,.0f} {how}" for how, rate in rates.items())
    print(f"  random access, {name:20} {said}, per s and core")
    return [
        Figure(f"store of {mode}, {name}, {how}", rate, "records per s and core", records)
        for how, rate in rates.items()
    ]


def kernels() -> str:
    """Which kernels prepare."""
    return "NumPy alone" if native.KERNELS is None else f"compiled for {native.KERNELS.isa()}"


def write_csv(path: Path, figures: Iterable[Figure], workers: int) -> None:
    """One row per figure, with the device and the versions."""
    machine = survey(torch.device("cpu"))
    about = {
        "device": machine.device,
        "kernels": kernels(),
        "workers": workers,
        "torch": machine.torch_version,
        "python": machine.python_version,
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
        "commit": machine.commit,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", newline="") as stream:
        header: Sequence[str] = (*Figure._fields, *about)
        writer = csv.DictWriter(stream, header, lineterminator="\n")
        writer.writeheader()
        writer.writerows({**figure._asdict(), "value": f"{figure.value:.6g}", **about} for figure in figures)
    temporary.replace(path)
