"""The Triton kernels in Triton's interpreter: a process of its own, as the variable counts when Triton is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "triton_interpreted"


def test_kernels_in_the_interpreter() -> None:
    pytest.importorskip("triton", reason="Triton is not installed; it runs on Linux: pip install 'triton>=3.2'")
    release, numpy_release = (tuple(map(int, version(name).split(".")[:2])) for name in ("triton", "numpy"))
    if release < (3, 7) and numpy_release >= (2, 4):
        pytest.skip("The interpreter of Triton before 3.7 needs NumPy before 2.4: pip install 'numpy<2.4'")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", str(FOLDER)],
        env=os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
    assert " passed" in run.stdout, run.stdout
