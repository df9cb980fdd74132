"""The CUDA kernels compile for every architecture within its registers and shared memory. Needs nvcc, no GPU."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
# The most common data-centre GPU and the one with the fewest instructions by default, to keep the tests short;
# CLEAR_KERNELS_TEST_ARCHS="75 80 90 100 120" compiles every source for all of them.
ARCHITECTURES = os.environ.get("CLEAR_KERNELS_TEST_ARCHS", "75 90").split()
SOURCES = ["columns_bf16.cu", "dense_bf16.cu", "columns_fp32.cu"]
if "CLEAR_KERNELS_TEST_ARCHS" in os.environ:
    SOURCES = sorted(path.name for path in (ROOT / "csrc" / "cuda").glob("*.cu"))


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


def test_the_report_is_read() -> None:
    first, second = resources.parse_report(REPORT, "90")
    assert first == resources.Usage("90", "dense_forward", "float16", "4", 96, 8, 12, 16, 32)
    assert second == resources.Usage("90", "rows_forward", "float64", "", 118, 0, 0, 0, 0)
    assert first.warps_by_registers == 20


@pytest.fixture(scope="module")
def nvcc() -> str:
    found = resources.find_nvcc()
    if found is None:
        pytest.skip("nvcc was not found in CUDA_HOME, PATH or /usr/local/cuda/bin")
    return str(found)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_nothing_spills_and_blocks_fit(nvcc: str, source: str, arch: str) -> None:
    if arch not in resources.known_architectures(nvcc, [arch]):
        pytest.skip(f"this nvcc does not know sm_{arch}")
    usages = resources.compile_usage(nvcc, resources.SOURCES / source, arch)
    assert usages or source == "plan.cu"  # which holds no kernel
    for usage in usages:
        assert usage.spill_stores == usage.spill_loads == 0, usage
        assert usage.warps_by_registers >= 8, usage
        # The row-by-row kernels gather the warps of a class token in 8 rows of 256 sums; the others cut their own.
        assert usage.static_shared <= (17 * 1024 if usage.kernel.startswith("rows") else 1024), usage
