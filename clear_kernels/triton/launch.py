"""What all launches share: how tensors become kernel arguments, and what the GPU and PyTorch's settings ask for."""

from __future__ import annotations

import functools
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clear_kernels.triton.tiling import Target
from clear_kernels.triton.tuning import Question, size_class

Strides = tuple[int, int, int]

# What the interpreter pretends to be.
_INTERPRETED = Target(capability=90, shared=232_448, processors=1)


def interpreting() -> bool:
    """Whether kernels run in Triton's interpreter, on CPU tensors (``TRITON_INTERPRET=1``)."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "on", "yes")


@functools.cache
def _device_target(index: int) -> Target:
    properties = torch.cuda.get_device_properties(index)
    shared = getattr(properties, "shared_memory_per_block_optin", 101_376)
    return Target(properties.major * 10 + properties.minor, shared, properties.multi_processor_count)


def target_of(device: torch.device) -> Target:
    """The GPU that ``device`` is."""
    if device.type != "cuda":
        return _INTERPRETED
    return _device_target(torch.cuda.current_device() if device.index is None else device.index)


def on_device(device: torch.device) -> AbstractContextManager[object]:
    """Make ``device`` current for a launch."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def precision_of(dtype: torch.dtype, target: Target) -> str:
    """How products are taken (rows.product): TF32 only for float32, and only if PyTorch's own setting asks for it."""
    if target.capability < 80:
        return "ieee" if dtype == torch.float32 else "wide"
    if dtype != torch.float32:
        return "ieee"
    matmul = torch.backends.cuda.matmul
    # Newer releases replace allow_tf32 and refuse to read it once the new setting was used.
    setting = getattr(matmul, "fp32_precision", None)
    allowed = matmul.allow_tf32 if setting is None else setting == "tf32"
    return "tf32" if allowed else "ieee"


def start(kernel: Any, programs: int, *arguments: object, **constants: object) -> None:
    """Launch ``programs`` programs of a kernel. Every launch passes here, so that resources.py can look on."""
    kernel[(programs,)](*arguments, **constants)


@dataclass(frozen=True)
class Common:
    """The keyword arguments that all attention kernels take."""

    scale: float
    threshold: int
    keep_scale: float
    D: int
    PRECISION: str

    @classmethod
    def of(cls, q: Tensor, scale: float, dropout_p: float, target: Target) -> Common:
        """For queries ``q`` [B, H, N, D]."""
        kept = 1.0 / (1.0 - dropout_p)
        return cls(scale, int(dropout_p * 2**32), kept, q.shape[3], precision_of(q.dtype, target))


def question(kernel: str, q: Tensor, leads: int, common: Common, **present: Tensor | None) -> Question:
    """What ``tuning.py`` is asked for a launch on queries ``q`` [B, H, N, D]; ``present`` are its optional tensors."""
    features = tuple(name for name, tensor in present.items() if tensor is not None)
    size = q.shape[0] * q.shape[1] * q.shape[2]
    return Question(kernel, q.dtype, common.PRECISION, leads, q.shape[3], size_class(size), features)


def approximates(dtype: torch.dtype) -> bool:
    """Whether a row's logarithm and reciprocal may be the hardware's approximations."""
    return dtype != torch.float32 and not interpreting()


def is_ordinary(scale: float) -> bool:
    """Whether logits may be scaled after masking and the row maximum, which saves a product per logit."""
    return 1e-6 < scale < 1e6


def rows_of(x: Tensor) -> Tensor:
    """``x`` [B, H, N, D] with unit stride along the head dimension, which the kernels read as a row."""
    return x if x.stride(-1) == 1 else x.contiguous()


def strides(x: Tensor) -> Strides:
    """Element strides of batch, head and token."""
    return x.stride(0), x.stride(1), x.stride(2)


def token_major_like(x: Tensor) -> Tensor:
    """An empty tensor of x's shape [B, H, N, D] over memory in the order [B, N, H, D]."""
    batch, heads, tokens, head_dim = x.shape
    return torch.empty((batch, tokens, heads, head_dim), dtype=x.dtype, device=x.device).transpose(1, 2)


def bytes_of(mask: Tensor | None) -> Tensor | None:
    """A boolean mask as the bytes it is stored in."""
    return None if mask is None else mask.view(torch.uint8)


def batch_stride(x: Tensor | None, dims: int) -> int:
    """Batch stride of a tensor that has ``dims`` dimensions without a batch; 0 when it is shared or absent."""
    return x.stride(0) if x is not None and x.dim() > dims else 0
