"""What the CUDA backend says when it cannot run, and how it marshals a call."""

from __future__ import annotations

import importlib
import re
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from cuda_emulation import EmulatedVariant

from clear_kernels import __main__ as module
from clear_kernels import beat_sparse_attention
from clear_kernels.backends import cuda


def with_architectures(text: str) -> mock._patch[object]:
    return mock.patch.object(cuda, "extension", lambda: SimpleNamespace(build_info=lambda: {"architectures": text}))


def test_a_missing_extension_is_named_with_the_remedy() -> None:
    real = importlib.import_module

    def missing(name: str, *rest: object) -> object:
        if name == "clear_kernels._cuda":
            raise ImportError("no such file")
        return real(name, *rest)  # type: ignore[arg-type]

    cuda.extension.cache_clear()
    with mock.patch.object(importlib, "import_module", missing):
        reason = cuda.available()
        with pytest.raises(ImportError, match="nvcc"):
            cuda.extension()
    assert reason is not None
    assert "was not built (no such file)" in reason


def test_a_machine_without_a_gpu_is_named() -> None:
    with with_architectures("90"), mock.patch.object(torch.cuda, "is_available", lambda: False):
        with mock.patch.object(torch.version, "cuda", "12.8"):
            assert "no CUDA device" in str(cuda.available())
        with mock.patch.object(torch.version, "cuda", None):
            assert "built without CUDA" in str(cuda.available())


def test_the_report_names_the_architectures_where_no_gpu_is() -> None:
    missing = dict.fromkeys(module.backends(), "no GPU")
    with mock.patch.object(module, "backends", lambda: missing), with_architectures("75;90+PTX"):
        assert re.search(r"^cuda build\n  architectures +75;90\+PTX$", module.report(), re.MULTILINE)
    absent = mock.Mock(side_effect=ImportError("was not built"))
    with mock.patch.object(module, "backends", lambda: missing), mock.patch.object(cuda, "extension", absent):
        assert "cuda build" not in module.report()


@pytest.mark.parametrize(
    ("built", "capability", "runs"),
    [
        ("75;80;90+PTX", (8, 6), True),
        ("75;80;90", (9, 0), True),
        ("90", (10, 0), False),
        ("90+PTX", (10, 3), True),
        ("75;80", (7, 0), False),
        ("80+PTX", (7, 5), False),
        ("90a", (9, 0), True),
    ],
)
def test_architectures(built: str, capability: tuple[int, int], runs: bool) -> None:
    with with_architectures(built):
        reason = cuda._architecture_refusal(capability)
    assert (reason is None) == runs
    if reason is not None:
        assert f"TORCH_CUDA_ARCH_LIST={capability[0]}.{capability[1]}" in reason


def test_what_the_kernels_do_not_take_is_refused() -> None:
    def on_gpu(dtype: torch.dtype = torch.float32, dim: int = 64) -> SimpleNamespace:
        return SimpleNamespace(device=SimpleNamespace(type="cuda"), dtype=dtype, shape=(1, 1, 6, dim))

    assert ".cuda()" in str(cuda.can_run(torch.ones(1, 1, 6, 16)))
    assert "float32, bfloat16" in str(cuda.can_run(on_gpu(torch.complex64)))  # type: ignore[arg-type]
    assert "outside 8 to 256" in str(cuda.can_run(on_gpu(dim=4)))  # type: ignore[arg-type]


def test_an_error_of_the_runtime_reaches_the_caller() -> None:
    q = torch.randn(1, 1, 6, 16)
    variant = EmulatedVariant()
    with (
        variant.active() as backend,
        mock.patch.object(cuda, "_DTYPE_CODES", {torch.float32: 7}),
        pytest.raises(RuntimeError, match="status"),
    ):
        beat_sparse_attention(q, q, q, leads=2, beats=2, backend=backend)
