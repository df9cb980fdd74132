"""Runs the contenders of a case: checks each, then times them in turns, so that their ratios come from one run."""

from __future__ import annotations

import functools
import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from attn.cases import Case, Direction
from attn.clock import Call, clock_for, quantiles, timed_together
from attn.contenders import Attend, Contender, torch_layer
from attn.inputs import Inputs, make_inputs
from attn.machine import cache_bytes, large_copy, matrix_product, peak_memory
from attn.truth import check, check_layer

MOST_SETS = 128
WARM_UP = 3
LEAST_ROUNDS = 5


@dataclass(frozen=True)
class Result:
    """One contender in one direction of one case; times in milliseconds."""

    case: Case
    direction: Direction
    contender: Contender
    reason: str = ""  # why it did not run; then the times mean nothing
    failed: bool = False  # it was to run, and raised that reason
    p20: float = math.nan
    p50: float = math.nan
    p80: float = math.nan
    rounds: int = 0
    peak_bytes: int | None = None
    error: float | None = None
    copy_bytes_per_s: float = math.nan  # medians of a large copy and a matrix product that took turns with them
    matmul_flop_per_s: float = math.nan

    @property
    def of_copy(self) -> float:
        """Fraction of the copy bandwidth: the bytes that must move, over the time taken."""
        return self.case.min_bytes(self.direction) / (self.p50 / 1e3) / self.copy_bytes_per_s

    @property
    def roofline_ms(self) -> float:
        """The least time on this machine: its copy bandwidth for the bytes, its matrix products for the operations."""
        moving = self.case.min_bytes(self.direction) / self.copy_bytes_per_s
        working = self.case.flop(self.direction) / self.matmul_flop_per_s
        return 1e3 * max(moving, working)


def measure(
    case: Case, direction: Direction, entrants: Sequence[Contender], device: torch.device, budget_s: float
) -> list[Result]:
    """Check and time the entrants; one that cannot run, or is wrong, gives its reason instead of a time."""
    footprint = case.min_bytes("both") // 3
    count = max(1, min(MOST_SETS, math.ceil(4 * cache_bytes(device) / footprint)))
    sets = [make_inputs(case, device, seed) for seed in range(count)]
    refused: list[Result] = []
    ready: list[tuple[Contender, list[Call], Result]] = []
    for contender in entrants:
        reason, failed = contender.refuse(case, device, direction), False
        if reason is None:
            try:
                attend = contender.build(case, device)
                error = _error(contender, attend, case, sets[0], direction)
                make_call = functools.partial(_call, contender, attend, direction=direction)
                calls = _graphed(make_call, sets) if case.graph else [make_call(inputs) for inputs in sets]
                for call in calls[:WARM_UP]:
                    call()
                peak = None if case.graph else peak_memory(device, calls[0])
                ready.append((contender, calls, Result(case, direction, contender, peak_bytes=peak, error=error)))
                continue
            except (ArithmeticError, NotImplementedError, RuntimeError) as failure:
                # Others still get their times; main() ends with 1 if one of ours failed or anyone's result was wrong.
                reason = f"{type(failure).__name__}: {str(failure).strip().partition(chr(10))[0][:200]}"
                failed = True
        refused.append(Result(case, direction, contender, reason=reason, failed=failed))
    (copy, copied), (product, flop) = large_copy(device), matrix_product(device, case.dtype)
    product()
    turns = [*(calls for _, calls, _ in ready), [product], [copy]]
    *times, products, copies = _take_turns(turns, device, budget_s)
    bandwidth, rate = (work / (quantiles(taken)[1] / 1e3) for work, taken in ((copied, copies), (flop, products)))
    timed = []
    for (_, _, result), taken in zip(ready, times, strict=True):
        p20, p50, p80 = quantiles(taken)
        timed.append(replace(result, p20=p20, p50=p50, p80=p80, rounds=len(taken)))
    return [replace(result, copy_bytes_per_s=bandwidth, matmul_flop_per_s=rate) for result in timed + refused]


def _take_turns(calls: list[list[Call]], device: torch.device, budget_s: float) -> list[list[float]]:
    """Rounds in which each contender is timed once, on its next inputs, until the budget is used: at least five.

    A call on other inputs comes before each timed one, so that threads are awake and code is warm after another's turn.
    A round before the first is not timed: the measurement of memory gave all free pages back to the system.
    """
    clock, together = clock_for(device), timed_together(device)
    turns = [itertools.cycle(own) for own in calls]
    times: list[list[float]] = [[] for _ in calls]
    for turn in turns:
        next(turn)()
        next(turn)()
    start = time.perf_counter()
    for done in range(200):
        if done >= LEAST_ROUNDS and time.perf_counter() - start > budget_s:
            break
        for turn, taken in zip(turns, times, strict=True):
            next(turn)()
            taken.append(clock([next(turn) for _ in range(together)]))
    return times


def _call(contender: Contender, attend: Attend, inputs: Inputs, direction: Direction) -> Call:
    dout = _dout(contender, inputs)
    leaves = _leaves(contender, inputs)
    if direction == "forward":
        return lambda: _forward(attend, inputs)
    if direction == "both":
        return lambda: torch.autograd.grad(attend(inputs), leaves, dout)
    out = attend(inputs)
    return lambda: torch.autograd.grad(out, leaves, dout, retain_graph=True)


def _forward(attend: Attend, inputs: Inputs) -> Tensor:
    with torch.no_grad():
        return attend(inputs)


def _leaves(contender: Contender, inputs: Inputs) -> tuple[Tensor, ...]:
    return (inputs.tokens,) if contender.layer else (inputs.q, inputs.k, inputs.v)


def _dout(contender: Contender, inputs: Inputs) -> Tensor:
    return inputs.dout.transpose(1, 2).flatten(2) if contender.layer else inputs.dout


def _graphed(call_on: Callable[[Inputs], Call], sets: Sequence[Inputs]) -> list[Call]:
    """A call on each set of inputs captured as a CUDA graph, which replays without the host."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    graphed = []
    for inputs in sets:
        # A backward pass goes to the streams of its forward pass, which have to be those of the capture.
        with torch.cuda.stream(stream):
            call = call_on(inputs)
            for _ in range(3):
                call()
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            call()
        graphed.append(_replay(graph, call))
    return graphed


def _replay(graph: torch.cuda.CUDAGraph, call: Call) -> Call:
    # A graph knows addresses only: masks and weights, which the call owns, must live as long as it.
    def replay(_: Call = call) -> None:
        graph.replay()

    return replay


def _error(contender: Contender, attend: Attend, case: Case, inputs: Inputs, direction: Direction) -> float:
    """The error of the output, and of the gradients where they are timed, against float64."""
    _poison(inputs)
    out, grads = _forward(attend, inputs), None
    if direction != "forward":
        attended = attend(inputs)
        _poison(inputs)
        grads = torch.autograd.grad(attended, _leaves(contender, inputs), _dout(contender, inputs))
    if contender.layer:
        return check_layer(case, inputs, torch_layer(case, out.device), out, grads[0] if grads else None)
    return check(case, inputs, out, grads, masked=contender.masked)


def _poison(inputs: Inputs) -> None:
    """Leave NaN in the memory that results of the inputs' sizes are likely to get, where an unwritten element shows."""
    kept = [torch.full_like(x, math.nan) for x in (inputs.q, inputs.k, inputs.v, inputs.dout)]
    kept.clear()
