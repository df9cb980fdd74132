"""The current GPU and its stream, asked for in as few steps as PyTorch allows."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

# What compilers of PyTorch's own call; without it, an object is made of the stream first.
_raw_stream = getattr(torch._C, "_cuda_getCurrentRawStream", None)


def on_device(device: torch.device) -> AbstractContextManager[object]:
    """Make ``device`` current, which it mostly is already."""
    if device.type != "cuda" or device.index == torch.cuda.current_device():
        return nullcontext()
    return torch.cuda.device(device)


def stream_of(device: torch.device) -> int:
    """The address of the current stream of a GPU."""
    if _raw_stream is None or device.index is None:
        return torch.cuda.current_stream(device).cuda_stream
    return _raw_stream(device.index)
