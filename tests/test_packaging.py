"""What the wheel holds, and what the build does where a compiler, nvcc or the index is not what one hoped for."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "constraints.txt")
FOLDERS = ("clear_kernels", "clear_hug", "csrc")
BUILT = ("*.so", "*.pyd", "__pycache__")
FAKE_NVCC = """#!/bin/sh
[ "$1" = --list-gpu-arch ] && printf 'compute_80\\ncompute_87\\ncompute_90\\n' && exit 0
echo 'this nvcc compiles nothing' >&2
exit 1
"""


def copy_tree(folder: Path) -> Path:
    """A checkout without anything built, but with the compiled objects of this one, which spares minutes."""
    for name in SOURCES:
        shutil.copy2(ROOT / name, folder / name)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns(*BUILT))
    if (ROOT / "build" / "objects").is_dir():
        shutil.copytree(ROOT / "build" / "objects", folder / "build" / "objects")
    return folder


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with a CUDA source, a nvcc that always fails, and extensions left behind by an earlier build."""
    folder = copy_tree(tmp_path_factory.mktemp("checkout"))
    kernel = folder / "csrc" / "cuda" / "kernel.cu"
    kernel.parent.mkdir(exist_ok=True)
    kernel.write_text("__global__ void kernel() {}\n")
    nvcc = folder / "cuda" / "bin" / "nvcc"
    nvcc.parent.mkdir(parents=True)
    nvcc.write_text(FAKE_NVCC)
    nvcc.chmod(0o755)
    tag = f"{sys.platform}-x86_64-{sys.implementation.cache_tag}"
    for lib in (folder / "build" / "lib", folder / "build" / f"lib.{tag}", folder):
        stale = lib / "clear_kernels"
        stale.mkdir(parents=True, exist_ok=True)
        (stale / "_cuda.abi3.so").write_bytes(b"left behind")
    return folder


def settings(tree: Path, **changed: str) -> dict[str, str]:
    """The environment of a build: none of the switches that this process may have been started with."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("CLEAR_KERNELS_", "TORCH_CUDA_"))}
    return {**own, "CUDA_HOME": str(tree / "cuda"), **changed}


def pip_wheel(tree: Path, out: Path, **changed: str) -> subprocess.CompletedProcess[str]:
    """Build a wheel with build isolation, where torch cannot be imported."""
    command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "-w", str(out), str(tree)]
    return subprocess.run(command, env=settings(tree, **changed), capture_output=True, text=True, check=False)


def only_wheel(folder: Path) -> Path:
    (wheel,) = folder.glob("*.whl")
    return wheel


# Runs a module with the finder of an editable installation gone, which would find in this checkout what a wheel lacks.
RUN = """
import runpy, sys
sys.meta_path = [finder for finder in sys.meta_path if "Editable" not in getattr(finder, "__name__", "")]
runpy.run_module(sys.argv[1], run_name="__main__", alter_sys=True)
"""


def run_module(site: Path, module: str) -> str:
    """Output of a module of ``site``, where everything but this project is that of the tests."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, module],
        env={**os.environ, "PYTHONPATH": str(site)},
        cwd=site,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def install(wheel: Path, site: Path) -> Path:
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run(command, check=True)
    return site


@pytest.fixture(scope="module")
def compiler() -> None:
    if shutil.which(os.environ.get("CXX", "c++")) is None:
        pytest.skip("no C++ compiler is on this machine")


