"""A picture of how time and memory grow with the number of beats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attn.cases import Direction
from attn.machine import Machine
from attn.measure import Result
from attn.report import TITLES


def draw_scaling(path: Path, results: Sequence[Result], machine: Machine) -> None:
    """Median time and peak memory over T, log-log, one line per contender, beside the least time of the machine."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    directions: list[Direction] = sorted({result.direction for result in results}, key=list(TITLES).index)
    figure, axes = plt.subplots(2, len(directions), figsize=(5 * len(directions), 8), sharex=True, squeeze=False)
    for column, direction in enumerate(directions):
        time_axis, memory_axis = axes[0, column], axes[1, column]
        mine = [result for result in results if result.direction == direction]
        cases = sorted({result.case for result in mine}, key=lambda case: case.beats)
        for name in dict.fromkeys(result.contender.name for result in mine):
            ran = [result for result in mine if result.contender.name == name and not result.reason]
            ran.sort(key=lambda result: result.case.beats)
            if not ran:
                continue
            beats = [result.case.beats for result in ran]
            time_axis.plot(beats, [result.p50 for result in ran], marker="o", markersize=3, label=name)
            known = [result for result in ran if result.peak_bytes]
            memory_axis.plot(
                [result.case.beats for result in known],
                [(result.peak_bytes or 0) / 1e6 for result in known],
                marker="o",
                markersize=3,
                label=name,
            )
        bound = [next(result for result in mine if result.case == case).roofline_ms for case in cases]
        time_axis.plot([case.beats for case in cases], bound, "k--", linewidth=1, label="roofline")
        time_axis.set(title=TITLES[direction], xscale="log", yscale="log", ylabel="median time (ms)")
        memory_axis.set(xscale="log", yscale="log", xlabel="beats per lead T", ylabel="peak memory of a call (MB)")
        for axis in (time_axis, memory_axis):
            axis.grid(alpha=0.3)
            axis.legend(fontsize=8)
    shape = results[0].case
    figure.suptitle(
        f"B {shape.batch} H {shape.heads} D {shape.dim} L {shape.leads}, {str(shape.dtype).removeprefix('torch.')}\n"
        f"{machine.device}, {machine.threads} threads",
        fontsize=9,
    )
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)
