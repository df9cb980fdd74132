"""The Triton backend without a GPU: lazy import, reasons of refusal, and the choice of tiles."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import itertools
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import torch

from clear_kernels.backends import triton as backend
from clear_kernels.triton import fitting, tiling
from clear_kernels.triton.tiling import Target

H200 = Target(90, 232_448, 132)
A100 = Target(80, 166_912, 108)
RTX = Target(120, 101_376, 170)
T4 = Target(75, 65_536, 40)


def test_importing_the_package_imports_no_triton() -> None:
    code = "import sys; from clear_kernels import backends; backends(); print('triton' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False"]


def test_a_missing_triton_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install" in str(backend.available())


@pytest.mark.parametrize(("version", "known"), [("3.1.0", False), ("3.2.0", True), ("3.9.1", True), ("3.10.0", False)])
def test_an_unknown_triton_is_a_reason(version: str, known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(backend, "_compiler_reason", lambda: None)
    reason = backend.available()
    assert reason is None if known else version in str(reason)


def test_a_missing_gpu_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "_version_reason", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert "no CUDA device" in str(backend.available())


def test_a_missing_compiler_is_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(backend, "_version_reason", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "C compiler" in str(backend.available())
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    assert "Python.h" in str(backend.available())
    (tmp_path / "Python.h").touch()
    assert backend.available() is None


def test_cpu_tensors_need_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    q = torch.empty(1, 1, 4, 32)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert "TRITON_INTERPRET=1" in str(backend.can_run(q))
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert backend.can_run(q) is None
    assert "bfloat16" in str(backend.can_run(q.bfloat16()))


@pytest.mark.parametrize(("dtype", "dim", "word"), [(torch.float64, 32, "float64"), (torch.float32, 257, "257")])
def test_dtypes_and_head_dimensions_are_refused_with_their_value(dtype: torch.dtype, dim: int, word: str) -> None:
    assert word in str(backend.can_run(torch.empty(1, 1, 4, dim, dtype=dtype)))


@pytest.mark.parametrize(
    ("capability", "dtype", "refused"),
    [
        ((7, 0), torch.float16, True),
        ((7, 5), torch.float16, False),
        ((7, 5), torch.bfloat16, True),
        ((8, 0), torch.bfloat16, False),
    ],
)
def test_old_gpus(
    capability: tuple[int, int], dtype: torch.dtype, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OnGpu:
        device = torch.device("cuda", 0)
        shape = (1, 1, 4, 32)

    q = OnGpu()
    q.dtype = dtype  # type: ignore[attr-defined]
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    reason = backend.can_run(q)  # type: ignore[arg-type]
    assert (str(capability) in str(reason)) if refused else reason is None


@pytest.mark.parametrize(
    ("dim", "parts"), [(1, (16, 0)), (16, (16, 0)), (32, (32, 0)), (48, (32, 16)), (72, (64, 16)), (96, (64, 32))]
)
def test_head_parts(dim: int, parts: tuple[int, int]) -> None:
    assert tiling.head_parts(dim) == parts


def test_head_parts_hold_every_head_dimension() -> None:
    for dim in range(1, 257):
        main, tail = tiling.head_parts(dim)
        assert main + tail >= dim
        assert all(part == 0 or (part >= 16 and part & (part - 1) == 0) for part in (main, tail))
        assert main + tail <= max(16, tiling.next_power_of_two(dim))


@pytest.mark.parametrize("target", [H200, A100, T4], ids=str)
def test_a_local_tile_holds_the_class_rows_and_a_column(target: Target) -> None:
    for leads in range(1, 65):
        forward = tiling.local_forward_tile(leads, 64, 2, "ieee", target, dropout=False, padded=False, split=False)
        backward = tiling.local_backward_tile(
            leads, 64, 2, "ieee", target, dropout=False, padded=False, visible=False, split=False
        )
        for tile in (forward, backward):
            assert tile.columns >= 1
            assert leads * (tile.columns + 1) <= tile.rows <= 128


@pytest.mark.parametrize("heads", [1, 8, 64, 2048, 4096])
@pytest.mark.parametrize("tiles", [1, 4, 7, 8, 15, 16, 250, 25_000])
def test_splits_leave_no_part_empty(heads: int, tiles: int) -> None:
    parts = tiling.splits(heads, tiles)
    per_part = -(-tiles // parts)
    assert (parts - 1) * per_part < tiles <= parts * per_part
    assert parts == 1 or per_part >= tiling.FEWEST_TILES


def test_a_day_of_beats_fills_the_gpu_and_a_large_batch_is_not_split() -> None:
    assert 8 * tiling.splits(8, 25_000) >= 0.9 * tiling.WANTED_PROGRAMS
    assert tiling.splits(2048, 4) == 1


LIMITS = [
    ("7.5", "float16", T4, 2, "wide"),
    ("7.5", "float32", T4, 4, "ieee"),
    ("8.0", "half precision", A100, 2, "ieee"),
    ("8.0", "float32", A100, 4, "ieee"),
    ("8.0", "TF32", A100, 4, "tf32"),
    ("8.6, 8.9, 12.0", "half precision", RTX, 2, "ieee"),
    ("8.6, 8.9, 12.0", "float32", RTX, 4, "ieee"),
    ("8.6, 8.9, 12.0", "TF32", RTX, 4, "tf32"),
    ("9.0, 10.0", "half precision", H200, 2, "ieee"),
    ("9.0, 10.0", "float32", H200, 4, "ieee"),
    ("9.0, 10.0", "TF32", H200, 4, "tf32"),
]


def largest_head_dimension(leads: int | None, itemsize: int, precision: str, target: Target) -> int:
    """The last head dimension that fits; none above it does. Tiles change at multiples of 16 at most."""
    dims = sorted({1, *range(16, 257, 16), *range(17, 257, 16)})
    fits = [fitting.shared_bound(leads, dim, itemsize, precision, target) <= target.shared for dim in dims]
    assert fits == sorted(fits, reverse=True)
    return max((dim for dim, fit in zip(dims, fits, strict=True) if fit), default=0)


@pytest.mark.parametrize(("where", "dtype", "target", "itemsize", "precision"), LIMITS)
def test_the_documented_limits_are_those_of_the_rules(
    where: str, dtype: str, target: Target, itemsize: int, precision: str
) -> None:
    cells = []
    groups: tuple[tuple[int | None, ...], ...] = (None, 1, 8, 12, 16), (17, 32), (33, 64)
    for group in groups:
        largest = {largest_head_dimension(leads, itemsize, precision, target) for leads in group}
        assert len(largest) == 1
        cells.append(str(largest.pop() or "none"))
    document = (Path(__file__).parents[2] / "docs" / "kernels.md").read_text(encoding="utf-8")
    assert f"| {' | '.join((where, dtype, *cells))} |" in document


@pytest.mark.parametrize(("where", "dtype", "target", "itemsize", "precision"), LIMITS)
def test_tiles_that_fit_are_kept(where: str, dtype: str, target: Target, itemsize: int, precision: str) -> None:
    for dim in (32, 64, 96, 128) if itemsize == 2 else (32, 64):
        shape = dim, itemsize, precision, target
        for leads, other in itertools.product((1, 12, 16), (False, True)):
            local = tiling.local_backward_tile(leads, *shape, dropout=other, padded=other, visible=other, split=other)
            assert fitting.fitted("local_backward", local, *shape, leads) is local
            forward = tiling.local_forward_tile(leads, *shape, dropout=other, padded=other, split=other)
            assert fitting.fitted("local_forward", forward, *shape, leads) is forward
        whole = tiling.whole_backward_tile(*shape, dropout=False)
        assert fitting.fitted("tile_backward", whole, *shape) is whole


def test_where_the_tile_does_not_fit_a_smaller_one_is_taken() -> None:
    shape = 256, 4, "ieee", RTX
    rule = tiling.local_backward_tile(12, *shape, dropout=False, padded=False, visible=False, split=False)
    tile = fitting.fitted("local_backward", rule, *shape, 12)
    assert tile == dataclasses.replace(rule, late=True)
    assert fitting.shared_bytes("local_backward", tile, *shape[1:]) <= RTX.shared
    assert fitting.shared_bytes("local_backward", rule, *shape[1:]) > RTX.shared
    whole = tiling.whole_backward_tile(*shape, dropout=False)
    assert fitting.fitted("tile_backward", whole, *shape).rows == whole.rows // 2


def test_no_two_warp_groups_share_64_rows_with_old_releases() -> None:
    old = dataclasses.replace(H200, tall_tiles=False)
    for leads, dim, *flags in itertools.product((12, 24, 40), (32, 64, 96, 256), *4 * [(False, True)]):
        options = dict(zip(("dropout", "padded", "visible", "split"), flags, strict=True))
        tile = tiling.local_backward_tile(leads, dim, 2, "ieee", old, **options)
        assert tile.rows != 64 or tile.warps == 4
