"""Times of calls, and their quantiles."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

Call = Callable[[], object]
Clock = Callable[[Sequence[Call]], float]

# GPU cycles slept before timed calls, for each of them, so that their kernels are queued by the time the GPU is free:
# half a millisecond was too little for some backward passes.
_HEAD_START = 3_000_000


def clock_for(device: torch.device) -> Clock:
    """A function that runs calls one after another and returns the milliseconds of one of them, on average."""
    return _cuda_clock if device.type == "cuda" else _cpu_clock


def timed_together(device: torch.device) -> int:
    """How many calls to time at once. On a GPU several, queued as in a training step: the first one's start and the end
    of the last are those of none else.
    """
    return 8 if device.type == "cuda" else 1


def _cpu_clock(calls: Sequence[Call]) -> float:
    start = time.perf_counter_ns()
    for call in calls:
        call()
    return (time.perf_counter_ns() - start) / 1e6 / len(calls)


def _cuda_clock(calls: Sequence[Call]) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda._sleep(_HEAD_START * (1 + len(calls)))
    start.record()
    for call in calls:
        call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / len(calls)


def quantiles(times: Sequence[float]) -> tuple[float, float, float]:
    """The 20 %, 50 % and 80 % quantiles."""
    low, middle, high = torch.tensor(times, dtype=torch.float64).quantile(torch.tensor([0.2, 0.5, 0.8]).double())
    return low.item(), middle.item(), high.item()
