"""The table of what the Triton kernels take holds all that the script compiles by default."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import triton_resources

TABLE = Path(triton_resources.__file__).parent / "results" / "triton_resources.csv"


def test_the_table_holds_every_use_at_every_head_dimension_on_every_architecture() -> None:
    with TABLE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = {(int(row["capability"]), row["dtype"], int(row["head_dim"]), row["use"]) for row in rows}
    shapes = itertools.product(triton_resources.ARCHS, triton_resources.DIMS, triton_resources.USES)
    assert found == {(arch, "float16" if arch < 80 else "bfloat16", dim, use) for arch, dim, use in shapes}
