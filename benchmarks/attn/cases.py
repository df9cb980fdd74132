"""What is measured: shapes declared as data, with the bytes and operations that each of them cannot do without."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch

Use = Literal["local", "decoder", "encoder", "packed"]
Direction = Literal["forward", "backward", "both"]
DIRECTIONS: tuple[Direction, ...] = ("forward", "backward", "both")


@dataclass(frozen=True)
class Case:
    """One shape of one of the uses of the attention.

    ``local``: no beat visible. ``decoder``: ``kept`` beats of each sample visible, drawn at random. ``encoder``: all
    visible. ``packed``: only ``kept`` beats of each sample are there, with their lead ids.
    """

    name: str
    use: Use
    batch: int
    heads: int
    dim: int
    beats: int = 15
    leads: int = 12
    kept: int = 0
    dtype: torch.dtype = torch.float32
    graph: bool = False

    @property
    def tokens(self) -> int:
        """Tokens of one sample, N."""
        beats = self.kept if self.use == "packed" else self.leads * self.beats
        return self.leads + beats

    @property
    def pairs(self) -> int:
        """(query, key) pairs that may attend, of one sample and head."""
        grid, classes = self.leads * self.beats, self.leads
        if self.use == "packed":
            return classes + self.kept + self.kept * (self.kept + 1)
        visible = {"local": 0, "decoder": self.kept, "encoder": grid}[self.use]
        return classes + grid + visible * (visible + 1) + (grid - visible) * (classes + 1)

    def min_bytes(self, direction: Direction) -> int:
        """Bytes that must move: forward reads q, k, v and writes the output and one log-sum-exp per row.

        Backward reads q, k, v, the output and its gradient, and writes three gradients: twice as much.
        """
        lse = 8 if self.dtype == torch.float64 else 4
        forward = self.batch * self.heads * self.tokens * (4 * self.dim * self.dtype.itemsize + lse)
        return forward * {"forward": 1, "backward": 2, "both": 3}[direction]

    def flop(self, direction: Direction) -> int:
        """Operations of the products on allowed pairs: two forward, five backward (the logits are made again)."""
        product = 2 * self.batch * self.heads * self.pairs * self.dim
        return product * {"forward": 2, "backward": 5, "both": 7}[direction]

    def describe(self) -> str:
        """The shape in one line."""
        kept = f", {self.kept} of {self.leads * self.beats} beats kept" if self.kept else ""
        share = 100 * self.pairs / self.tokens**2
        return (
            f"{self.name}: {self.use}{kept}; B {self.batch} H {self.heads} D {self.dim} L {self.leads} T {self.beats} "
            f"N {self.tokens} {str(self.dtype).removeprefix('torch.')}; {share:.3g} % of {self.tokens**2:,} pairs"
            + ("; CUDA graph" if self.graph else "")
        )


_CPU = Case("local-t15", "local", batch=16, heads=8, dim=96)
_GPU = Case("drop-in", "local", batch=256, heads=8, dim=64, dtype=torch.bfloat16)

CPU_CASES = (_CPU, replace(_CPU, name="local-t120", beats=120))
CPU_MORE = (
    replace(_CPU, name="decoder", use="decoder", dim=32, heads=16, kept=36),
    replace(_CPU, name="encoder", use="encoder"),
    replace(_CPU, name="packed", use="packed", kept=36),
    replace(_CPU, name="local-t15-bf16", dtype=torch.bfloat16),
)
CPU_SCALING = tuple(
    Case(f"scale-t{beats}", "local", batch=1, heads=1, dim=64, beats=beats)
    for beats in (15, 50, 150, 500, 1500, 5000, 15_000, 50_000, 100_000)
)

GPU_CASES = (
    _GPU,
    replace(_GPU, name="drop-in-h12", heads=12),
    replace(_GPU, name="large", heads=16),
    replace(_GPU, name="decoder", use="decoder", heads=16, dim=32, kept=36),
    replace(_GPU, name="encoder", use="encoder", dim=96),
    replace(_GPU, name="packed", use="packed", dim=96, kept=36),
    replace(_GPU, name="small-batch", batch=8, graph=True),
)
GPU_MORE = (
    replace(_GPU, name="local-d32", heads=16, dim=32),
    replace(_GPU, name="local-d96", dim=96),
    replace(_GPU, name="local-d128", dim=128),
    replace(_GPU, name="decoder-d64", use="decoder", heads=16, kept=36),
    replace(_GPU, name="packed-d64", use="packed", kept=36),
)
GPU_SCALING = tuple(
    Case(f"holter-t{beats}", "local", batch=1, heads=8, dim=64, beats=beats, dtype=torch.bfloat16)
    for beats in (1000, 3000, 10_000, 30_000, 100_000)
)


def select(names: str, device: torch.device, dtype: torch.dtype | None) -> list[Case]:
    """The cases named in a comma-separated list of names and groups: default, more, scaling, all.

    Raises:
        SystemExit: If a name is unknown; the message lists the known ones.
    """
    cuda = device.type == "cuda"
    groups = {
        "default": GPU_CASES if cuda else CPU_CASES,
        "more": GPU_MORE if cuda else CPU_MORE,
        "scaling": GPU_SCALING if cuda else CPU_SCALING,
    }
    groups["all"] = groups["default"] + groups["more"] + groups["scaling"]
    known = {case.name: case for case in groups["all"]}
    chosen: dict[str, Case] = {}
    for name in filter(None, names.split(",")):
        if name not in groups and name not in known:
            raise SystemExit(f"--cases: {name!r} is unknown; choose from {', '.join([*groups, *known])}")
        chosen |= {case.name: case for case in groups.get(name, (known.get(name),)) if case is not None}
    return [case if dtype is None else replace(case, dtype=dtype) for case in chosen.values()]
