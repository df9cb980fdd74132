"""Every CUDA kernel keeps within the registers of every architecture. Needs a built extension or nvcc, no GPU."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURES = os.environ.get("CLEAR_KERNELS_TEST_ARCHS", "75 80 90 100 120").split()
TUNED = (32, 64, 96, 128)


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cuda_resources", ROOT / "benchmarks" / "cuda_resources.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


resources = _load()

REPORT = """
ptxas info    : Compiling entry function '_ZN10clear_cuda13dense_forwardINS_10TensorTileI6__halfEELi4EEEvNS_14DenseArgumentsE' for 'sm_90'
ptxas info    : Function properties for _ZN10clear_cuda13dense_forward
    8 bytes stack frame, 12 bytes spill stores, 16 bytes spill loads
ptxas info    : Used 96 registers, used 1 barriers, 32 bytes smem
ptxas info    : Compiling entry function '_ZN10clear_cuda12rows_forwardIdEEvNS_13RowsArgumentsE' for 'sm_90'
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 118 registers, used 1 barriers
"""  # noqa: E501 the compiler's own lines

MODULE_REPORT = """
Fatbin elf code:
================
arch = sm_90

Resource usage:
 Common:
  GLOBAL:0
 Function _ZN10clear_cuda15columns_forwardINS_10TensorTileI13__nv_bfloat16EELi1ELi64EEEvNS_16ColumnsArgumentsE:
  REG:124 STACK:8 SHARED:1024 LOCAL:0 CONSTANT[0]:952 TEXTURE:0 SURFACE:0 SAMPLER:0
Fatbin elf code:
================
arch = sm_75
 Function _ZN10clear_cuda12rows_forwardIdEEvNS_13RowsArgumentsE:
  REG:118 STACK:0 SHARED:16448 LOCAL:0 CONSTANT[0]:952 TEXTURE:0 SURFACE:0 SAMPLER:0
"""


def test_the_report_is_read() -> None:
    first, second = resources.parse_report(REPORT, "90")
    assert first == resources.Usage("90", "dense_forward", "float16", "4", 96, 8, 12, 16, 32)
    assert second == resources.Usage("90", "rows_forward", "float64", "", 118, 0, 0, 0, 0)
    assert first.warps_by_registers == 20


def test_a_built_module_is_read() -> None:
    first, second = resources.parse_module(MODULE_REPORT)
    assert first == resources.Usage("90", "columns_forward", "bfloat16", "1x64", 124, 8, 0, 0, 0)
    assert second == resources.Usage("75", "rows_forward", "float64", "", 118, 0, 0, 0, 16448)


def _sources() -> list[Path]:
    return sorted((ROOT / "csrc" / "cuda").glob("*.cu"))


def _built_module() -> Path | None:
    """The extension in this checkout, unless a source has changed since."""
    built = sorted((ROOT / "clear_kernels").glob("_cuda*.so"))
    newest = max(path.stat().st_mtime for path in (ROOT / "csrc" / "cuda").iterdir())
    return built[0] if built and built[0].stat().st_mtime > newest else None


@pytest.fixture(scope="module")
def usages() -> list[Any]:
    """What the kernels use: read from the extension that the installation built, else compiled here."""
    module, cuobjdump, nvcc = _built_module(), resources.find_cuobjdump(), resources.find_nvcc()
    if module is not None and cuobjdump is not None:
        return list(resources.module_usage(cuobjdump, module))
    if nvcc is None:
        pytest.skip("the CUDA extension was not built here, and nvcc was not found")
    known = resources.known_architectures(nvcc, ARCHITECTURES)
    return list(resources.collect(nvcc, known, _sources(), os.cpu_count() or 1))


def test_every_architecture_has_code(usages: list[Any]) -> None:
    nvcc = resources.find_nvcc()
    wanted = resources.known_architectures(nvcc, ARCHITECTURES) if nvcc else ARCHITECTURES
    if "TORCH_CUDA_ARCH_LIST" in os.environ:
        pytest.skip(f"TORCH_CUDA_ARCH_LIST={os.environ['TORCH_CUDA_ARCH_LIST']} says what is built")
    kernels = {arch: {(u.kernel, u.dtype, u.size) for u in usages if u.arch == arch} for arch in wanted}
    assert all(kernels[arch] == kernels[wanted[0]] and kernels[arch] for arch in wanted)
    backward = {32: "beat_backward", 64: "beat_backward", 96: "columns_backward", 128: "columns_backward"}
    tuned = {
        (kernel, dtype, f"1x{dim}" if kernel == "columns_backward" else f"{dim}x12x{plain}")
        for dtype in ("bfloat16", "float16")
        for dim in TUNED
        for kernel in ("beat_forward", backward[dim])
        for plain in (0, 1)
    }
    whole_heads = {
        (kernel, dtype, size)
        for dtype in ("bfloat16", "float16")
        for direction in ("forward", "backward")
        for kernel, sizes in (
            (f"head_{direction}", ("32x0", "32x1", "64x0", "64x1")),
            (f"packed_{direction}", ("64", "96")),
        )
        for size in sizes
    }
    assert tuned | whole_heads <= kernels[wanted[0]]


def test_nothing_spills(usages: list[Any]) -> None:
    assert not [u for u in usages if u.stack or u.spill_stores or u.spill_loads]


def test_enough_warps_find_registers(usages: list[Any]) -> None:
    assert not [u for u in usages if u.warps_by_registers < 8]
    # The local kernels are to hide the latency of memory.
    local = [u for u in usages if u.kernel == "columns_backward" and u.size in ("1x32", "1x64", "1x96")]
    assert not [u for u in local if u.dtype == "float16" and u.warps_by_registers < 16]
    assert not [u for u in local if u.dtype == "bfloat16" and u.arch != "75" and u.warps_by_registers < 16]


def test_static_shared_memory_is_bounded(usages: list[Any]) -> None:
    # The row-by-row kernels gather the warps of a class token in 8 rows of 256 sums; the others cut their own.
    assert not [u for u in usages if u.static_shared > (17 * 1024 if u.kernel.startswith("rows") else 1024)]
