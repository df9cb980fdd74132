"""How calls are laid out on GPUs that need not be here: which kernels, how much shared memory, bounded workspace."""

from __future__ import annotations

import pytest
import torch
from cuda_emulation import HOPPER, KIB, EmulatedExtension, load_library

from clear_kernels.backends import cuda

# Multiprocessors, shared memory per block and per multiprocessor (CUDA programming guide, compute capabilities).
GPUS = {
    "sm_75": (40, 64 * KIB, 64 * KIB),
    "sm_80": (108, 163 * KIB, 164 * KIB),
    "sm_86": (84, 99 * KIB, 100 * KIB),
    "sm_90": (132, 227 * KIB, 228 * KIB),
    "sm_100": (148, 227 * KIB, 228 * KIB),
    "sm_120": (170, 99 * KIB, 100 * KIB),
}
# Warps of a multiprocessor that must find shared memory at a time, by head dimension: what the tiles leave on each GPU.
# Each warp of the beat kernels has a column under way while it works on another, and their registers allow 8 in the
# backward pass; the columns kernels (backward at D 96 and 128) want more.
COLUMN_WARPS = {
    "sm_75": {32: 6, 64: 4, 96: 3, 128: 1},
    "sm_80": {32: 16, 64: 8, 96: 8, 128: 6},
    "sm_86": {32: 10, 64: 6, 96: 4, 128: 4},
    "sm_90": {32: 18, 64: 10, 96: 12, 128: 8},
    "sm_100": {32: 18, 64: 10, 96: 12, 128: 8},
    "sm_120": {32: 8, 64: 6, 96: 4, 128: 4},
}
DENSE_WARPS = {
    "sm_75": {32: 8, 64: 4, 96: 4, 128: 4},
    "sm_80": {32: 24, 64: 16, 96: 12, 128: 8},
    "sm_86": {32: 16, 64: 8, 96: 4, 128: 4},
    "sm_90": {32: 36, 64: 20, 96: 16, 128: 12},
    "sm_100": {32: 36, 64: 20, 96: 16, 128: 12},
    "sm_120": {32: 16, 64: 8, 96: 4, 128: 4},
}
LOCAL, MIXED, ALL_VISIBLE, PACKED = range(4)
TILES, ROW_BY_ROW, WHOLE_HEADS = range(3)
TUNED = (32, 64, 96, 128)
each_gpu = pytest.mark.parametrize("gpu", GPUS)


def plan(
    gpu: str,
    form: int,
    *,
    backward: bool,
    dim: int = 64,
    dtype: torch.dtype = torch.bfloat16,
    leads: int = 12,
    **sizes: int,
) -> dict[str, int]:
    batch, heads, beats = sizes.get("batch", 256), sizes.get("heads", 8), sizes.get("beats", 15)
    absent = (0, 0, 0, 0)
    problem = cuda.Problem(
        dtype=cuda._DTYPE_CODES[dtype],
        form=form,
        leads=leads,
        dim=dim,
        batch=batch,
        heads=heads,
        beats=beats,
        rows=(absent,) * 8,
        lse=0,
        visible=(0, 0),
        valid=(0, 0),
        lead=(0, 0),
        seed=0,
        drop_below=0,
        keep_scale=1.0,
        scale=dim**-0.5,
    )
    return dict(EmulatedExtension(load_library(), HOPPER).plan(problem, backward, GPUS[gpu]))


@each_gpu
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("form", [LOCAL, MIXED, ALL_VISIBLE, PACKED])
@pytest.mark.parametrize("dim", TUNED)
def test_tuned_shapes_go_by_tiles_and_fit(gpu: str, form: int, dim: int, backward: bool) -> None:
    for dtype in (torch.bfloat16, torch.float16):
        made = plan(gpu, form, dim=dim, dtype=dtype, backward=backward, beats=180 if form == PACKED else 15)
        assert made["engine"] != ROW_BY_ROW
        assert max(made["column_shared"], made["dense_shared"]) <= GPUS[gpu][1]
        for part, wanted in (("column", COLUMN_WARPS), ("dense", DENSE_WARPS)):
            warps, shared = made[f"{part}_warps"], made[f"{part}_shared"]
            if warps:
                resident = GPUS[gpu][2] // (shared + KIB) * warps
                assert resident >= wanted[gpu][dim], (part, made, resident)


@each_gpu
def test_float64_and_what_does_not_fit_go_row_by_row(gpu: str) -> None:
    assert plan(gpu, LOCAL, dtype=torch.float64, backward=True)["engine"] == ROW_BY_ROW
    assert plan(gpu, LOCAL, leads=64, dim=256, backward=True)["engine"] == ROW_BY_ROW


def test_long_recordings_fill_the_gpu() -> None:
    holter = {"batch": 1, "heads": 8, "beats": 100_000}
    for backward in (False, True):
        made = plan("sm_90", LOCAL, backward=backward, **holter)
        assert 8 * made["chunks"] >= 8 * 132
        assert made["workspace"] < 64 << 20
    assert plan("sm_90", LOCAL, backward=False)["chunks"] == 1
    assert plan("sm_90", LOCAL, backward=False)["workspace"] == 0


def test_the_largest_lists_and_tokens_are_counted_in_64_bits() -> None:
    made = plan("sm_90", ALL_VISIBLE, backward=True, batch=1024, heads=32, beats=1000)
    assert made["workspace"] >= 1024 * 32 * 12 * 1001 * 4


@pytest.mark.parametrize("gpu", ["sm_80", "sm_90", "sm_100"])
@pytest.mark.parametrize("backward", [False, True])
def test_short_recordings_with_visible_beats_go_by_whole_heads(gpu: str, backward: bool) -> None:
    for dim in (32, 64):
        made = plan(gpu, MIXED, dim=dim, backward=backward)
        assert made["engine"] == (TILES if gpu == "sm_80" and dim == 64 and backward else WHOLE_HEADS)
        if made["engine"] == WHOLE_HEADS:
            assert made["workspace"] == 0
            assert 2 * (made["head_shared"] + KIB) <= GPUS[gpu][2]
    assert plan(gpu, MIXED, dim=32, backward=backward, beats=100)["engine"] == TILES


def test_whole_heads_of_more_than_32_columns() -> None:
    assert plan("sm_90", MIXED, dim=32, backward=False, beats=40)["engine"] == WHOLE_HEADS


@pytest.mark.parametrize(("dim", "backward", "blocks"), [(32, False, 6), (32, True, 4), (64, False, 3), (64, True, 2)])
def test_whole_heads_share_a_multiprocessor(dim: int, backward: bool, blocks: int) -> None:
    made = plan("sm_90", MIXED, dim=dim, backward=backward)
    assert blocks * (made["head_shared"] + KIB) <= GPUS["sm_90"][2]
