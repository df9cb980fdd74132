"""The Triton kernels compiled ahead of time for every architecture: no spills, and shared memory within its limit.

A representative part of the tuned shapes by default; ``CLEAR_KERNELS_AOT=full`` compiles them all, which takes long.
``python benchmarks/triton_resources.py`` prints the figures.
"""

from __future__ import annotations

import importlib.util
import os

import pytest
import torch

if importlib.util.find_spec("triton") is None:
    pytest.skip("Triton is not installed; it runs on Linux: pip install 'triton>=3.2'", allow_module_level=True)
if os.environ.get("TRITON_INTERPRET") == "1":
    pytest.skip("TRITON_INTERPRET=1 is set, and then nothing is compiled", allow_module_level=True)

from clear_kernels.triton.resources import SHARED_PER_BLOCK, attention_launches, compile_launch

BF16, FP16, FP32 = torch.bfloat16, torch.float16, torch.float32
Case = tuple[str, torch.dtype, int, int]


def chosen() -> list[Case]:
    """(use, dtype, head dimension, compute capability) to compile."""
    if os.environ.get("CLEAR_KERNELS_AOT") == "full":
        uses, dims = ("local", "visible", "all_visible", "packed", "long"), (32, 64, 96, 128)
        half = [(u, FP16 if c == 75 else BF16, d, c) for c in (75, 80, 90, 100, 120) for u in uses for d in dims]
        return half + [(use, FP32, dim, c) for c in (80, 90) for use in uses for dim in dims]
    hopper = [("local", BF16, 32, 90), ("local", BF16, 64, 90), ("visible", BF16, 32, 90), ("packed", BF16, 96, 90)]
    others = [("local", FP16 if c == 75 else BF16, 64, c) for c in (75, 80, 100, 120)]
    return [*hopper, *others, ("packed", BF16, 96, 80), ("local", FP32, 64, 80)]


@pytest.mark.parametrize(("use", "dtype", "head_dim", "capability"), chosen(), ids=str)
def test_no_spills_and_shared_memory_within_the_limit(
    use: str, dtype: torch.dtype, head_dim: int, capability: int
) -> None:
    for launch in attention_launches(use, dtype, head_dim, capability):
        found = compile_launch(launch, capability)
        assert found.spill_bytes == 0, found
        assert found.shared_bytes <= SHARED_PER_BLOCK[capability], found
        assert found.blocks >= 1, found


def test_dropout_and_padding_masks_do_not_spill() -> None:
    for launch in attention_launches("local", BF16, 64, 90, dropout=True, valid=True):
        found = compile_launch(launch, 90)
        assert found.spill_bytes == 0, found


def test_a_spill_is_seen() -> None:
    # One warp for a tile of 64 x 64 cannot hold it in registers; the check above would be worthless if it missed that.
    launch = next(x for x in attention_launches("packed", BF16, 64, 80) if "forward" in x.kernel.fn.__name__)
    starved = type(launch)(launch.kernel, launch.arguments, warps=1)
    assert compile_launch(starved, 80).spill_bytes > 0
