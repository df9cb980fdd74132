"""The CUDA kernels' own source, compiled for the host and offered as the backend "cuda" on CPU tensors.

Blocks, threads, barriers, shuffles, asynchronous copies and tensor-core fragments are emulated by the headers in
cuda_host/, which take the place of CUDA's. Nothing here needs nvcc or a GPU, and nothing here is installed.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
from helpers import Variant

from clear_kernels.backends import cuda

ROOT = Path(__file__).resolve().parents[2]
KERNELS, HOST = ROOT / "csrc" / "cuda", Path(__file__).resolve().parent / "cuda_host"
FLAGS = [
    "-std=c++17",
    "-O1",
    "-fPIC",
    "-fvisibility=hidden",
    "-ffp-contract=off",
    "-fno-strict-aliasing",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unknown-pragmas",
    "-DCLEAR_GLOBAL_WORKSPACE=80000",  # so that small batches go in rounds too
]
KIB = 1024


class _Rows(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), *((name, ctypes.c_int64) for name in ("batch", "head", "row")))


class _Mask(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("batch", ctypes.c_int64))


class _Problem(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int32) for name in ("dtype", "form", "leads", "dim")),
        *((name, ctypes.c_int64) for name in ("batch", "heads", "beats")),
        ("rows", _Rows * 8),
        ("lse", ctypes.c_void_p),
        ("visible", _Mask),
        ("valid", _Mask),
        ("lead", _Mask),
        ("seed", ctypes.c_void_p),
        ("drop_below", ctypes.c_uint32),
        ("batch_first", ctypes.c_int64),
        ("keep_scale", ctypes.c_double),
        ("scale", ctypes.c_double),
    )


class _Launch(ctypes.Structure):
    _fields_ = (("workspace", ctypes.c_void_p), ("workspace_size", ctypes.c_int64), ("stream", ctypes.c_void_p))


class _Device(ctypes.Structure):
    _fields_ = tuple((n, ctypes.c_int32) for n in ("multiprocessors", "shared_per_block", "shared_per_multiprocessor"))


class _Plan(ctypes.Structure):
    _fields_ = (
        ("workspace", ctypes.c_int64),
        ("chunks", ctypes.c_int64),
        *((n, ctypes.c_int32) for n in ("engine", "column_warps", "column_shared", "dense_warps", "dense_shared")),
        *((n, ctypes.c_int32) for n in ("head_warps", "head_shared")),
    )


@dataclass(frozen=True)
class Device:
    """The GPU that the emulated runtime reports, and the order in which it runs the threads of a block."""

    multiprocessors: int = 4
    shared_per_block: int = 227 * KIB
    shared_per_multiprocessor: int = 228 * KIB
    order: int = 0  # 0: ascending, 1: descending, 2: shuffled anew at every turn


HOPPER = Device()
TURING = Device(shared_per_block=64 * KIB, shared_per_multiprocessor=64 * KIB)
# So large that even short recordings are cut into chunks, and so small that every kernel goes row by row.
MANY_CORES = Device(multiprocessors=4096)
NO_SHARED = Device(shared_per_block=2 * KIB)


class EmulatedExtension:
    """What ``clear_kernels._cuda`` offers, on the CPU."""

    def __init__(self, library: ctypes.CDLL, device: Device) -> None:
        self._library = library
        self._library.emulation_error.restype = ctypes.c_char_p
        self._device = device

    def workspace(self, problem: cuda.Problem, backward: bool, device: int) -> int:
        plan = _Plan()
        self._call("plan", problem, int(backward), None, ctypes.byref(plan))
        return int(plan.workspace)

    def plan(self, problem: cuda.Problem, backward: bool, limits: tuple[int, int, int]) -> Mapping[str, int]:
        plan = _Plan()
        self._call("plan", problem, int(backward), ctypes.byref(_Device(*limits)), ctypes.byref(plan))
        return {name: getattr(plan, name) for name, *_ in plan._fields_}

    def run(self, problem: cuda.Problem, backward: bool, workspace: int, size: int, stream: int, device: int) -> None:
        launch = _Launch(workspace, size, stream)
        ctypes.memset(workspace, 0xFF, size)  # NaN: nothing may be read before it is written
        self._call("backward" if backward else "forward", problem, ctypes.byref(launch))

    def build_info(self) -> Mapping[str, str]:
        return {"architectures": "emulation"}

    def _call(self, name: str, fields: cuda.Problem, *arguments: object) -> None:
        device = self._device
        self._library.emulation_device(
            device.multiprocessors, device.shared_per_block, device.shared_per_multiprocessor, device.order
        )
        problem = _to_struct(fields)
        status = getattr(self._library, f"emulated_{name}")(ctypes.byref(problem), *arguments)
        if status != 0:
            raise RuntimeError(f"emulated {name}: status {status}: {self._library.emulation_error().decode()}")


@dataclass(frozen=True)
class EmulatedVariant(Variant):
    """The backend "cuda" on CPU tensors, through the emulation."""

    backend: str = "cuda"
    gpu: Device = HOPPER

    @contextmanager
    def active(self) -> Iterator[str]:
        """Yield the backend's name while it is emulated."""
        native = EmulatedExtension(load_library(), self.gpu)
        registry = importlib.import_module("clear_kernels.backends")  # the name in the package is the function's
        with (
            mock.patch.object(cuda, "extension", lambda: native),
            mock.patch.object(cuda, "_stream", lambda device: (0, 0)),
            mock.patch.object(registry, "refusal", lambda name, q, leads: None),
            mock.patch.object(registry, "_chosen", {}),
        ):
            yield self.backend


def _to_struct(fields: cuda.Problem) -> _Problem:
    values = fields._asdict()
    values["rows"] = (_Rows * 8)(*(_Rows(*rows) for rows in fields.rows))
    for name in ("visible", "valid", "lead"):
        values[name] = _Mask(*values[name])
    return _Problem(**values)


_loaded: list[ctypes.CDLL] = []


def load_library() -> ctypes.CDLL:
    """The compiled emulation; compiles it when a source changed. Skips the test where there is no C++ compiler."""
    if not _loaded:
        _loaded.append(ctypes.CDLL(str(build("library", FLAGS))))
    return _loaded[0]


def build(name: str, flags: list[str]) -> Path:
    """Compile the kernels with the emulation and ``cuda_host/<name>.cpp``; a program if that has a main function."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler for the host emulation of the CUDA kernels")
    inputs = sorted(path for folder in (KERNELS, HOST) for path in folder.iterdir() if path.is_file())
    digest = hashlib.sha256("\0".join([compiler, name, *flags]).encode())
    for path in inputs:
        digest.update(path.read_bytes())
    folder = ROOT / "build" / "cuda_host"
    target = folder / f"{name}-{digest.hexdigest()[:16]}"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    sources = [*sorted(KERNELS.glob("*.cu")), HOST / "fibers.cpp", HOST / f"{name}.cpp"]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:

        def compile_one(source: Path) -> Path:
            made = Path(scratch) / f"{source.name}.o"
            _run(
                [compiler, *flags, "-I", str(HOST), "-I", str(KERNELS), "-x", "c++", "-c", str(source), "-o", str(made)]
            )
            return made

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(compile_one, sources))
        made = Path(scratch) / name
        shared = [] if "int main" in (HOST / f"{name}.cpp").read_text() else ["-shared"]
        _run([compiler, *flags, *shared, "-o", str(made), *(str(path) for path in objects)])
        made.replace(target)
    return target


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
