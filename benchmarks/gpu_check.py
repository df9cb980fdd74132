"""Proof on a GPU, in stages of less than ten minutes each.

    python benchmarks/gpu_check.py                         every stage, in order
    python benchmarks/gpu_check.py build tests-accuracy    some of them
    python benchmarks/gpu_check.py --list                  their names

Results are appended to --csv (default gpu_check.csv), one row per stage, with the device, driver, versions and commit;
the benchmark stages write tables of their own beside it. The exit status is 1 if a stage failed. A stage that a machine
cannot run (no compute-sanitizer, say) is recorded as skipped with the reason, never as passed.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from attn.machine import survey

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 590  # seconds per stage
TESTS = ROOT / "tests" / "kernels"
ON_GPU = ["-k", "cuda or triton", "--ignore-glob=*test_cuda_*", "--ignore-glob=*test_triton_*", "-rs"]


@dataclass(frozen=True)
class Outcome:
    """How a stage ended: passed, failed or skipped, and the last words of its output or the reason."""

    status: str
    detail: str = ""


def run(*command: str, **environment: str) -> Outcome:
    """Run a command in the repository; its output is shown and its status decides."""
    print("$", *(f"{name}={value}" for name, value in environment.items()), *command, flush=True)
    try:
        done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return Outcome("failed", f"longer than {LIMIT} s")
    return Outcome("passed") if done.returncode == 0 else Outcome("failed", f"exit status {done.returncode}")


def build() -> Outcome:
    """Compile both extensions for this GPU alone and say what runs."""
    major, minor = torch.cuda.get_device_capability()
    installed = run(
        *(sys.executable, "-m", "pip", "install", "-v", "--no-deps", "--no-build-isolation", "-e", "."),
        CLEAR_KERNELS_CUDA="1",
        TORCH_CUDA_ARCH_LIST=f"{major}.{minor}",
    )
    return run(sys.executable, "-m", "clear_kernels") if installed.status == "passed" else installed


def tests(*files: str) -> Outcome:
    """The GPU variants of some test files."""
    return run(sys.executable, "-m", "pytest", *(str(TESTS / name) for name in files), *ON_GPU)


def other_tests() -> Outcome:
    """The GPU variants of all attention tests that have no stage of their own."""
    named = {"test_attention_accuracy.py", "test_attention_properties.py", "test_attention_padding.py"}
    return tests(*sorted(path.name for path in TESTS.glob("test_attention_*.py") if path.name not in named))


def sanitizer(tool: str, backend: str) -> Outcome:
    """NVIDIA's checker over every form and dtype of a backend. Only the extension's own kernels can be told by name."""
    checker = shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path="/usr/local/cuda/bin")
    if checker is None:
        return Outcome("skipped", "compute-sanitizer is not installed")
    only = ["--kernel-name-exclude", "kns=at::"] if backend == "triton" else ["--kernel-name", "kns=clear_cuda"]
    return run(
        *(checker, "--tool", tool, "--error-exitcode", "1", *only),
        *(sys.executable, str(ROOT / "benchmarks" / "gpu_exercise.py"), backend),
        PYTORCH_NO_CUDA_MEMORY_CACHING="1",  # every tensor is an allocation, so that what lies beside it is no one's
    )


def benchmark(cases: str, name: str, *more: str) -> Outcome:
    """Times against everything else one could use, as CSV."""
    table = f"gpu_{name}.csv"
    return run(sys.executable, "benchmarks/attn_bench.py", "--device", "cuda", "--cases", cases, "--csv", table, *more)


STAGES: dict[str, Callable[[], Outcome]] = {
    "build": build,
    "tests-accuracy": lambda: tests("test_attention_accuracy.py"),
    "tests-properties": lambda: tests("test_attention_properties.py", "test_attention_padding.py"),
    "tests-others": other_tests,
    **{
        f"{tool}-{backend}": lambda tool=tool, backend=backend: sanitizer(tool, backend)  # type: ignore[misc]
        for tool in ("memcheck", "racecheck", "initcheck", "synccheck")
        for backend in ("cuda", "triton")
    },
    "benchmark": lambda: benchmark("default", "benchmark", "--budget", "8"),
    "benchmark-more": lambda: benchmark("more", "benchmark_more", "--budget", "8"),
    "benchmark-scaling": lambda: benchmark(
        "scaling", "benchmark_scaling", "--budget", "8", "--plot", "gpu_scaling.png"
    ),
}


def record(path: Path, stage: str, outcome: Outcome, seconds: float) -> None:
    """Append a row."""
    machine = asdict(survey(torch.device("cuda")))
    row = {"stage": stage, "status": outcome.status, "seconds": f"{seconds:.0f}", "detail": outcome.detail, **machine}
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def main(arguments: list[str] | None = None) -> int:
    """Run the stages asked for; 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="stage", help=f"of {', '.join(STAGES)}; all by default")
    parser.add_argument("--list", action="store_true", help="print the names of the stages")
    parser.add_argument("--csv", type=Path, default=Path("gpu_check.csv"))
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(STAGES))
        return 0
    if unknown := [name for name in options.stages if name not in STAGES]:
        parser.error(f"unknown stage {', '.join(unknown)}; choose from {', '.join(STAGES)}")
    if not torch.cuda.is_available():
        print("PyTorch sees no CUDA device: nothing was checked", file=sys.stderr)
        return 1
    failed = []
    for stage in options.stages or STAGES:
        start = time.monotonic()
        outcome = STAGES[stage]()
        seconds = time.monotonic() - start
        record(options.csv, stage, outcome, seconds)
        print(f"== {stage}: {outcome.status} after {seconds:.0f} s {outcome.detail}".rstrip(), flush=True)
        failed += [stage] if outcome.status == "failed" else []
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
