"""The compiled extension itself, on machines without a GPU or even a driver: it loads, plans, says what is missing."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys

import pytest
import torch
from cuda_emulation import HOPPER, KIB, EmulatedExtension, load_library

from clear_kernels.backends import cuda

BUILT = importlib.util.find_spec("clear_kernels._cuda")
pytestmark = pytest.mark.skipif(
    BUILT is None, reason="clear_kernels._cuda was not built: nvcc was not there, or CLEAR_KERNELS_CUDA=0"
)


def problem(dim: int, form: int) -> cuda.Problem:
    absent = (0, 0, 0, 0)
    rows = (absent,) * 8
    # A single sample: the emulation has less workspace, so that larger batches go in other rounds.
    return cuda.Problem(1, form, 12, dim, 1, 8, 15, rows, 0, (0, 0), (0, 0), (0, 0), 0, 0, 1.0, dim**-0.5)


def test_it_loads_without_torch_and_without_a_driver() -> None:
    assert BUILT is not None
    code = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('_cuda', {BUILT.origin!r})\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "assert 'torch' not in sys.modules\n"
        "print(module.build_info()['architectures'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"\d+[a-z]?(\+PTX)?(;\d+[a-z]?(\+PTX)?)*", done.stdout.strip())


@pytest.mark.skipif(shutil.which("ldd") is None, reason="ldd is not on this machine")
def test_it_links_no_torch_and_no_cuda_library() -> None:
    assert BUILT is not None
    assert BUILT.origin is not None
    linked = subprocess.run(["ldd", BUILT.origin], capture_output=True, text=True, check=True).stdout
    assert not re.search(r"libtorch|libc10|libcudart|libcuda\.|libgomp|not found", linked)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("form", range(4))
@pytest.mark.parametrize("dim", [32, 64, 96, 128])
def test_it_plans_as_the_emulated_source_does(dim: int, form: int, backward: bool) -> None:
    limits = (132, 227 * KIB, 228 * KIB)
    emulated = EmulatedExtension(load_library(), HOPPER).plan(problem(dim, form), backward, limits)
    assert cuda.extension().plan(problem(dim, form), backward, limits) == emulated


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_a_call_is_an_error_and_no_crash() -> None:
    with pytest.raises(RuntimeError, match="clear_kernels CUDA call: "):
        cuda.extension().workspace(problem(64, 0), False, 0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_the_report_says_why_it_cannot_run_and_what_it_was_built_for() -> None:
    command = [sys.executable, "-m", "clear_kernels"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.search(
        r"^\s*cuda\s+no: (this PyTorch .* was built without CUDA|PyTorch sees no CUDA device)", shown, re.M
    )
    assert re.search(rf"^  architectures +{re.escape(cuda.build_info()['architectures'])}$", shown, re.M)


def test_a_gpu_without_code_is_refused_with_the_remedy() -> None:
    architectures = cuda.build_info()["architectures"]
    assert cuda._architecture_refusal((5, 2)) == (
        f"this GPU has compute capability 5.2 and the extension was built for {architectures.replace(';', ', ')}; "
        "reinstall with TORCH_CUDA_ARCH_LIST=5.2"
    )
