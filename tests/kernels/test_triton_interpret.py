"""The Triton kernels in Triton's interpreter: a process of its own, as the variable counts when Triton is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from clear_kernels.triton.release import release

FOLDER = Path(__file__).parent / "triton_interpreted"


def test_kernels_in_the_interpreter() -> None:
    pytest.importorskip("triton", reason="Triton is not installed; it runs on Linux: pip install 'triton>=3.2'")
    if release() < (3, 7) and np.lib.NumpyVersion(np.__version__) >= "2.4.0":
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
