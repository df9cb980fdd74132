"""What is timed: preparing records, the published work on the same ones, opening a store, reading random records."""

from __future__ import annotations

import resource
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from clear_hug.data import BeatStore, PrepareSettings, Source, prepare, wfdb_source
from clear_hug.data.batch import SignalBatch
from clear_hug.data.dataset import BeatDataset
from clear_hug.data.prepare import reader_for
from clear_hug.data.row import prepare_file
from preparation.published import published_record


@dataclass(frozen=True)
class Rate:
    """Records in wall-clock and in processor seconds."""

    records: int
    wall: float
    cpu: float

    @property
    def per_core(self) -> float:
        """Records per second of one processor core: what a machine without other work gives."""
        return self.records / self.cpu

    def __add__(self, other: Rate) -> Rate:
        return Rate(self.records + other.records, self.wall + other.wall, self.cpu + other.cpu)


def repeated(folder: Path, records: int) -> Source:
    """A data set of that many records that reads the ones of the folder in turn, without labels."""
    made = wfdb_source(folder)
    paths = tuple(made.paths[row % len(made.paths)] for row in range(records))
    names = tuple(f"{row:07d}" for row in range(records))
    return Source("wfdb", made.root, names, paths, np.zeros(records, np.int8))


class SideBySide:
    """The published work, and ours up to the tokens, a few records at a time in between other work.

    A machine's speed changes from minute to minute; what is compared has to see the same of it.

    Args:
        source: of the records, which are taken in turn.
        published: records of a step that the published work gets.
        alone: records of a step that are prepared with nothing stored.
    """

    def __init__(self, source: Source, published: int, alone: int) -> None:
        self._source, self._counts, self._steps = source, (published, alone), 0
        self.theirs = self.alone = Rate(0, 0.0, 0.0)
        self.spent: dict[str, float] = {}
        """Seconds of processor time of each stage of the published work."""

    def step(self) -> None:
        """One step of both; ours goes on first, while what it needs is in the caches, as in a store."""
        theirs, alone = (self._rows(count) for count in self._counts)
        self.alone += prepared_alone(self._source, alone)
        self.theirs += published(self._source, theirs, self.spent)
        self._steps += 1

    def _rows(self, count: int) -> range:
        records = len(self._source.names)
        count = min(count, records)
        start = self._steps * count % (records - count + 1)
        return range(start, start + count)


def prepared(
    source: Source, out: Path, mode: str, workers: int, between: Callable[[], None], times: int
) -> tuple[BeatStore, Rate]:
    """Prepare all of it; the processor time of several workers is not known here, the wall clock stands for it.

    Args:
        source: of the records.
        out: where the store goes.
        mode: of the store.
        workers: processes.
        between: is called in between, so many times; the time it takes does not count.
        times: see above; with several workers, afterwards.
    """
    marks = [len(source.names) * time // times for time in range(times)] if workers == 1 else []
    paused = Rate(0, 0.0, 0.0)

    def on_chunk(done: int, _: int) -> None:
        nonlocal paused
        wall, cpu = perf_counter(), process_time()
        while marks and done >= marks[0]:
            marks.pop(0)
            between()
        paused += Rate(0, perf_counter() - wall, process_time() - cpu)

    wall, cpu = perf_counter(), process_time()
    store = prepare(source, out, PrepareSettings(), store=mode, workers=workers, on_chunk=on_chunk).store
    wall, cpu = perf_counter() - wall - paused.wall, process_time() - cpu - paused.cpu
    for _ in range(0 if workers == 1 else times):
        between()
    return store, Rate(len(store), wall, cpu if workers == 1 else wall * workers)


def prepared_alone(source: Source, rows: range) -> Rate:
    """Our work on some of the records up to the tokens, nothing stored: what the published work is, too."""
    settings = PrepareSettings()
    read = reader_for(source, settings)
    with threadpool_limits(limits=1, user_api="blas"):  # looks through all libraries, which takes milliseconds
        wall, cpu = perf_counter(), process_time()
        for row in rows:
            prepare_file(source.root / source.paths[row], settings, read)
        return Rate(len(rows), perf_counter() - wall, process_time() - cpu)


def published(source: Source, rows: range, spent: dict[str, float]) -> Rate:
    """The published work on some of the records."""
    wall, cpu = perf_counter(), process_time()
    for row in rows:
        published_record(source.root / source.paths[row], spent)
    return Rate(len(rows), perf_counter() - wall, process_time() - cpu)


def peak_megabytes() -> float:
    """The most memory that this process ever had at a time."""
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held / (1e6 if sys.platform == "darwin" else 1e3)  # bytes there, kB elsewhere


def opening_seconds(path: Path, times: int = 21) -> float:
    """Median wall-clock time of opening a store and reading one record's mask."""
    taken = []
    for _ in range(times):
        begin = perf_counter()
        _ = BeatStore.open(path).valid[0]
        taken.append(perf_counter() - begin)
    return statistics.median(taken)


def random_access(read: Callable[[np.ndarray], object], records: int, batch: int, seconds: float) -> float:
    """Records per processor second, in random batches, after each record was read once."""
    rng = np.random.default_rng(0)
    for start in range(0, records, batch):
        read(np.arange(start, min(start + batch, records)))
    done, begin = 0, process_time()
    while process_time() - begin < seconds:
        read(rng.integers(0, records, batch))
        done += batch
    return done / (process_time() - begin)


def cut_on_gpu(store: BeatStore) -> float:
    """Records per second of cutting the tokens of a batch on the GPU, from signals that are there."""
    batch = BeatDataset(store, cut_later=True).load_batch(np.arange(min(256, len(store)))).to("cuda")
    assert isinstance(batch, SignalBatch)
    batch.cut()
    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(20):
        batch.cut()
    stop.record()
    torch.cuda.synchronize()
    return len(batch) * 20_000 / start.elapsed_time(stop)
