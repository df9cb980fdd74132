"""A picture of the GPU benchmark's tables: the fraction of the copy bandwidth that each contender reaches.

python benchmarks/gpu_picture.py gpu_check picture.png
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

DIRECTIONS = ("forward", "backward", "both")


def rows_of(folder: Path) -> list[dict[str, str]]:
    """All rows of the folder's benchmark tables that hold a time."""
    found = []
    for path in sorted(folder.glob("benchmark-*.csv")):
        with path.open(newline="") as file:
            found += [row for row in csv.DictReader(file) if row["p50_ms"]]
    return found


def draw(rows: list[dict[str, str]], target: Path) -> None:
    """One panel per direction, one group of bars per case."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    cases = list(dict.fromkeys(row["case"] for row in rows))
    names = list(dict.fromkeys(row["contender"] for row in rows))
    figure, axes = plt.subplots(len(DIRECTIONS), 1, figsize=(max(8, 1.2 * len(cases)), 9), sharex=True)
    for axis, direction in zip(axes, DIRECTIONS, strict=True):
        for place, name in enumerate(names):
            mine = [row for row in rows if (row["direction"], row["contender"]) == (direction, name)]
            at = [cases.index(row["case"]) + (place + 0.5) / len(names) * 0.8 - 0.4 for row in mine]
            axis.bar(at, [100 * float(row["of_copy_bandwidth"]) for row in mine], 0.8 / len(names), label=name)
        axis.set(title=direction, ylabel="% of copy bandwidth")
        axis.grid(alpha=0.3, axis="y")
    axes[0].legend(fontsize=7, ncols=len(names), loc="lower center", bbox_to_anchor=(0.5, 1.12))
    axes[-1].set_xticks(range(len(cases)), cases, rotation=30, ha="right")
    figure.suptitle(f"{rows[0]['device']}, torch {rows[0]['torch']}, {rows[0]['commit']}", fontsize=9)
    figure.tight_layout()
    figure.savefig(target, dpi=150)
    plt.close(figure)


def main(folder: str, target: str) -> int:
    """Draw what is there; 1 if there is nothing."""
    rows = rows_of(Path(folder))
    if not rows:
        print(f"no benchmark table with a time in {folder}", file=sys.stderr)
        return 1
    draw(rows, Path(target))
    print(target)
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    raise SystemExit(main(*sys.argv[1:]))
