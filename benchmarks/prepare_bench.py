"""Measures the preparation of records, and how fast a store opens and gives random records.

    python benchmarks/prepare_bench.py                      20,000 records, as many as a data set has: 6 GB of disk
    python benchmarks/prepare_bench.py --records 2000       a tenth of the time and of the space
    python benchmarks/prepare_bench.py --csv out.csv        the figures as CSV too, with device and versions
    python benchmarks/prepare_bench.py --workers -1         all cores; rates are then by the wall clock
    CLEAR_HUG_NATIVE=0 python benchmarks/prepare_bench.py   without the compiled kernels

Set OMP_NUM_THREADS=1, so that no library starts threads of its own.

Simulated 12-lead records of 10 s at 500 Hz are written as WFDB files and read again and again until there are enough.
Each is prepared in full: read, checked, beats found, resampled, cut, stored. The published per-record work (written
from its description, `preparation/published.py`) runs on the same files, a few at a time in between; it stores nothing,
and our work up to the tokens alone is timed as well. Rates are per second of
processor time, so that other work on the machine does not count; the wall clock is printed beside them.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from attn.machine import device_name
from clear_hug.data import BeatStore, Source
from clear_hug.data.dataset import BeatDataset
from clear_hug.simulate import write_dataset
from preparation.measure import (
    Rate,
    SideBySide,
    cut_on_gpu,
    opening_seconds,
    peak_megabytes,
    prepared,
    published,
    random_access,
    repeated,
)
from preparation.report import (
    GOALS,
    Figure,
    kernels,
    report_access,
    report_rates,
    report_stages,
    write_csv,
)
from preparation.stages import own_stages

_STAGED = 1000
"""Records whose stages are timed, and that are prepared with nothing stored."""
_BREAKS = 20
"""In the preparation of a store, for what it is compared with."""


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=20_000, help="how many records to prepare (default 20000)")
    parser.add_argument("--originals", type=int, default=100, help="different simulated records (default 100)")
    parser.add_argument("--published", type=int, default=300, help="records for the published work (default 300)")
    parser.add_argument("--workers", type=int, default=1, help="processes; -1 for one per core (default 1)")
    parser.add_argument("--stores", default="tokens,signals", help="what to keep; tokens, signals or both (default)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement of random access (default 3)")
    parser.add_argument("--csv", type=Path, help="write all figures to this file")
    parser.add_argument("--folder", type=Path, help="where files are made; a temporary folder by default")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; returns 0."""
    options = parse(arguments)
    torch.set_num_threads(1)
    workers = options.workers if options.workers > 0 else os.cpu_count() or 1
    load = os.getloadavg()[0]
    print(
        f"{device_name(torch.device('cpu'))}; Python {platform.python_version()}; {workers} worker(s); load average "
        f"{load:.2f} at the start"
    )
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        base = Path(folder)
        originals = min(options.originals, options.records)
        write_dataset(base / "sim", originals, seed=1)
        source = repeated(base / "sim", options.records)
        modes = options.stores.split(",")
        steps = _BREAKS * len(modes)
        beside = SideBySide(source, -(-options.published // steps), -(-_STAGED // steps))
        once = repeated(base / "sim", 1)  # loads what is loaded once
        published(once, range(1), {})
        prepared(once, base / "first", "tokens", 1, lambda: None, 0)
        ours: dict[str, Rate] = {}
        peaks = [peak_megabytes()]
        for mode in modes:
            _, ours[mode] = prepared(source, base / mode, mode, workers, beside.step, _BREAKS)
            peaks.append(peak_megabytes())
        named = {"up to the tokens": beside.alone, **{f"store of {mode}": rate for mode, rate in ours.items()}}
        figures = report_rates(named, beside.theirs, beside.spent) + _stages(source)
        later = ", ".join(f"{peak:.0f} after the store of {mode}" for mode, peak in zip(ours, peaks[1:], strict=True))
        print(f"peak memory of this process, MB: {peaks[0]:.0f} before, {later}")
        for when, peak in zip(("before", *(f"store of {mode}" for mode in ours)), peaks, strict=True):
            figures.append(Figure(f"peak memory, {when}", peak, "MB", options.records))
        for mode in ours:
            figures += _store(base / mode, mode, options.seconds)
        if options.csv:
            write_csv(options.csv, figures, workers)
    return 0


def _stages(source: Source) -> list[Figure]:
    rows = range(min(_STAGED, len(source.names)))
    own_stages(source, rows)
    return report_stages("prepare", own_stages(source, rows), len(rows), f" ({kernels()}); the rest is writing")


def _store(path: Path, mode: str, seconds: float) -> list[Figure]:
    store = BeatStore.open(path)
    size = sum(int(entry["bytes"]) for entry in store.manifest["files"].values()) / len(store)
    opening = 1000 * opening_seconds(path)
    print(f"\nstore of {mode}: {size / 1000:.1f} kB per record, opens in {opening:.2f} ms")
    figures = [
        Figure(f"store of {mode}", size / 1000, "kB per record", len(store)),
        Figure(f"store of {mode}, opening", opening, "ms of wall clock", len(store)),
    ]
    everything = min(len(store), 2000)  # fits the page cache
    readers: dict[str, Callable[[np.ndarray], object]] = {
        "tokens as arrays": lambda rows: store.tokens[rows],
        "batches": BeatDataset(store).load_batch,
    }
    if mode == "signals":
        later = BeatDataset(store, cut_later=True)
        readers = {"signals as arrays": store.signals.take, "batches, cut later": later.load_batch, **readers}
    for name, read in readers.items():
        rates = {
            how: random_access(read, everything, batch, seconds)
            for how, batch in (("one by one", 1), ("in batches of 64", 64))
        }
        figures += report_access(mode, name, rates, everything)
    if mode == "signals" and torch.cuda.is_available():
        rate = cut_on_gpu(store)
        print(f"  cutting on the GPU: {rate:,.0f} records per s")
        figures.append(Figure("store of signals, cut on the GPU", rate, "records per s", len(store)))
    print(f"goal: {GOALS['random']:,.0f} per s and core, opening below {1000 * GOALS['open_s']:.0f} ms")
    return figures


if __name__ == "__main__":
    raise SystemExit(main())
