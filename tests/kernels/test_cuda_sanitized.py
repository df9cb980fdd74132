"""The CUDA kernels on the host under the address and undefined-behaviour sanitizers. Part of ``make sanitize``."""

from __future__ import annotations

import os
import subprocess

import pytest
from cuda_emulation import FLAGS, build

SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g"]


@pytest.mark.skipif(
    os.environ.get("CLEAR_KERNELS_SANITIZE") != "1", reason="CLEAR_KERNELS_SANITIZE is not 1; run make sanitize"
)
def test_nothing_is_read_or_written_beside_a_tensor_or_shared_memory() -> None:
    program = build("sanitize", [*FLAGS, *SANITIZERS])
    # Fibers leave allocations of the emulation behind, which are no leaks of the kernels.
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run([program], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "clean\n"), done.stdout + done.stderr[-3000:]
