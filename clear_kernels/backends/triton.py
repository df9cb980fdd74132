"""The Triton backend: NVIDIA GPUs, or CPU tensors in Triton's interpreter (``TRITON_INTERPRET=1``).

Triton is imported by the first question about this backend, never by importing ``clear_kernels``.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sys
import sysconfig
from pathlib import Path

import torch
from torch import Tensor

_OLDEST, _NEWEST = (3, 2), (3, 9)
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_MAX_HEAD_DIM = 256
_MIN_CAPABILITY = (7, 5)


def available() -> str | None:
    """None if Triton is installed, of a known version and has a GPU and a compiler (or interprets), else the reason."""
    reason = _version_reason()
    if reason is not None:
        return reason
    from clear_kernels.triton.launch import interpreting

    if interpreting():
        return _interpreter_reason()
    if not torch.cuda.is_available():
        return (
            "PyTorch sees no CUDA device; use backend='gather', or set TRITON_INTERPRET=1 to try the kernels on a CPU"
        )
    if torch.version.hip is not None:
        return "the kernels are written for NVIDIA GPUs and this PyTorch is built for ROCm; use backend='gather'"
    return _compiler_reason()


def _compiler_reason() -> str | None:
    """Triton compiles a small launcher in C at the first call of each kernel, against Python's headers."""
    compilers = ("cc", "gcc", "clang")
    if not os.environ.get("CC") and not any(shutil.which(name) for name in compilers):
        return f"Triton needs a C compiler at run time; install one of {', '.join(compilers)}, or name one in CC"
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.exists():
        return f"Triton needs Python's headers at run time and {header} is missing (on Debian: apt install python3-dev)"
    return None


def can_run(q: Tensor) -> str | None:
    """None if the kernels take the device, dtype and head dimension of ``q``, else the reason."""
    from clear_kernels.triton.launch import interpreting

    if q.dtype not in _DTYPES:
        return f"{q.dtype=}; pass float32, bfloat16 or float16, or use backend='gather'"
    if q.shape[-1] > _MAX_HEAD_DIM:
        return f"head dimension {q.shape[-1]} is above {_MAX_HEAD_DIM}; use backend='gather'"
    if q.device.type == "cpu":
        if not interpreting():
            return "q is on the CPU; move q, k and v with .cuda(), or set TRITON_INTERPRET=1 before Triton is imported"
        if q.dtype == torch.bfloat16:
            return "Triton's interpreter computes bfloat16 products wrongly; pass float32 or float16"
        return None
    if q.device.type != "cuda":
        return f"q is on {q.device} and this backend needs an NVIDIA GPU; use backend='gather'"
    if interpreting():
        return "TRITON_INTERPRET=1 is set, which runs on CPU tensors only; unset it to use the GPU"
    capability = torch.cuda.get_device_capability(q.device)
    if capability < _MIN_CAPABILITY:
        return f"{q.device} has compute capability {capability} and at least {_MIN_CAPABILITY} is needed; use 'gather'"
    if q.dtype == torch.bfloat16 and capability < (8, 0):
        return f"{q.device} has compute capability {capability}, without bfloat16; pass float16 or float32"
    return None


def forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    visible: Tensor | None,
    valid: Tensor | None,
    seed: Tensor | None,
    *,
    leads: int,
    beats: int,
    all_visible: bool,
    dropout_p: float,
    scale: float,
) -> tuple[Tensor, Tensor]:
    """Grid form: (out, lse)."""
    from clear_kernels.triton import grid

    return grid.forward(
        q, k, v, visible, valid, seed,
        leads=leads, beats=beats, all_visible=all_visible, dropout_p=dropout_p, scale=scale,
    )  # fmt: skip


def backward(
    dout: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    visible: Tensor | None,
    valid: Tensor | None,
    seed: Tensor | None,
    *,
    leads: int,
    beats: int,
    all_visible: bool,
    dropout_p: float,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Grid form: (dq, dk, dv)."""
    from clear_kernels.triton import grid

    return grid.backward(
        dout, q, k, v, out, lse, visible, valid, seed,
        leads=leads, beats=beats, all_visible=all_visible, dropout_p=dropout_p, scale=scale,
    )  # fmt: skip


def packed_forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lead: Tensor,
    valid: Tensor | None,
    seed: Tensor | None,
    *,
    leads: int,
    dropout_p: float,
    scale: float,
) -> tuple[Tensor, Tensor]:
    """Packed form: (out, lse)."""
    from clear_kernels.triton import packed

    return packed.forward(q, k, v, lead, valid, seed, leads=leads, dropout_p=dropout_p, scale=scale)


def packed_backward(
    dout: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    lead: Tensor,
    valid: Tensor | None,
    seed: Tensor | None,
    *,
    leads: int,
    dropout_p: float,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Packed form: (dq, dk, dv)."""
    from clear_kernels.triton import packed

    return packed.backward(dout, q, k, v, out, lse, lead, valid, seed, leads=leads, dropout_p=dropout_p, scale=scale)


def _version_reason() -> str | None:
    """Why the installed Triton cannot be used, or None; looks at the package's metadata and imports nothing."""
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed; pip install 'triton>=3.2' (Linux), or use backend='cuda' or 'gather'"
    version = importlib.metadata.version("triton")
    numbers = tuple(int(part) for part in version.split(".")[:2])
    if not _OLDEST <= numbers <= _NEWEST:
        low, high = (".".join(map(str, bound)) for bound in (_OLDEST, _NEWEST))
        return f"Triton {version} is installed and {low} to {high} are known to work; install one or use backend='cuda'"
    return None


def _interpreter_reason() -> str | None:
    """Why interpreting cannot work in this process, or None."""
    kernels = sys.modules.get("clear_kernels.triton.rows")
    triton = sys.modules.get("triton")
    if triton is None:
        return None
    # Triton wraps its own functions when it is imported, so the variable has to be set before.
    probe = kernels.zero_rows if kernels is not None else sys.modules["triton.language.standard"].zeros
    if type(probe).__name__ == "JITFunction":
        return "TRITON_INTERPRET=1 was set after Triton was imported; set it before Python starts"
    return None
