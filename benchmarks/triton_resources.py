"""What the Triton kernels take on each architecture: registers, spills, shared memory and blocks per SM, as compiled.

Needs Triton and no GPU: the kernels are compiled ahead of time with the arguments of real launches (12 leads, 15 beats,
q, k and v as views of one projection). Nothing here is a measurement of speed.

    python benchmarks/triton_resources.py                                  # every use, bf16, D 32 64 96 128, five archs
    python benchmarks/triton_resources.py --uses local --dims 64 --archs 90 --csv resources.csv
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch

from clear_hug.files import replacing

ROOT = Path(__file__).resolve().parents[1]
USES = ("local", "visible", "all_visible", "packed", "long")
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
ARCHS = (75, 80, 90, 100, 120)
DIMS = (32, 64, 96, 128)


def rows(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row per kernel; a kernel that several uses launch alike is compiled once by Triton's cache."""
    from clear_kernels.triton.resources import attention_launches, compile_launch

    for arch in arguments.archs:
        for name in arguments.dtypes:
            # Turing has no bfloat16; its half-precision kernels are compiled for float16.
            dtype = torch.float16 if name == "bf16" and arch < 80 else DTYPES[name]
            for dim in arguments.dims:
                for use in arguments.uses:
                    for launch in attention_launches(use, dtype, dim, arch, dropout=arguments.dropout):
                        head = {"use": use, "dtype": str(dtype).removeprefix("torch."), "head_dim": dim}
                        yield head | asdict(compile_launch(launch, arch))


def columns() -> list[str]:
    from clear_kernels.triton.resources import Resources

    return ["use", "dtype", "head_dim", *(field.name for field in fields(Resources))]


def print_row(values: list[str]) -> None:
    widths = (12, 9, 9, 22, 11, 6, 10, 12, 13, 7, 10, 13)
    print("".join(value.ljust(width) for value, width in zip(values, widths, strict=True)), flush=True)


def write_csv(path: Path, found: list[dict[str, Any]]) -> None:
    """Write the table in one step, so that no reader sees half of it."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns())
        writer.writeheader()
        writer.writerows(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uses", nargs="+", choices=USES, default=list(USES))
    parser.add_argument("--dtypes", nargs="+", choices=tuple(DTYPES), default=["bf16"])
    parser.add_argument("--dims", nargs="+", type=int, default=list(DIMS), help="head dimensions")
    parser.add_argument("--archs", nargs="+", type=int, choices=ARCHS, default=list(ARCHS), help="compute capabilities")
    parser.add_argument("--dropout", action="store_true", help="compile with attention dropout")
    parser.add_argument("--csv", type=Path, help="also write the table here")
    arguments = parser.parse_args()
    if importlib.util.find_spec("triton") is None:
        print("Triton is not installed; pip install 'triton>=3.2' (Linux)", file=sys.stderr)
        return 1
    print_row(columns())
    found = []
    for row in rows(arguments):
        found.append(row)
        print_row([str(row[name]) for name in columns()])
    if arguments.csv is not None:
        write_csv(arguments.csv, found)
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    raise SystemExit(main())
