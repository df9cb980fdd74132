"""The machine under the benchmark: its name, caches and memory, and the work that shows the rates of its hardware."""

from __future__ import annotations

import ctypes
import gc
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor


@dataclass(frozen=True)
class Machine:
    """What a row of results has to say about where it was made. A version of what is not there is empty."""

    device: str
    threads: int
    torch_version: str
    torch_cuda: str  # the toolkit that PyTorch was built with
    triton_version: str
    python_version: str
    driver: str
    commit: str

    def describe(self) -> str:
        """One line for the head of a report."""
        return (
            f"{self.device}; {self.threads} threads; torch {self.torch_version}, CUDA {self.torch_cuda or 'none'}; "
            f"Triton {self.triton_version or 'none'}; Python {self.python_version}; "
            f"driver {self.driver}; commit {self.commit}"
        )


def survey(device: torch.device, huge_pages: bool = False) -> Machine:
    """Name the machine and what runs on it."""
    return Machine(
        device=device_name(device) + (", huge pages" if huge_pages else ""),
        threads=torch.get_num_threads(),
        torch_version=torch.__version__,
        torch_cuda=torch.version.cuda or "",
        triton_version=_installed("triton"),
        python_version=platform.python_version(),
        driver=_first_line("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
        if device.type == "cuda"
        else "none",
        commit=_first_line("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"),
    )


def large_copy(device: torch.device) -> tuple[Callable[[], object], int]:
    """A copy too large for any cache, and the bytes that it reads and writes."""
    count = max(2**26, 4 * cache_bytes(device)) // 4
    source = torch.ones(count, device=device)
    target = torch.ones_like(source)
    return lambda: target.copy_(source), 2 * 4 * count


def matrix_product(device: torch.device, dtype: torch.dtype) -> tuple[Callable[[], object], int]:
    """A square matrix product, and its operations; on a CPU in float32 where a lower precision is only stored."""
    if device.type == "cpu" and dtype.itemsize < 4:
        dtype = torch.float32
    size = 4096 if device.type == "cuda" else 768
    matrix = torch.ones(size, size, device=device, dtype=dtype)
    return lambda: matrix @ matrix, 2 * size**3


def cache_bytes(device: torch.device) -> int:
    """Size of the last-level cache."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).L2_cache_size)
    sizes = [path.read_text().strip() for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    return max((int(size.rstrip("K")) * 1024 for size in sizes if size.endswith("K")), default=32 * 2**20)


def device_name(device: torch.device) -> str:
    """Model name of the GPU or the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    model = re.search(r"model name\s*:\s*(.+)", text)
    extensions = [name for name in ("avx2", "avx512f") if re.search(rf"\b{name}\b", text)]
    return f"{model[1] if model else platform.processor() or platform.machine()} ({', '.join(extensions) or 'no AVX'})"


def free_memory(device: torch.device) -> int:
    """Bytes that could be allocated now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    match = re.search(r"MemAvailable:\s*(\d+) kB", _read("/proc/meminfo"))
    return int(match[1]) * 1024 if match else 8 * 2**30


def take_huge_pages() -> bool:
    """Make PyTorch ask for huge pages for large tensors from now on; False where it does not take the request.

    It does if it has not allocated anything yet, as it reads its setting THP_MEM_ALLOC_ENABLE once.
    """
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not setting.exists() or "[never]" in setting.read_text():
        return False
    os.environ["THP_MEM_ALLOC_ENABLE"] = "1"
    return True


def keep_freed_memory() -> bool:
    """Make glibc keep freed memory for the next call, as PyTorch does on a GPU; False without glibc.

    By default glibc hands a large result back to the system and takes new pages for the next one, so that short calls
    measure the system's page faults. jemalloc and tcmalloc, which PyTorch advises for training on a CPU, keep memory.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    m_trim_threshold, m_mmap_max, off = -1, -4, -1
    return bool(mallopt(m_trim_threshold, off)) and bool(mallopt(m_mmap_max, 0))


def spare_memory(size: int, pieces: int = 8) -> list[Tensor]:
    """Leave free pieces of `size` bytes in the heap, as long as the fences between them, which it returns, are held.

    Before 2.38, glibc often cannot use a piece that was freed for an aligned request of the same size again (its bug
    14581): the heap goes on to new pages, call by call, even if it keeps what was freed.
    """
    fence = max(size // 64, 1)
    turns = [(torch.empty(size, dtype=torch.uint8), torch.empty(fence, dtype=torch.uint8)) for _ in range(pieces)]
    return [held for _, held in turns]


def peak_memory(device: torch.device, call: Callable[[], object]) -> int | None:
    """Bytes a call needs at most beyond what was there before it, its results included; None where unmeasurable.

    On a GPU the allocator counts them. On Linux it is the growth of the resident set, after free memory was returned
    to the system, so that scratch space outside PyTorch's allocator counts too.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    if sys.platform != "linux":
        return None
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    except OSError:
        return None
    before = _status("VmRSS")
    call()
    return max(0, _status("VmHWM") - before)


def _status(field: str) -> int:
    match = re.search(rf"{field}:\s*(\d+) kB", _read("/proc/self/status"))
    return int(match[1]) * 1024 if match else 0


def _read(path: str) -> str:
    return Path(path).read_text() if Path(path).exists() else ""


def _installed(distribution: str) -> str:
    """Version of an installed distribution, which is not imported; empty if it is not there."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.partition("\n")[0].strip()
