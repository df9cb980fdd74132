"""Registers, spills and shared memory of every CUDA kernel for every architecture, as the compiler reports them.

Needs nvcc and no GPU:  python benchmarks/cuda_resources.py [--archs 80 90] [--csv table.csv]
or an extension already built, and cuobjdump:  python benchmarks/cuda_resources.py --module clear_kernels/_cuda*.so
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[1] / "csrc" / "cuda"
ARCHITECTURES = ("75", "80", "90", "100", "120")
FEATURES = ("75", "80")  # the sources are compiled for these and assembled for every architecture, as in setup.py

# Kernel families whose registers must never spill, and the threads of their largest block.
THREADS = {
    **{"beat": 128, "columns": 256, "head": 256, "packed": 128, "dense": 128},
    **{"rows": 256, "merge": 256, "list": 256},
}
REGISTERS_PER_MULTIPROCESSOR = 65536


@dataclass(frozen=True)
class Usage:
    """One kernel on one architecture.

    ``size`` is D, the leads, 0 for any, and 1 for plain calls (beat), D and 1 with dropout (head), D (packed), the tile
    count and, backward, D, 0 for any (columns), or D / 16 of a block (dense). Spills are known from the assembler's
    report alone; a built module tells the stack, which holds them.
    """

    arch: str
    kernel: str
    dtype: str
    size: str
    registers: int
    stack: int  # bytes per thread
    spill_stores: int  # bytes per thread
    spill_loads: int
    static_shared: int  # bytes per block

    @property
    def warps_by_registers(self) -> int:
        """Warps per multiprocessor that the register file allows."""
        per_warp = -(-self.registers * 32 // 256) * 256  # allocated in units of 256
        warps_per_block = THREADS[self.kernel.split("_")[0]] // 32
        return REGISTERS_PER_MULTIPROCESSOR // per_warp // warps_per_block * warps_per_block


def find_nvcc() -> str | None:
    """The compiler in CUDA_HOME, PATH or its usual place."""
    home = os.environ.get("CUDA_HOME")
    places = [f"{home}/bin" if home else None, None, "/usr/local/cuda/bin"]
    return next(filter(None, (shutil.which("nvcc", path=place) for place in places)), None)


def find_cuobjdump() -> str | None:
    """The reader of built modules: of the toolkit, or the one that Triton brings."""
    home = os.environ.get("CUDA_HOME")
    places = [f"{home}/bin" if home else None, None, "/usr/local/cuda/bin"]
    triton = importlib.util.find_spec("triton")
    if triton is not None and triton.origin is not None:
        places.append(str(Path(triton.origin).parent / "backends" / "nvidia" / "bin"))
    return next(filter(None, (shutil.which("cuobjdump", path=place) for place in places)), None)


def module_usage(cuobjdump: str, module: Path) -> list[Usage]:
    """Every kernel of a built extension."""
    command = [cuobjdump, "-res-usage", str(module)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return list(parse_module(done.stdout + done.stderr))


def parse_module(report: str) -> Iterator[Usage]:
    """What ``cuobjdump -res-usage`` printed, kernel by kernel."""
    arch, mangled = "", ""
    for line in report.splitlines():
        if found := re.search(r"arch = sm_(\w+)", line):
            arch = found[1]
        elif found := re.search(r"Function (\w+):", line):
            mangled = found[1]
        elif found := re.search(r"REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)", line):
            registers, stack, shared, local = (int(number) for number in found.groups())
            # From sm_90 on the system's own kilobyte of a block is counted too.
            own = 1024 if int(re.sub(r"\D", "", arch)) >= 90 else 0
            kernel, dtype, size = kernel_name(mangled)
            yield Usage(arch, kernel, dtype, size, registers, stack + local, 0, 0, max(shared - own, 0))


def known_architectures(nvcc: str, wanted: Sequence[str] = ARCHITECTURES) -> list[str]:
    """The wanted architectures that this compiler has."""
    listed = subprocess.run([nvcc, "--list-gpu-arch"], capture_output=True, text=True, check=True).stdout
    return [arch for arch in wanted if f"compute_{arch}\n" in listed]


def compile_usage(nvcc: str, source: Path, arch: str) -> list[Usage]:
    """Compile one source for one architecture and read the assembler's report.

    Raises:
        RuntimeError: If it does not compile.
    """
    with tempfile.TemporaryDirectory() as folder:
        features = max((name for name in FEATURES if int(name) <= int(arch)), key=int)
        target = f"-gencode=arch=compute_{features},code=sm_{arch}"
        command = [nvcc, "-std=c++17", "-O3", "-DNDEBUG", target, "-Xptxas", "-v", "-cubin", str(source)]
        done = subprocess.run([*command, "-o", f"{folder}/out"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{source.name} for sm_{arch}:\n{done.stderr}")
    return list(parse_report(done.stderr, arch))


def parse_report(report: str, arch: str) -> Iterator[Usage]:
    """What ``ptxas -v`` printed, kernel by kernel."""
    for part in report.split("Compiling entry function")[1:]:
        mangled = re.search(r"'(\w+)'", part)
        registers = re.search(r"Used (\d+) registers", part)
        stack = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", part)
        if mangled is None or registers is None or stack is None:
            raise RuntimeError(f"the report of ptxas is not understood:\n{part}")
        shared = re.search(r"(\d+) bytes smem", part)
        kernel, dtype, size = kernel_name(mangled[1])
        numbers = (int(registers[1]), *(int(number) for number in stack.groups()), int(shared[1]) if shared else 0)
        yield Usage(arch, kernel, dtype, size, *numbers)


def kernel_name(mangled: str) -> tuple[str, str, str]:
    """Name, element type and template size of a kernel's symbol."""
    found = re.match(r"_ZN10clear_cuda(\d+)", mangled)
    if found is None:
        raise RuntimeError(f"{mangled} is not one of the kernels")
    name = mangled[found.end() : found.end() + int(found[1])]
    arguments = mangled[found.end() + int(found[1]) :]
    types = {"bfloat16": "bfloat16", "6__half": "float16", "ScalarTile": "float32", "If": "float32", "Id": "float64"}
    dtype = next((dtype for mark, dtype in types.items() if mark in arguments), "")
    return name, dtype, "x".join(re.findall(r"L[ib](\d+)E", arguments))


