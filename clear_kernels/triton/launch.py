"""What all launches share: how tensors become kernel arguments, and what the GPU and PyTorch's settings ask for."""

from __future__ import annotations

import functools
import os
from typing import Any

import torch
from torch import Tensor

from clear_kernels.precision import tf32_allowed
from clear_kernels.triton.release import release
from clear_kernels.triton.tiling import Target

# What the interpreter pretends to be.
_INTERPRETED = Target(capability=90, shared=232_448, processors=1)


def interpreting() -> bool:
    """Whether kernels run in Triton's interpreter, on CPU tensors (``TRITON_INTERPRET=1``)."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "on", "yes")


def made_target(capability: int, shared: int, processors: int) -> Target:
    """A GPU as the installed Triton can use it."""
    return Target(capability, shared, processors, tall_tiles=release() >= (3, 4))


@functools.cache
def _device_target(index: int) -> Target:
    properties = torch.cuda.get_device_properties(index)
    shared = getattr(properties, "shared_memory_per_block_optin", 101_376)
    return made_target(properties.major * 10 + properties.minor, shared, properties.multi_processor_count)


def target_of(device: torch.device) -> Target:
    """The GPU that ``device`` is."""
    if device.type != "cuda":
        return _INTERPRETED
    return _device_target(torch.cuda.current_device() if device.index is None else device.index)


def precision_of(dtype: torch.dtype, target: Target) -> str:
    """How products are taken (rows.product): TF32 only for float32, and only if PyTorch's own setting asks for it."""
    if target.capability < 80:
        return "ieee" if dtype == torch.float32 else "wide"
    if dtype != torch.float32:
        return "ieee"
    return "tf32" if tf32_allowed() else "ieee"


def start(kernel: Any, programs: int, *arguments: object, **constants: object) -> object:
    """Launch ``programs`` programs of a kernel; returns what Triton compiled, None in its interpreter.

    The first launch of each kind passes here (prepared.py), so that resources.py can look on.
    """
    return kernel[(programs,)](*arguments, **constants)


def approximates(dtype: torch.dtype) -> bool:
    """Whether a row's logarithm and reciprocal may be the hardware's approximations."""
    return dtype != torch.float32 and not interpreting()


def is_ordinary(scale: float) -> bool:
    """Whether logits may be scaled after masking and the row maximum, which saves a product per logit."""
    return 1e-6 < scale < 1e6


def bytes_of(x: Tensor | None) -> Tensor | None:
    """A boolean mask as the bytes it is stored in; other tensors as they are."""
    return x.view(torch.uint8) if x is not None and x.dtype == torch.bool else x
