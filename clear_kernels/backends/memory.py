"""The memory of what native kernels read and write, with few calls of PyTorch: small inputs wait for each of them."""

from __future__ import annotations

import torch
from torch import Tensor

Strides = tuple[int, int, int]


def rows_of(x: Tensor) -> tuple[Tensor, Strides]:
    """``x`` [B, H, N, D] with unit stride along the head dimension, which kernels read as a row, and its other strides.

    The strides are those of batch, head and token, in elements.
    """
    batch, head, token, element = x.stride()
    if element != 1:
        x = x.contiguous()
        batch, head, token, _ = x.stride()
    return x, (batch, head, token)


def token_major_strides(shape: torch.Size) -> tuple[int, int, int, int]:
    """Strides of a tensor of ``shape`` [B, H, N, D] over memory in the order [B, N, H, D]."""
    _, heads, tokens, head_dim = shape
    width = max(heads, 1) * head_dim
    return max(tokens, 1) * width, head_dim, width, 1


def token_major(x: Tensor) -> Tensor:
    """``x`` [B, H, N, D] over memory in the order [B, N, H, D]."""
    return x if x.stride() == token_major_strides(x.shape) else x.transpose(1, 2).contiguous().transpose(1, 2)


def token_major_like(x: Tensor) -> Tensor:
    """An empty tensor of x's shape [B, H, N, D] over memory in the order [B, N, H, D]."""
    return torch.empty_strided(x.shape, token_major_strides(x.shape), dtype=x.dtype, device=x.device)


def gradients_like(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Three empty tensors as of :func:`token_major_like`: dq, dk and dv."""
    dq = token_major_like(x)
    return dq, torch.empty_like(dq), torch.empty_like(dq)


def batch_stride(x: Tensor | None, dims: int) -> int:
    """Batch stride of a tensor that has ``dims`` dimensions without a batch; 0 when it is shared or absent."""
    return x.stride(0) if x is not None and x.dim() > dims else 0