@pytest.fixture(scope="module")
def native_wheel(compiler: None, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("native")
    done = pip_wheel(tree, out, CLEAR_KERNELS_NATIVE="1")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "this nvcc compiles nothing" in done.stdout + done.stderr, "the failing nvcc was never asked"
    return only_wheel(out)


@pytest.mark.slow
def test_native_wheel_holds_the_packages_and_nothing_stale(native_wheel: Path) -> None:
    with zipfile.ZipFile(native_wheel) as archive:
        names = set(archive.namelist())
    folders = (ROOT / "clear_kernels", ROOT / "clear_hug")
    modules = {str(path.relative_to(ROOT)) for folder in folders for path in folder.rglob("*.py")}
    assert modules <= names
    assert {"clear_kernels/py.typed", "clear_hug/py.typed"} <= names
    natives = [name for name in names if name.endswith((".so", ".pyd"))]
    assert sorted(name.partition(".")[0] for name in natives) == ["clear_hug/_signal", "clear_kernels/_cpu"]
    assert {name.partition("/")[0] for name in names} == {"clear_kernels", "clear_hug", "clear_hug-0.1.0.dist-info"}


@pytest.mark.slow
def test_native_wheel_runs_and_links_no_torch(native_wheel: Path, tmp_path: Path) -> None:
    site = install(native_wheel, tmp_path)
    assert re.search(r"^\s*cpu\s+runs$", run_module(site, "clear_kernels"), flags=re.MULTILINE)
    if shutil.which("ldd"):
        for pattern in ("clear_kernels/_cpu*.so", "clear_hug/_signal*.so"):
            (extension,) = site.glob(pattern)
            linked = subprocess.run(["ldd", extension], capture_output=True, text=True, check=True).stdout
            assert not re.search(r"torch|gomp|libomp|cuda", linked)


@pytest.mark.slow
def test_pure_wheel_serves_every_platform(tree: Path, tmp_path: Path) -> None:
    done = pip_wheel(tree, tmp_path / "out", CLEAR_KERNELS_NATIVE="0")
    assert done.returncode == 0, done.stderr[-3000:]
    wheel = only_wheel(tmp_path / "out")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert not [name for name in archive.namelist() if name.endswith((".so", ".pyd"))]
    shown = run_module(install(wheel, tmp_path / "site"), "clear_kernels")
    assert re.search(r"^\s*cpu\s+no: .+", shown, flags=re.MULTILINE)
    assert re.search(r"^\s*gather\s+runs$", shown, flags=re.MULTILINE)


@pytest.mark.slow
def test_required_cuda_extension_that_fails_is_an_error(compiler: None, tree: Path, tmp_path: Path) -> None:
    done = pip_wheel(tree, tmp_path, CLEAR_KERNELS_CUDA="1")
    assert done.returncode != 0
    assert "this nvcc compiles nothing" in done.stdout + done.stderr
    assert not list(tmp_path.glob("*.whl"))


def test_sdist_holds_what_a_build_needs(tmp_path: Path) -> None:
    tree = copy_tree(tmp_path)
    command = [sys.executable, "setup.py", "-q", "sdist"]
    subprocess.run(command, cwd=tree, env=settings(tree, CLEAR_KERNELS_NATIVE="0"), check=True, capture_output=True)
    (archive,) = (tree / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    native = {
        str(path.relative_to(ROOT)) for path in (ROOT / "csrc").rglob("*") if path.suffix in (".h", ".cpp", ".cu")
    }
    assert native <= names
    assert {"setup.py", "pyproject.toml", "LICENSE", "constraints.txt"} <= names
    assert not [name for name in names if name.endswith(".so")]


def setup_py(tmp_path: Path, **changed: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "setup.py"), "--version"]
    environment = settings(tmp_path, **changed)
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)


def test_no_compiler_is_told_and_forgiven_unless_required(tmp_path: Path) -> None:
    missing = {"CC": "no-such-compiler", "CXX": "no-such-compiler"}
    forgiven = setup_py(tmp_path, **missing)
    assert forgiven.returncode == 0, forgiven.stderr
    assert "no working C++17 compiler" in forgiven.stderr
    assert "installing without the native extensions" in forgiven.stderr
    required = setup_py(tmp_path, CLEAR_KERNELS_NATIVE="1", **missing)
    assert required.returncode != 0
    assert "no working C++17 compiler" in required.stderr
    assert "Traceback" not in required.stderr


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"CC": "no-such-compiler", "CXX": "no-such-compiler"},
            r"no working C\+\+17 compiler .+ was found \(.+\); CLEAR_KERNELS_CUDA=1 requires it\.",
        ),
        (
            {"CLEAR_KERNELS_NATIVE": "0"},
            "CLEAR_KERNELS_CUDA=1 requires the CUDA extension, which CLEAR_KERNELS_NATIVE=0 leaves out; unset one .+",
        ),
        (
            {"CLEAR_KERNELS_SANITIZE": "1"},
            "CLEAR_KERNELS_CUDA=1 requires the CUDA extension, which CLEAR_KERNELS_SANITIZE=1 leaves out; unset one .+",
        ),
    ],
    ids=["no compiler", "no native extensions", "sanitized"],
)
def test_a_required_cuda_extension_that_is_left_out_is_an_error(
    tmp_path: Path, changed: dict[str, str], said: str
) -> None:
    done = setup_py(tmp_path, CLEAR_KERNELS_CUDA="1", **changed)
    assert done.returncode == 1
    assert re.fullmatch(f"clear_kernels: {said}", done.stderr.splitlines()[-1])
    assert "Traceback" not in done.stderr


