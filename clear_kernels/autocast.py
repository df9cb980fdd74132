"""Autocast rules: attention inputs are cast to the autocast dtype, as ``scaled_dot_product_attention`` does."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

# Asked once, here: torch.compile of the oldest supported release cannot trace the question.
_DEVICES = tuple(
    name for name in ("cpu", "cuda", "xpu", "mps", "hpu", "xla", "mtia") if torch.amp.is_autocast_available(name)
)


def autocast_dtype(device_type: str) -> torch.dtype | None:
    """The dtype autocast asks for on ``device_type``, or None where it is off or unknown to that device."""
    if device_type not in _DEVICES or not torch.is_autocast_enabled(device_type):
        return None
    return torch.get_autocast_dtype(device_type)


def autocast_inputs(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cast q, k, v as autocast asks; float64 is left alone, as in PyTorch's own rule for low-precision ops."""
    if not (isinstance(q, Tensor) and isinstance(k, Tensor) and isinstance(v, Tensor)):
        return q, k, v  # for the checks to refuse
    dtype = autocast_dtype(q.device.type)
    if dtype is None:
        return q, k, v
    q, k, v = (x if x.dtype == torch.float64 or not x.dtype.is_floating_point else x.to(dtype) for x in (q, k, v))
    return q, k, v


def without_autocast(device: torch.device) -> AbstractContextManager[None]:
    """A context in which autocast leaves the float32 accumulation of a pure-PyTorch backend alone."""
    if autocast_dtype(device.type) is None:
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
