"""Builds the native extensions of both packages; everything else about them is in pyproject.toml.

The build needs setuptools and pybind11 and never imports torch: the extensions take raw pointers, sizes and strides.

Environment variables (all optional):
    CLEAR_KERNELS_NATIVE    auto (default): build the C++ extensions if a C++17 compiler works, else pure Python;
                            1: fail if it cannot be built;  0: pure-Python install, universal wheel.
    CLEAR_KERNELS_CUDA      the same three values for the CUDA extension, which needs nvcc (no GPU).
    TORCH_CUDA_ARCH_LIST    GPU architectures, such as "8.0;9.0+PTX" or "80;90".
    CUDA_HOME, CUDA_PATH    where to look for bin/nvcc before PATH.
    CLEAR_KERNELS_SANITIZE  1: C++ extension with address and undefined-behaviour sanitizers (see `make sanitize`).
    MAX_JOBS                compiler processes at a time.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.errors import CompileError, PlatformError

# setuptools serves these under the old name of the standard library's module, which is why they are imported after it.
from distutils.ccompiler import CCompiler, new_compiler  # isort: skip
from distutils.sysconfig import customize_compiler  # isort: skip

PACKAGE, ATTENTION, SIGNAL = "clear_kernels", "clear_kernels._cpu", "clear_hug._signal"
COMMON_DIR, CUDA_DIR, OBJECT_DIR = (Path(p) for p in ("csrc", "csrc/cuda", "build/objects"))
CPU_DIRS = {ATTENTION: Path("csrc/cpu"), SIGNAL: Path("csrc/signal")}
# Products and sums may be fused where a last bit does not matter. It does in what NumPy has to be able to repeat.
CONTRACT = {ATTENTION: "-ffp-contract=fast", SIGNAL: "-ffp-contract=off"}
WINDOWS = sys.platform == "win32"
SANITIZE = os.environ.get("CLEAR_KERNELS_SANITIZE", "0") == "1"
SANITIZER_FLAGS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"] if SANITIZE else []

# One object of variant.cpp per instruction set; the extension picks among them at run time.
X86_VARIANTS = {
    "avx2": ["-mavx2", "-mfma", "-mf16c"],
    "avx512": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mf16c"],
}
DEFAULT_CUDA_ARCHS = ("75", "80", "86", "90", "100", "120")
# What the CUDA sources make use of: nothing came after 8.0. One of these is compiled for all GPUs from it on, which the
# assembler alone tells apart; compiling for each anew would double the time of a build.
CUDA_FEATURES = ("75", "80")


def say(message: str) -> None:
    print(f"clear_kernels: {message}", file=sys.stderr, flush=True)


def switch(name: str) -> str:
    value = os.environ.get(name, "auto").strip().lower() or "auto"
    if value not in ("auto", "0", "1"):
        raise SystemExit(f"{name}={value!r} is not understood: use auto, 1 (required) or 0 (leave out).")
    return value


def job_count() -> int:
    """Compiler processes at a time: MAX_JOBS, else one per core and 2 GB of memory, so that memory lasts."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not WINDOWS:
        cores = min(cores, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**31)
    return max(1, int(os.environ.get("MAX_JOBS") or cores))


def host_flags(name: str) -> list[str]:
    if WINDOWS:
        return ["/O2", "/std:c++17", "/EHsc", "/bigobj"]
    flags = ["-std=c++17", "-fvisibility=hidden", "-fno-math-errno", CONTRACT[name], "-Wall", "-Wextra"]
    sanitized = ["-O1", "-g", "-fno-omit-frame-pointer", *SANITIZER_FLAGS]
    return [*flags, *(sanitized if SANITIZE else ["-O3", "-g0", "-DNDEBUG"])]


