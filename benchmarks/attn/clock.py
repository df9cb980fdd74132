"""Times of single calls, and their quantiles."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

Clock = Callable[[Callable[[], object]], float]

# GPU cycles slept before a timed call, so that its kernels are queued by the time the GPU is free to run them.
_HEAD_START = 2_000_000


def clock_for(device: torch.device) -> Clock:
    """A function that runs a call and returns its milliseconds."""
    return _cuda_clock if device.type == "cuda" else _cpu_clock


def _cpu_clock(call: Callable[[], object]) -> float:
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1e6


def _cuda_clock(call: Callable[[], object]) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda._sleep(_HEAD_START)
    start.record()
    call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)


def quantiles(times: Sequence[float]) -> tuple[float, float, float]:
    """The 20 %, 50 % and 80 % quantiles."""
    low, middle, high = torch.tensor(times, dtype=torch.float64).quantile(torch.tensor([0.2, 0.5, 0.8]).double())
    return low.item(), middle.item(), high.item()
