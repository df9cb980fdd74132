"""Measures the attention of clear_kernels against what one could use in its place, on a CPU or a GPU.

    python benchmarks/attn_bench.py                             the default cases of the device
    python benchmarks/attn_bench.py --cases all --csv out.csv   every case, as CSV too
    python benchmarks/attn_bench.py --plot scaling.png          a picture of the cost up to 24 hours of beats

Every contender is checked against float64 dense masked attention first, forward and backward; one that is wrong is not
timed. The contenders take turns on inputs that rotate, so their ratios come from one run; on a GPU eight calls are
queued and timed together, as in a training step. Masks are made outside of the timed calls, which favours those that
need one. Freed memory is kept for the next call, for all of them (--memory).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from attn.cases import DIRECTIONS, Direction, select
from attn.contenders import contenders
from attn.device import asked_device
from attn.machine import keep_freed_memory, spare_memory, survey, take_huge_pages
from attn.measure import Result, measure
from attn.plot import draw_scaling
from attn.report import ratios, table, write_csv

DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="cpu, cuda, or auto (default): the GPU if there is one")
    parser.add_argument(
        "--cases", default="default", help="names or groups (default, more, scaling, all), comma-separated"
    )
    parser.add_argument("--contenders", default="", help="names, comma-separated; all of them by default")
    parser.add_argument(
        "--directions", default="", help=f"of {', '.join(DIRECTIONS)}; backward alone is not timed on CPU"
    )
    parser.add_argument("--dtype", choices=DTYPES, help="instead of each case's own")
    parser.add_argument("--threads", type=int, help="CPU threads; PyTorch's choice by default")
    parser.add_argument(
        "--memory",
        choices=("keep", "return"),
        default="keep",
        help="on a CPU under glibc: keep freed memory for the next call (default) or return it to the system",
    )
    parser.add_argument(
        "--pages",
        choices=("default", "huge"),
        default="default",
        help="on a CPU under Linux: let PyTorch ask for huge pages, as with THP_MEM_ALLOC_ENABLE=1 (not by default)",
    )
    parser.add_argument("--budget", type=float, default=20, help="seconds of rounds for each table (default 20)")
    parser.add_argument("--quick", action="store_true", help="a second for each table, and nothing that compiles")
    parser.add_argument("--csv", type=Path, help="write all results to this file")
    parser.add_argument("--plot", type=Path, help="measure the scaling cases too and draw them into this file")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and return 0; 1 if a contender gave a wrong result, or one of ours failed."""
    options = parse(arguments)
    device = asked_device(options.device)
    huge = device.type == "cpu" and options.pages == "huge"
    if huge and not take_huge_pages():
        raise SystemExit("--pages huge: this system has no transparent huge pages, or they are switched off")
    if options.threads:
        torch.set_num_threads(options.threads)
    kept = device.type == "cpu" and options.memory == "keep" and keep_freed_memory()
    dtype = DTYPES[options.dtype] if options.dtype else None
    scaling = select("scaling", device, dtype)
    cases = select(options.cases, device, dtype)
    cases += [case for case in scaling if options.plot and case not in cases]

    everyone = contenders()
    names = (
        options.contenders.split(",")
        if options.contenders
        else [n for n in everyone if n != "flex" or not options.quick]
    )
    directions: list[Direction] = [d for d in DIRECTIONS if d in options.directions.split(",")]
    directions = directions or [d for d in DIRECTIONS if d != "backward" or device.type == "cuda"]
    if unknown := set(names) - set(everyone):
        raise SystemExit(f"--contenders: unknown {', '.join(sorted(unknown))}; choose from {', '.join(everyone)}")

    machine = survey(device, huge)
    print(machine.describe() + ("; freed memory is kept" if kept else ""))
    print("\n".join(f"  {name:10}{everyone[name].about}" for name in names), "\n")
    results: list[Result] = []
    for case in cases:
        fences = spare_memory(case.min_bytes("forward") // 3) if kept else []  # a result is a quarter of those bytes
        for direction in directions:
            entrants = [everyone[name] for name in names]
            if case in scaling:
                entrants = [entrant for entrant in entrants if not entrant.layer and entrant.name != "flex"]
            rows = measure(case, direction, entrants, device, 1 if options.quick else options.budget)
            print(table(case, direction, rows), flush=True)
            results += rows
            if options.csv:  # after every table, so that what was measured outlives what fails later
                write_csv(options.csv, results, machine)
        del fences
    print(ratios(results, device))
    if options.plot:
        draw_scaling(options.plot, [result for result in results if result.case in scaling], machine)
    return int(any(result.failed and (result.contender.ours or wrong(result)) for result in results))


def wrong(result: Result) -> bool:
    """Whether it ran and gave another result than dense attention in float64."""
    return result.reason.startswith("ArithmeticError")


if __name__ == "__main__":
    raise SystemExit(main())