def find_nvcc() -> str | None:
    homes = [os.environ[name] for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    places = [*(f"{home}/bin" for home in homes), None, "/usr/local/cuda/bin"]  # None is PATH
    return next(filter(None, (shutil.which("nvcc", path=place) for place in places)), None)


def cuda_architectures(nvcc: str) -> list[str]:
    """Real architectures ("90") and, marked "+PTX", the ones whose intermediate code is kept for newer GPUs."""
    wanted = os.environ.get("TORCH_CUDA_ARCH_LIST", "").strip()
    if wanted:
        archs = [word.replace(".", "") for word in re.split(r"[;,\s]+", wanted.strip(";, "))]
        if not all(re.fullmatch(r"\d{2,3}[a-z]?(\+PTX)?", arch) for arch in archs):
            raise CompileError(f"TORCH_CUDA_ARCH_LIST={wanted!r} is not understood; write '8.0;9.0+PTX' or '80;90'.")
        return archs
    known = subprocess.run([nvcc, "--list-gpu-arch"], capture_output=True, text=True, check=False).stdout.split()
    archs = [arch for arch in DEFAULT_CUDA_ARCHS if f"compute_{arch}" in known]
    if not archs:
        raise CompileError(f"{nvcc} knows none of the architectures {DEFAULT_CUDA_ARCHS}; set TORCH_CUDA_ARCH_LIST.")
    newest = max((arch for arch in archs if arch in CUDA_FEATURES), default=archs[0], key=int)
    return [f"{arch}+PTX" if arch == newest else arch for arch in archs]


def gencode(archs: Iterable[str]) -> list[str]:
    """One option per set of features, with the real architectures and the intermediate code to make of it."""
    codes: dict[str, list[str]] = {}
    for arch in archs:
        number = arch.removesuffix("+PTX")
        older = [features for features in CUDA_FEATURES if number.isdigit() and int(features) <= int(number)]
        features = older[-1] if older else number  # "90a" stands for itself
        codes.setdefault(features, []).append(f"sm_{number}")
        if arch.endswith("+PTX"):
            codes[features].append(f"compute_{features}")
    return [f"-gencode=arch=compute_{features},code=[{','.join(made)}]" for features, made in codes.items()]


class BuildPython(build_py):
    """Removes what earlier builds left: no old extension may enter this wheel or serve an editable install."""

    def run(self) -> None:
        for package in (PACKAGE, "clear_hug"):
            shutil.rmtree(Path(self.build_lib) / package, ignore_errors=True)
        if self.editable_mode:
            for pattern in ("clear_kernels/_c*", "clear_hug/_signal*"):
                for stale in [*Path().glob(f"{pattern}.so"), *Path().glob(f"{pattern}.pyd")]:
                    stale.unlink()
        super().run()


class BuildNative(build_ext):
    """Compiles the sources of each extension in parallel and links them."""

    def build_extension(self, ext: Extension) -> None:
        build, name = (self.build_cuda, "CUDA") if ext.name.endswith("_cuda") else (self.build_cpu, "NATIVE")
        try:
            build(ext)
        except (CompileError, OSError) as error:  # CompileError is what setuptools forgives an optional extension
            say(f"{ext.name} was not built (CLEAR_KERNELS_{name}=0 leaves it out, 1 requires it): {error}")
            raise CompileError(str(error)) from error

    def build_cpu(self, ext: Extension) -> None:
        import pybind11

        common = [source for source in ext.sources if Path(source).name != "variant.cpp"]
        # The probe refuses Arm, universal builds and old compilers, which get the generic object alone.
        probe = "#ifndef __x86_64__\n#error\n#endif\n#include <immintrin.h>\n"
        simd = not WINDOWS and all(compiles(self.compiler, probe, flags) for flags in X86_VARIANTS.values())
        variants: dict[str, list[str]] = {"generic": [], **(X86_VARIANTS if simd else {})}
        shared = ["-DCK_HAVE_X86_VARIANTS"] if simd else []
        say(f"building {ext.name} for {', '.join(variants)}")
        includes = [pybind11.get_include(), str(COMMON_DIR)]

        def compile_one(source: str, flags: list[str], folder: Path) -> str:
            made = self.compiler.compile([source], str(folder), include_dirs=includes, extra_postargs=flags)
            return made[0]

        variant, own = str(CPU_DIRS[ext.name] / "variant.cpp"), host_flags(ext.name)
        jobs = [(variant, [*own, f"-DCK_ISA={name}", *flags]) for name, flags in variants.items()]
        objects = compile_all(compile_one, jobs + [(source, [*own, *shared]) for source in common])
        target = self.get_ext_fullpath(ext.name)
        self.compiler.link_shared_object(objects, target, extra_postargs=SANITIZER_FLAGS, target_lang="c++")

    def build_cuda(self, ext: Extension) -> None:
        import pybind11

        nvcc = find_nvcc()
        if nvcc is None:
            raise CompileError("nvcc was not found in CUDA_HOME, CUDA_PATH or PATH; install the CUDA toolkit.")
        archs = cuda_architectures(nvcc)
        say(f"building {ext.name} with {nvcc} for {' '.join(archs)}")
        host = "/O2,/MD,/EHsc" if WINDOWS else "-fPIC,-fvisibility=hidden,-O3"
        flags = ["-std=c++17", "-O3", "-DNDEBUG", "-Xcompiler", host, f'-DCK_CUDA_ARCHS="{";".join(archs)}"']
        device = [*gencode(archs), "--threads", str(max(2, job_count() // max(1, len(ext.sources) - 1)))]
        jobs = [(source, [*flags, *device] if source.endswith(".cu") else flags) for source in ext.sources]
        includes = [f"-I{folder}" for folder in (*self.include_dirs, pybind11.get_include(), COMMON_DIR)]

        def compile_one(source: str, flags: list[str], folder: Path) -> str:
            made = str(folder / f"{Path(source).name}.o")
            run([nvcc, "-c", source, "-o", made, *flags, *includes])
            return made

        objects = compile_all(compile_one, jobs)
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        # The runtime is linked in, so that the wheel needs no CUDA installation and imports without a driver.
        folders = [f"-L{folder}" for folder in self.library_dirs]
        run([nvcc, "-shared", "-cudart", "static", "-o", str(target), *objects, *folders])


def compile_all(compile_one: Callable[[str, list[str], Path], str], jobs: list[tuple[str, list[str]]]) -> list[str]:
    """Runs compile_one(source, flags, folder) for every job, in parallel, and leaves out what is up to date."""
    headers = [path for path in COMMON_DIR.rglob("*") if path.suffix in (".h", ".hpp", ".cuh", ".inl")]

    def one(job: tuple[str, list[str]]) -> str:
        source, flags = job
        identity = "\0".join([sys.version, os.environ.get("CXX", ""), source, *flags])
        folder = OBJECT_DIR / hashlib.sha256(identity.encode()).hexdigest()[:12]
        done = folder / "done"
        newest = max(path.stat().st_mtime for path in [Path(source), *headers])
        if not done.exists() or done.stat().st_mtime <= newest:
            done.unlink(missing_ok=True)
            folder.mkdir(parents=True, exist_ok=True)
            made = compile_one(source, flags, folder)
            done.write_text(made)
        return done.read_text()

    with ThreadPoolExecutor(job_count()) as pool:
        return list(pool.map(one, jobs))


def run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=sys.stderr, check=False)
    if done.returncode != 0:
        raise CompileError(f"{' '.join(command)} ended with status {done.returncode}")


def compiles(compiler: CCompiler, text: str, flags: list[str]) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "probe.cpp"
        source.write_text(text)
        try:
            compiler.compile([str(source)], output_dir=folder, extra_postargs=flags)
        except (CompileError, PlatformError, OSError):
            return False
    return True


def compiler_problem() -> str | None:
    """Why the C++ extension cannot be built on this machine, or None: tries a one-line program that includes Python."""
    compiler = new_compiler()
    customize_compiler(compiler)
    text = "#include <Python.h>\n#include <string_view>\n"
    if compiles(compiler, text, [*host_flags(ATTENTION), f"-I{sysconfig.get_path('include')}"]):
        return None
    return "no working C++17 compiler with the Python headers was found (on Debian: apt install g++ python3-dev)"


def extensions() -> list[Extension]:
    native, cuda = switch("CLEAR_KERNELS_NATIVE"), switch("CLEAR_KERNELS_CUDA")
    left_out_by = "CLEAR_KERNELS_NATIVE=0" if native == "0" else "CLEAR_KERNELS_SANITIZE=1" if SANITIZE else None
    if cuda == "1" and left_out_by is not None:
        raise SystemExit(
            "clear_kernels: CLEAR_KERNELS_CUDA=1 requires the CUDA extension, which "
            f"{left_out_by} leaves out; unset one of the two."
        )
    if native == "0":
        return []
    problem = compiler_problem()
    if problem is not None:
        required = [name for name, value in (("NATIVE", native), ("CUDA", cuda)) if value == "1"]
        if required:
            raise SystemExit(f"clear_kernels: {problem}; CLEAR_KERNELS_{required[0]}=1 requires it.")
        say(f"{problem}: installing without the native extensions; PyTorch (backend 'gather') and NumPy do their work.")
        return []
    found = [
        Extension(name, [str(path) for path in sorted(folder.glob("*.cpp"))], language="c++", optional=native == "auto")
        for name, folder in CPU_DIRS.items()
    ]
    kernels = sorted(CUDA_DIR.glob("*.cu"), key=lambda path: -path.stat().st_size)
    if cuda == "1" and not kernels:
        raise SystemExit(
            f"clear_kernels: there are no sources in {CUDA_DIR} and CLEAR_KERNELS_CUDA=1 requires them; "
            "install from a complete checkout, or unset it."
        )
    if cuda == "0" or SANITIZE or not kernels:
        return found
    if cuda == "auto" and find_nvcc() is None:
        say("nvcc was not found: installing without the CUDA extension (CLEAR_KERNELS_CUDA=1 makes this an error).")
        return found
    sources = [str(path) for path in (*kernels, CUDA_DIR / "bindings.cpp")]
    return [*found, Extension(f"{PACKAGE}._cuda", sources, language="c++", optional=cuda == "auto")]


setup(ext_modules=extensions(), cmdclass={"build_py": BuildPython, "build_ext": BuildNative})
