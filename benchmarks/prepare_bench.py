"""Measures the preparation of records, and how fast a store opens and gives random records.

    python benchmarks/prepare_bench.py                      2,000 records
    python benchmarks/prepare_bench.py --records 20000      as many as a data set has
    python benchmarks/prepare_bench.py --workers -1         all cores; rates are then by the wall clock
    CLEAR_HUG_NATIVE=0 python benchmarks/prepare_bench.py   without the compiled kernels

Set OMP_NUM_THREADS=1, so that no library starts threads of its own.

Simulated 12-lead records of 10 s at 500 Hz are written as WFDB files and read again and again until there are enough.
Each is prepared in full: read, checked, beats found, resampled, cut, stored. The published per-record work (written
from its description, `preparation/published.py`) runs on the same files, before and after; it stores nothing, and our
work up to the tokens alone is timed as well. Rates are per second of
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

from clear_hug.data import BeatStore, Source, native
from clear_hug.data.batch import SignalBatch
from clear_hug.data.dataset import BeatDataset
from clear_hug.simulate import write_dataset
from preparation.measure import (
    Rate,
    opening_seconds,
    peak_megabytes,
    prepared,
    prepared_alone,
    published,
    random_access,
    repeated,
)
from preparation.published import STAGES
from preparation.stages import own_stages

_STAGED = 500
"""Records whose stages are timed, and that are prepared with nothing stored."""
GOALS = {"records": 100.0, "ratio": 10.0, "open_s": 0.01, "random": 20_000.0}


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=2000, help="how many records to prepare (default 2000)")
    parser.add_argument("--originals", type=int, default=100, help="different simulated records (default 100)")
    parser.add_argument("--published", type=int, default=100, help="records for the published work (default 100)")
    parser.add_argument("--workers", type=int, default=1, help="processes; -1 for one per core (default 1)")
    parser.add_argument("--stores", default="tokens,signals", help="what to keep; tokens, signals or both (default)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement of random access (default 3)")
    parser.add_argument("--folder", type=Path, help="where files are made; a temporary folder by default")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; returns 0."""
    options = parse(arguments)
    torch.set_num_threads(1)
    workers = options.workers if options.workers > 0 else os.cpu_count() or 1
    load = os.getloadavg()[0]
    print(
        f"{_processor()}; Python {platform.python_version()}; {workers} worker(s); load average {load:.2f} at the start"
    )
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        base = Path(folder)
        originals = min(options.originals, options.records)
        write_dataset(base / "sim", originals, seed=1)
        source = repeated(base / "sim", options.records)
        spent: dict[str, float] = {}
        half = max(1, options.published // 2)
        published(source, range(1), {})  # loads what is loaded once
        prepared(repeated(base / "sim", 1), base / "first", "tokens", 1)
        theirs = published(source, range(min(half, options.records)), spent)
        alone = prepared_alone(source, range(min(_STAGED, options.records)))
        ours: dict[str, Rate] = {}
        peaks = [peak_megabytes()]
        for mode in options.stores.split(","):
            _, ours[mode] = prepared(source, base / mode, mode, workers)
            peaks.append(peak_megabytes())
        alone += prepared_alone(source, range(min(_STAGED, options.records)))
        theirs += published(source, range(min(half, options.records)), spent)
        _report({"up to the tokens": alone, **{f"store of {mode}": rate for mode, rate in ours.items()}}, theirs, spent)
        _report_stages(source)
        later = ", ".join(f"{peak:.0f} after the store of {mode}" for mode, peak in zip(ours, peaks[1:], strict=True))
        print(f"peak memory of this process, MB: {peaks[0]:.0f} before, {later}")
        for mode in ours:
            _report_store(base / mode, mode, options.seconds)
    return 0


def _report(ours: dict[str, Rate], theirs: Rate, spent: dict[str, float]) -> None:
    print(f"\n{'work':34} {'records':>8} {'wall s':>8} {'ms/record':>10} {'per s and core':>15} {'ratio':>7}")
    stages = ", ".join(f"{stage} {1000 * spent[stage] / theirs.records:.1f}" for stage in STAGES)
    rows = [
        ("published work, in Python", theirs),
        *((f"prepare, {name}", rate) for name, rate in ours.items()),
    ]
    for name, rate in rows:
        print(
            f"{name:34} {rate.records:8} {rate.wall:8.1f} {1000 / rate.per_core:10.2f} {rate.per_core:15.1f} "
            f"{rate.per_core / theirs.per_core:7.1f}"
        )
    print(f"published work, ms per record: {stages}")
    print(f"goal: {GOALS['records']:.0f} per s and core, ratio {GOALS['ratio']:.0f}")


def _report_stages(source: Source) -> None:
    rows = range(min(_STAGED, len(source.names)))
    own_stages(source, rows)
    stages = ", ".join(f"{stage} {1000 * spent / len(rows):.2f}" for stage, spent in own_stages(source, rows).items())
    kernels = "in NumPy alone" if native.KERNELS is None else f"kernels compiled for {native.KERNELS.isa()}"
    print(f"prepare, ms per record ({kernels}): {stages}; the rest is writing")


def _report_store(path: Path, mode: str, seconds: float) -> None:
    store = BeatStore.open(path)
    size = sum(int(entry["bytes"]) for entry in store.manifest["files"].values()) / len(store)
    print(f"\nstore of {mode}: {size / 1000:.1f} kB per record, opens in {1000 * opening_seconds(path):.2f} ms")
    everything = min(len(store), 2000)  # fits the page cache
    readers: dict[str, Callable[[np.ndarray], object]] = {
        "tokens as arrays": lambda rows: store.tokens[rows],
        "batches": BeatDataset(store).load_batch,
    }
    if mode == "signals":
        later = BeatDataset(store, cut_later=True)
        readers = {"signals as arrays": store.signals.take, "batches, cut later": later.load_batch, **readers}
    for name, read in readers.items():
        rates = [random_access(read, everything, batch, seconds) for batch in (1, 64)]
        print(
            f"  random access, {name:20} {rates[0]:9,.0f} per s and core one by one, {rates[1]:9,.0f} in batches of 64"
        )
    if mode == "signals" and torch.cuda.is_available():
        batch = BeatDataset(store, cut_later=True).load_batch(np.arange(min(256, len(store)))).to("cuda")
        assert isinstance(batch, SignalBatch)
        batch.cut()
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(20):
            batch.cut()
        stop.record()
        torch.cuda.synchronize()
        print(f"  cutting on the GPU: {len(batch) * 20_000 / start.elapsed_time(stop):,.0f} records per s")
    print(f"goal: {GOALS['random']:,.0f} per s and core, opening below {1000 * GOALS['open_s']:.0f} ms")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    raise SystemExit(main())
