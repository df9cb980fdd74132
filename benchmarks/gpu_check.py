"""Proof on a GPU, in stages of less than ten minutes each.

    python benchmarks/gpu_check.py                              every stage, in order
    python benchmarks/gpu_check.py build accuracy-triton        some of them
    python benchmarks/gpu_check.py --minutes 12 --resume        what is left, as far as 12 minutes go
    python benchmarks/gpu_check.py --jobs 12                    what is not timed 12 at a time, then the benchmarks
    python benchmarks/gpu_check.py --list                       their names

Everything goes to --out (default gpu_check/): stages.csv, one row per stage with the device, driver, versions and
commit, written after each stage; the output of each stage in a .log; the tables of the benchmark, and picture.png drawn
from them. The exit status is 1 if a stage failed. What a machine cannot run (no compute-sanitizer, say) is recorded as
skipped with the reason, never as passed.

The kernels take the tiles of the rules (CLEAR_KERNELS_TUNE=0) except in the benchmark, which also tunes.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import torch

from attn.cases import GPU_CASES
from attn.machine import survey
from gpu import ledger
from gpu.commands import Outcome, Shell

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 580  # seconds per stage
SHORTEST = 30  # seconds without which a stage is not begun
ALONE = ("build", "benchmark-", "picture")  # stages that have the machine to themselves
TESTS = ROOT / "tests" / "kernels"
BACKENDS = ("triton", "cuda")
RULES_ONLY = {"CLEAR_KERNELS_TUNE": "0"}
# Random cases of each property. Nearly every case of Triton's is another shape, which is compiled for a few seconds.
EXAMPLES = {"triton": "4", "cuda": "50"}

Stage = Callable[[Shell, Path], Outcome]


def build(shell: Shell, _: Path) -> Outcome:
    """Compile both extensions for this GPU alone and say what runs."""
    major, minor = torch.cuda.get_device_capability()
    installed = shell.run(
        *(sys.executable, "-m", "pip", "install", "-v", "--no-deps", "--no-build-isolation", "-e", "."),
        CLEAR_KERNELS_CUDA="1",
        TORCH_CUDA_ARCH_LIST=f"{major}.{minor}",
    )
    return shell.run(sys.executable, "-m", "clear_kernels") if installed.status == "passed" else installed


def exercise(backend: str) -> Stage:
    """Every form and dtype once: the shortest proof that the kernels run, and what the checkers below watch."""
    return lambda shell, _: shell.run(sys.executable, "benchmarks/gpu_exercise.py", backend, "--quick", **RULES_ONLY)


def tests(backend: str, *names: str) -> Stage:
    """A backend's variants of some test files, on fresh random inputs and poisoned outputs."""
    files = [str(TESTS / f"test_attention_{name}.py") for name in names]

    def run(shell: Shell, _: Path) -> Outcome:
        processes = min(8, (os.cpu_count() or 1) // shell.stages) if importlib.util.find_spec("xdist") else 0
        return shell.run(
            *(sys.executable, "-m", "pytest", "-rs", "-k", backend, "-p", "no:cacheprovider", *files),
            *(("-n", str(processes)) if processes > 1 else ()),
            CLEAR_KERNELS_EXAMPLES=EXAMPLES[backend],
            OMP_NUM_THREADS="1",
            **RULES_ONLY,
        )

    return run


def sanitizer(tool: str, backend: str) -> Stage:
    """NVIDIA's checker over the exercise of a backend. Only the extension's own kernels can be told by name.

    initcheck has to watch all kernels: what one that it does not watch has written counts as never written.
    """
    only = ["--kernel-name-exclude", "kns=at::"] if backend == "triton" else ["--kernel-name", "kns=clear_cuda"]
    only = [] if tool == "initcheck" else only

    def run(shell: Shell, _: Path) -> Outcome:
        checker = shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path="/usr/local/cuda/bin")
        if checker is None:
            return Outcome("skipped", "compute-sanitizer is not installed")
        return shell.run(
            *(checker, "--tool", tool, "--error-exitcode", "1", *only),
            *(sys.executable, "benchmarks/gpu_exercise.py", backend, "--quick"),
            # Every tensor is an allocation then, so that what lies beside it is no one's.
            PYTORCH_NO_CUDA_MEMORY_CACHING="1",
            **RULES_ONLY,
        )

    return run


def benchmark(cases: str, *more: str) -> Stage:
    """Times against everything else one could use, as CSV."""
    return lambda shell, out: shell.run(
        *(sys.executable, "benchmarks/attn_bench.py", "--device", "cuda", "--cases", cases, "--budget", "6"),
        *("--csv", str(out / f"benchmark-{cases}.csv"), *more),
        CLEAR_KERNELS_CACHE=str(out / "tiles"),
    )


def picture(shell: Shell, out: Path) -> Outcome:
    """Fractions of the copy bandwidth, from the tables that are there."""
    return shell.run(sys.executable, "benchmarks/gpu_picture.py", str(out), str(out / "picture.png"))


def why_not(backend: str) -> str | None:
    """Why a backend cannot run, or None; asked in a new process, as the build stage may just have made it."""
    code = f"from clear_kernels import backends; print(backends()[{backend!r}] or '')"
    asked = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    return asked.stdout.strip() or (asked.stderr.strip()[-300:] if asked.returncode else None)


