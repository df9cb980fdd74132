"""Results as text tables, as CSV rows and as ratios."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from attn.cases import Case, Direction
from attn.machine import Machine
from attn.measure import Result
from clear_kernels.backends import choose, cuda
from clear_kernels.order import Use

TITLES = {"forward": "forward", "backward": "backward", "both": "forward + backward"}
_HEAD = (
    f"  {'':10}{'p20':>10}{'p50':>10}{'p80 ms':>10}{'peak MB':>10}{'GB/s':>8}{'of copy':>9}{'of roof':>9}{'error':>10}"
)


def table(case: Case, direction: Direction, results: Sequence[Result]) -> str:
    """The contenders of one case in one direction, then those that did not run and why."""
    some = results[0]
    lines = [
        f"{case.describe()}\n{TITLES[direction]}: {case.min_bytes(direction) / 1e6:,.1f} MB must move, "
        f"{case.flop(direction) / 1e9:,.2f} GFLOP must be done; "
        f"at {some.copy_bytes_per_s / 1e9:,.1f} GB/s of a copy and "
        f"{some.matmul_flop_per_s / 1e9:,.0f} GFLOP/s of a matrix product: roofline {some.roofline_ms:.4g} ms",
        _HEAD,
    ]
    for result in results:
        if result.reason:
            lines.append(f"  {result.contender.name:10}not run: {result.reason}")
            continue
        peak = "-" if result.peak_bytes is None else f"{result.peak_bytes / 1e6:,.1f}"
        rate = case.min_bytes(direction) / result.p50 / 1e6
        roof = result.roofline_ms / result.p50
        lines.append(
            f"  {result.contender.name:10}{result.p20:10.4g}{result.p50:10.4g}{result.p80:10.4g}{peak:>10}{rate:8.1f}"
            f"{result.of_copy:9.1%}{roof:9.1%}{'-' if result.error is None else f'{result.error:.1e}':>10}"
        )
    return "\n".join(lines) + "\n"


def chosen_backend(case: Case, device: torch.device) -> str:
    """The backend that ``backend=None`` takes for a case."""
    uses: dict[str, Use] = {"decoder": "visible", "encoder": "all_visible", "packed": "packed"}
    q = torch.empty(1, 1, 1, case.dim, dtype=case.dtype, device=device)
    return choose(q, case.leads, None, uses.get(case.use, "local"))


def ratios(results: Sequence[Result], device: torch.device) -> str:
    """How many times faster the chosen backend is than each other contender, as ratios of medians of one run."""
    by_key: dict[tuple[Case, Direction], dict[str, Result]] = {}
    for result in results:
        by_key.setdefault((result.case, result.direction), {})[result.contender.name] = result
    names = [
        name for name in ("sdpa-mask", "flex", "gather", "sdpa-full") if any(name in row for row in by_key.values())
    ]
    lines = [
        "ours (the backend that backend=None takes) against each peer: peer's median / our median",
        f"  {'case':18}{'direction':20}{'ours':8}" + "".join(f"{name:>12}" for name in names) + f"{'mha/layer':>12}",
    ]
    for (case, direction), row in by_key.items():
        ours = chosen_backend(case, device)
        cells = [_ratio(row.get(name), row.get(ours)) for name in names] + [_ratio(row.get("mha"), row.get("layer"))]
        lines.append(f"  {case.name:18}{TITLES[direction]:20}{ours:8}" + "".join(f"{cell:>12}" for cell in cells))
    return "\n".join(lines)


def _ratio(peer: Result | None, ours: Result | None) -> str:
    if peer is None or ours is None or math.isnan(peer.p50) or math.isnan(ours.p50):
        return "-"
    return f"{peer.p50 / ours.p50:.2f}x"


def write_csv(path: Path, results: Sequence[Result], machine: Machine) -> None:
    """One row per contender, direction and case; the reason in place of times where it did not run."""
    rows = [_row(result, machine) for result in results]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


def extension_toolkit() -> str:
    """Version of the CUDA toolkit that built the CUDA C++ extension; empty without the extension."""
    try:
        return cuda.build_info()["CUDA runtime"]
    except ImportError:
        return ""


def _row(result: Result, machine: Machine) -> dict[str, object]:
    case, direction = result.case, result.direction
    ran = not result.reason
    shape = {
        "case": case.name,
        "use": case.use,
        "batch": case.batch,
        "heads": case.heads,
        "dim": case.dim,
        "leads": case.leads,
        "beats": case.beats,
        "kept": case.kept,
        "tokens": case.tokens,
        "dtype": str(case.dtype).removeprefix("torch."),
        "cuda_graph": int(case.graph),
        "direction": direction,
        "contender": result.contender.name,
    }
    figures = {
        "p20_ms": f"{result.p20:.6g}",
        "p50_ms": f"{result.p50:.6g}",
        "p80_ms": f"{result.p80:.6g}",
        "rounds": result.rounds,
        "peak_bytes": result.peak_bytes,
        "of_copy_bandwidth": f"{result.of_copy:.4g}",
        "max_relative_error": "" if result.error is None else f"{result.error:.3g}",
    }
    return {
        **shape,
        **(figures if ran else dict.fromkeys(figures, "")),
        "min_bytes": case.min_bytes(direction),
        "flop": case.flop(direction),
        "roofline_ms": f"{result.roofline_ms:.6g}",
        "copy_gb_per_s": f"{result.copy_bytes_per_s / 1e9:.4g}",
        "matmul_gflop_per_s": f"{result.matmul_flop_per_s / 1e9:.4g}",
        "not_run_because": result.reason,
        "device": machine.device,
        "threads": machine.threads,
        "torch": machine.torch_version,
        "torch_cuda": machine.torch_cuda,
        "triton": machine.triton_version,
        "extension_cuda": extension_toolkit(),
        "python": machine.python_version,
        "driver": machine.driver,
        "commit": machine.commit,
    }
