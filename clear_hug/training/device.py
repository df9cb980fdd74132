"""Choosing a device and a precision, and saying why not."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, get_args

import torch

DeviceName = Literal["auto", "cpu", "cuda"]
Precision = Literal["none", "bf16"]


def resolve_device(name: str) -> torch.device:
    """`auto` takes the GPU if there is one.

    Raises:
        ValueError: unknown name, or `cuda` where PyTorch sees no GPU.
    """
    if name not in get_args(DeviceName):
        raise ValueError(f"unknown device {name!r}; choose one of {', '.join(get_args(DeviceName))}")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "--device cuda: PyTorch sees no CUDA GPU here; use --device cpu or auto, or install a CUDA build of torch"
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """A context that computes in bfloat16 where `precision` asks for it.

    Raises:
        ValueError: unknown precision.
    """
    if precision not in get_args(Precision):
        raise ValueError(f"unknown precision {precision!r}; choose one of {', '.join(get_args(Precision))}")
    return nullcontext() if precision == "none" else torch.autocast(device.type, dtype=torch.bfloat16)