def needs(backend: str, stage: Stage) -> Stage:
    """The stage, skipped with the reason where the backend cannot run."""

    def run(shell: Shell, out: Path) -> Outcome:
        reason = why_not(backend)
        return stage(shell, out) if reason is None else Outcome("skipped", reason)

    return run


_NAMED = ("accuracy", "properties", "padding", "dropout", "repeatable", "compile")
_OTHERS = sorted(
    name
    for name in (path.stem.removeprefix("test_attention_") for path in TESTS.glob("test_attention_*.py"))
    if name not in (*_NAMED, "order", "api", "mask", "philox")  # which run on no GPU
)
STAGES: dict[str, Stage] = {
    "build": build,
    **{f"exercise-{name}": needs(name, exercise(name)) for name in BACKENDS},
    **{f"accuracy-{name}": needs(name, tests(name, "accuracy")) for name in BACKENDS},
    "benchmark-drop-in": benchmark("drop-in"),
    **{f"{test}-{name}": needs(name, tests(name, test)) for test in _NAMED[1:] for name in BACKENDS},
    **{f"others-{name}": needs(name, tests(name, *_OTHERS)) for name in BACKENDS},
    **{
        f"{tool}-{name}": needs(name, sanitizer(tool, name))
        for tool in ("memcheck", "racecheck", "initcheck", "synccheck")
        for name in BACKENDS
    },
    **{f"benchmark-{case.name}": benchmark(case.name) for case in GPU_CASES if case.name != "drop-in"},
    "benchmark-holter": benchmark("scaling"),
    "picture": picture,
}


class Run:
    """One run of the script: where it writes, on which machine, and until when."""

    def __init__(self, out: Path, minutes: float) -> None:
        self.out = out
        self.machine = {name: str(value) for name, value in asdict(survey(torch.device("cuda"))).items()}
        self.end = time.monotonic() + 60 * minutes
        self.failed: list[str] = []
        self._writing = threading.Lock()

    def attempt(self, stage: str, beside: int = 1) -> None:
        """Run a stage, one of so many at a time, and note how it ended; whatever it raises is its failure."""
        left = self.end - time.monotonic()
        if left < SHORTEST:
            print(f"== {stage}: no time is left", flush=True)
            return
        start, interrupted = time.monotonic(), False
        try:
            shell = Shell(ROOT, self.out / f"{stage}.log", min(LIMIT, left), shown=beside == 1, stages=beside)
            outcome = STAGES[stage](shell, self.out)
        except KeyboardInterrupt:
            outcome, interrupted = Outcome("failed", "interrupted"), True
        except Exception as error:
            outcome = Outcome("failed", f"{type(error).__name__}: {error}")
        seconds = f"{time.monotonic() - start:.0f}"
        row = {"stage": stage, "status": outcome.status, "seconds": seconds, "detail": outcome.detail}
        with self._writing:
            ledger.append(self.out / "stages.csv", row | self.machine)
            print(f"== {stage}: {outcome.status} after {seconds} s {outcome.detail}".rstrip(), flush=True)
            self.failed += [stage] if outcome.status == "failed" else []
        if interrupted:
            raise KeyboardInterrupt

    def attempt_all(self, stages: Sequence[str], jobs: int) -> None:
        """One after another, or those that are not timed `jobs` at a time, their output in their logs alone."""
        aside = [stage for stage in stages if jobs > 1 and not stage.startswith(ALONE)]
        alone = [stage for stage in stages if stage not in aside]
        first = alone[:1] if aside and alone[:1] == ["build"] else []
        for stage in first:
            self.attempt(stage)
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(lambda stage: self.attempt(stage, jobs), aside))
        for stage in alone[len(first) :]:
            self.attempt(stage)


def main(arguments: list[str] | None = None) -> int:
    """Run the stages asked for; 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="stage", help=f"of {', '.join(STAGES)}; all by default")
    parser.add_argument("--list", action="store_true", help="print the names of the stages")
    parser.add_argument("--out", type=Path, default=Path("gpu_check"), help="folder of the results")
    parser.add_argument("--resume", action="store_true", help="leave out what passed on this GPU at this commit")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="end by then; begins no stage near the end")
    parser.add_argument("--jobs", type=int, default=1, help="how many stages that are not timed run at a time")
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(STAGES))
        return 0
    if unknown := [name for name in options.stages if name not in STAGES]:
        parser.error(f"unknown stage {', '.join(unknown)}; choose from {', '.join(STAGES)}")
    if not torch.cuda.is_available():
        print("PyTorch sees no CUDA device: nothing was checked", file=sys.stderr)
        return 1
    run = Run(options.out.resolve(), options.minutes)
    table = run.out / "stages.csv"
    done = ledger.passed(table, run.machine["device"], run.machine["commit"]) if options.resume else set()
    wanted = options.stages or list(STAGES)
    for stage in done.intersection(wanted):
        print(f"== {stage}: passed before", flush=True)
    with contextlib.suppress(KeyboardInterrupt):  # noted as the failure of its stage
        run.attempt_all([stage for stage in wanted if stage not in done], max(options.jobs, 1))
    return 1 if run.failed else 0


if __name__ == "__main__":
    sys.exit(main())
