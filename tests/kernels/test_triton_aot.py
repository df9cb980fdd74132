"""The Triton kernels compiled ahead of time for every architecture: no spills, and shared memory within its limit.

By default every use at every tuned head dimension on all five architectures, in some six minutes of a core;
``CLEAR_KERNELS_AOT=full`` compiles them with and without dropout and padding, and in float32, which takes an hour.
``python benchmarks/triton_resources.py`` prints the figures.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch

if importlib.util.find_spec("triton") is None:
    pytest.skip("Triton is not installed; it runs on Linux: pip install 'triton>=3.2'", allow_module_level=True)
if os.environ.get("TRITON_INTERPRET") == "1":
    pytest.skip("TRITON_INTERPRET=1 is set, and then nothing is compiled", allow_module_level=True)

from clear_kernels.triton.fitting import shared_bound
from clear_kernels.triton.release import release
from clear_kernels.triton.resources import SHARED_PER_BLOCK, Launch, attention_launches, compile_launch
from clear_kernels.triton.tiling import Target

BF16, FP16, FP32 = torch.bfloat16, torch.float16, torch.float32
ARCHITECTURES, DIMS = (75, 80, 90, 100, 120), (32, 64, 96, 128)
USES = ("local", "visible", "all_visible", "packed", "long")

# Turing has no matrix instructions in Triton, and the assembler, which fills all 255 registers there, keeps up to this
# many bytes elsewhere at head dimensions above 64, with visible beats, dropout or padding. CUDA C++ goes first there.
TURING_SPILL = 24

# The tiles are chosen so that the release of constraints.txt spills nothing. Others give registers out differently;
# what they may spill is slower and not wrong (docs/kernels.md, "Releases of Triton").
SPILL_OF_OTHER_RELEASES = 0 if release() == (3, 7) else 256


@dataclass(frozen=True)
class Compilation:
    """What is compiled in one test."""

    use: str
    dtype: torch.dtype
    head_dim: int
    capability: int
    dropout: bool = False
    valid: bool = False

    def spill_limit(self) -> int:
        plain = self.use in ("local", "long") and not self.dropout and not self.valid
        of_turing = TURING_SPILL if self.capability == 75 and self.head_dim > 64 and not plain else 0
        return max(of_turing, SPILL_OF_OTHER_RELEASES)

    def __str__(self) -> str:
        extras = ["dropout"] * self.dropout + ["valid"] * self.valid
        name = str(self.dtype).removeprefix("torch.")
        return "-".join((self.use, name, f"D{self.head_dim}", f"sm_{self.capability}", *extras))


def launches_of(case: Compilation, leads: int = 12) -> list[Launch]:
    if release() < (3, 3) and case.capability >= 100:
        pytest.skip("Triton before 3.3 ends the process where it meets Blackwell; pip install 'triton>=3.3'")
    return attention_launches(
        case.use, case.dtype, case.head_dim, case.capability, leads=leads, dropout=case.dropout, valid=case.valid
    )


def half_of(capability: int) -> torch.dtype:
    """Turing has no bfloat16."""
    return FP16 if capability == 75 else BF16


def everything() -> Iterator[Compilation]:
    for capability, head_dim, use in itertools.product(ARCHITECTURES, DIMS, USES):
        for dropout, valid in itertools.product((False, True), repeat=2):
            yield Compilation(use, half_of(capability), head_dim, capability, dropout, valid)
    for capability, head_dim, use in itertools.product((80, 90), DIMS, USES):
        yield Compilation(use, FP32, head_dim, capability)


def some() -> Iterator[Compilation]:
    """Every use everywhere; dropout with padding on each architecture at one dimension."""
    for capability, head_dim, use in itertools.product(ARCHITECTURES, DIMS, USES):
        yield Compilation(use, half_of(capability), head_dim, capability)
    for capability in ARCHITECTURES:
        yield Compilation("local", half_of(capability), 64, capability, dropout=True, valid=True)
    yield Compilation("visible", BF16, 64, 90, dropout=True, valid=True)
    yield Compilation("local", FP32, 64, 80)
    yield Compilation("packed", FP32, 96, 90)


CHOSEN = list(everything() if os.environ.get("CLEAR_KERNELS_AOT") == "full" else some())


@pytest.mark.parametrize("case", CHOSEN, ids=str)
def test_no_spills_and_shared_memory_within_the_limit(case: Compilation) -> None:
    for launch in launches_of(case):
        found = compile_launch(launch, case.capability)
        assert found.spill_bytes <= case.spill_limit(), found
        assert found.shared_bytes <= SHARED_PER_BLOCK[case.capability], found
        assert found.blocks >= 1, found


@pytest.mark.parametrize(
    ("leads", "case"),
    [
        (12, Compilation("visible", FP32, 256, 120)),  # smaller tiles than the rules'
        (12, Compilation("local", FP16, 160, 75, dropout=True, valid=True)),
        (12, Compilation("local", BF16, 160, 90, dropout=True, valid=True)),
        (17, Compilation("visible", BF16, 128, 90)),
        (33, Compilation("local", BF16, 64, 120)),
    ],
    ids=str,
)
def test_the_bound_on_shared_memory_holds(leads: int, case: Compilation) -> None:
    capability, limit = case.capability, SHARED_PER_BLOCK[case.capability]
    precision = "wide" if case.dtype == FP16 and capability == 75 else "ieee"
    bound = shared_bound(leads, case.head_dim, case.dtype.itemsize, precision, Target(capability, limit, 100))
    taken = max(compile_launch(launch, capability).shared_bytes for launch in launches_of(case, leads))
    assert taken <= bound <= limit


@pytest.mark.parametrize(
    ("leads", "case"),
    [
        (64, Compilation("visible", FP32, 256, 80, dropout=True, valid=True)),
        (64, Compilation("visible", FP32, 256, 100, dropout=True, valid=True)),
        (64, Compilation("visible", BF16, 192, 120, dropout=True, valid=True)),
        (64, Compilation("local", FP32, 256, 90)),
        (64, Compilation("local", FP16, 16, 75, dropout=True)),
        (12, Compilation("all_visible", FP32, 256, 75, valid=True)),
        (12, Compilation("packed", FP16, 256, 75, dropout=True, valid=True)),
    ],
    ids=str,
)
def test_rows_are_taken_one_at_a_time_where_no_tile_fits(leads: int, case: Compilation) -> None:
    found = [compile_launch(launch, case.capability) for launch in launches_of(case, leads)]
    assert [each.kernel for each in found] == ["row_forward", "row_backward_query", "row_backward_key"]
    assert max(each.spill_bytes for each in found) <= SPILL_OF_OTHER_RELEASES
    assert max(each.shared_bytes for each in found) <= 4096


def test_a_spill_is_seen() -> None:
    # One warp for a tile of 64 x 64 cannot hold it in registers; the check above would be worthless if it missed that.
    launch = next(x for x in attention_launches("packed", BF16, 64, 80) if "forward" in x.kernel.fn.__name__)
    starved = type(launch)(launch.kernel, launch.arguments, warps=1)
    assert compile_launch(starved, 80).spill_bytes > 0