def collect(nvcc: str, archs: Sequence[str], sources: Sequence[Path], jobs: int) -> list[Usage]:
    """Compile every source for every architecture."""
    with ThreadPoolExecutor(jobs) as pool:
        tasks = [pool.submit(compile_usage, nvcc, source, arch) for arch in archs for source in sources]
        found = {usage for task in tasks for usage in task.result()}
    return in_order(found)


def in_order(usages: Iterable[Usage]) -> list[Usage]:
    """By kernel, dtype, size and architecture."""

    def key(usage: Usage) -> tuple[str, str, list[int], int]:
        return usage.kernel, usage.dtype, [int(part) for part in usage.size.split("x") if part], int(usage.arch)

    return sorted(usages, key=key)


def print_table(usages: Sequence[Usage]) -> None:
    """One line per kernel and size, registers by architecture; bytes of stack after a plus sign."""
    archs = sorted({usage.arch for usage in usages}, key=int)
    print(f"{'kernel':26}{'dtype':10}{'size':>5}" + "".join(f"{'sm_' + arch:>10}" for arch in archs))
    lines: dict[tuple[str, str, str], dict[str, str]] = {}
    for usage in usages:
        spills = f"+{usage.stack}" if usage.stack else ""
        cells = lines.setdefault((usage.kernel, usage.dtype, usage.size), {})
        cells[usage.arch] = f"{usage.registers}{spills}"
    for (kernel, dtype, size), cells in lines.items():
        print(f"{kernel:26}{dtype:10}{size:>5}" + "".join(f"{cells.get(arch, ''):>10}" for arch in archs))


def main() -> None:
    """Compile, print, and write the CSV."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archs", nargs="+", default=list(ARCHITECTURES))
    parser.add_argument("--only", default="", help="sources whose name contains this")
    parser.add_argument("--module", type=Path, help="a built extension to read instead of compiling")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if options.module is not None:
        cuobjdump = find_cuobjdump()
        if cuobjdump is None:
            sys.exit(
                "cuobjdump was not found in CUDA_HOME, PATH, /usr/local/cuda/bin or Triton; install the CUDA toolkit"
            )
        usages = in_order(module_usage(cuobjdump, options.module))
    else:
        nvcc = find_nvcc()
        if nvcc is None:
            sys.exit("nvcc was not found in CUDA_HOME, PATH or /usr/local/cuda/bin; install the CUDA toolkit")
        sources = sorted(path for path in SOURCES.glob("*.cu") if options.only in path.name)
        usages = collect(nvcc, known_architectures(nvcc, options.archs), sources, options.jobs)
    print_table(usages)
    if options.csv is not None:
        scratch = options.csv.with_suffix(".partial")
        with scratch.open("w", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Usage)])
            writer.writeheader()
            writer.writerows(asdict(usage) for usage in usages)
        scratch.replace(options.csv)


if __name__ == "__main__":
    main()