def test_a_required_cuda_extension_needs_its_sources(compiler: None, tmp_path: Path) -> None:
    done = setup_py(tmp_path, CLEAR_KERNELS_CUDA="1")
    assert done.returncode == 1
    assert "no sources in csrc/cuda and CLEAR_KERNELS_CUDA=1 requires them" in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_switch_names_value_and_remedy(tmp_path: Path) -> None:
    done = setup_py(tmp_path, CLEAR_KERNELS_CUDA="yes")
    assert done.returncode != 0
    assert "CLEAR_KERNELS_CUDA='yes' is not understood: use auto, 1 (required) or 0" in done.stderr


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """The names of setup.py, which is run as far as printing the version."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["setup.py", "--version"])
    monkeypatch.setenv("CLEAR_KERNELS_NATIVE", "0")
    monkeypatch.delenv("CLEAR_KERNELS_CUDA", raising=False)
    monkeypatch.delenv("TORCH_CUDA_ARCH_LIST", raising=False)
    return runpy.run_path(str(ROOT / "setup.py"))


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for nvcc is a shell script")
def test_architectures_go_as_far_as_nvcc_does(
    build: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvcc = tmp_path / "bin" / "nvcc"
    nvcc.parent.mkdir()
    nvcc.write_text(FAKE_NVCC)
    nvcc.chmod(0o755)
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    assert build["find_nvcc"]() == str(nvcc)
    assert build["cuda_architectures"](str(nvcc)) == ["80+PTX", "90"]


def test_features_are_compiled_once_for_all_gpus_that_have_them(build: dict[str, Any]) -> None:
    assert build["gencode"](["75", "80+PTX", "86", "90", "90a", "120"]) == [
        "-gencode=arch=compute_75,code=[sm_75]",
        "-gencode=arch=compute_80,code=[sm_80,compute_80,sm_86,sm_90,sm_120]",
        "-gencode=arch=compute_90a,code=[sm_90a]",
    ]
    assert build["gencode"](["90+PTX"]) == ["-gencode=arch=compute_80,code=[sm_90,compute_80]"]
    assert build["gencode"](["70"]) == ["-gencode=arch=compute_70,code=[sm_70]"]


@pytest.mark.parametrize(
    ("asked", "understood"),
    [
        ("8.0;9.0+PTX", ["80", "90+PTX"]),
        ("80;90", ["80", "90"]),
        ("7.5 12.0", ["75", "120"]),
        ("9.0a", ["90a"]),
    ],
)
def test_architecture_list_is_honoured(
    build: dict[str, Any], monkeypatch: pytest.MonkeyPatch, asked: str, understood: list[str]
) -> None:
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", asked)
    assert build["cuda_architectures"]("unused") == understood


def test_architecture_that_is_no_number_is_refused(build: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "Hopper")
    with pytest.raises(build["CompileError"], match="'Hopper' is not understood"):
        build["cuda_architectures"]("unused")


def test_cuda_extension_links_no_cuda_library() -> None:
    built = list((ROOT / "clear_kernels").glob("_cuda*.so"))
    if not built or shutil.which("ldd") is None:
        pytest.skip("the CUDA extension was not built on this machine (it needs nvcc)")
    linked = subprocess.run(["ldd", built[0]], capture_output=True, text=True, check=True).stdout
    assert not re.search(r"libcud|torch", linked)


def test_constraints_are_exact_and_name_no_index() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines
    for line in lines:
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*==[0-9][0-9a-z.]*( ; .+)?", line), line
    project = (ROOT / "pyproject.toml").read_text()
    pinned = {line.partition("==")[0] for line in lines}
    wanted = re.findall(r'^\s+"([a-z0-9-]+)>=', project, flags=re.MULTILINE)
    assert "torch" in wanted
    assert set(wanted) <= pinned
