"""Dense masked attention: the definition every backend is tested against. Any device, any floating dtype.

Plain PyTorch, so gradients of any order, ``torch.func`` and ``torch.compile`` work without further ado. It stores N x N
scores and is meant to be read and compared with, not to be fast.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clear_kernels.autocast import without_autocast
from clear_kernels.checks import GridCall, PackedCall
from clear_kernels.mask import grid_mask, packed_mask
from clear_kernels.philox import batch_heads, keep_mask


def beat_attention(call: GridCall) -> Tensor:
    """Attention over the grid of beats: [B, H, N, D]."""
    mask = grid_mask(
        call.leads, call.beats, call.visible, call.valid, all_visible=call.all_visible, device=call.q.device
    )
    return dense_attention(call.q, call.k, call.v, mask, call.seed, dropout_p=call.dropout_p, scale=call.scale)


def packed_attention(call: PackedCall) -> Tensor:
    """Attention over packed beats: [B, H, L + n, D]."""
    mask = packed_mask(call.leads, call.lead, call.valid)
    return dense_attention(call.q, call.k, call.v, mask, call.seed, dropout_p=call.dropout_p, scale=call.scale)


def dense_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor, seed: Tensor | None, *, dropout_p: float, scale: float
) -> Tensor:
    """Softmax attention under ``mask`` (bool [N, N] or [B, N, N]); a row that may not attend itself is padding.

    Accumulates in float32 (float64 for float64). Padding gives output 0 and gradients 0, whatever it holds.
    """
    dtype, working = q.dtype, torch.float64 if q.dtype == torch.float64 else torch.float32
    mask = mask if mask.dim() == 2 else mask[:, None]  # [(B, 1), N, N]
    real = mask.diagonal(dim1=-2, dim2=-1)[..., None]  # [(B, 1), N, 1]
    q, k, v = (torch.where(real, x, 0).to(working) for x in (q, k, v))  # [B, H, N, D]
    with without_autocast(q.device):
        scores = q @ k.transpose(-1, -2) * scale  # [B, H, N, N]
        # A padding row attends everything here, to keep its softmax finite; its output is replaced below.
        weights = scores.masked_fill(real & ~mask, -torch.inf).softmax(-1)  # [B, H, N, N]
        if seed is not None:
            token = torch.arange(q.shape[2], device=q.device)  # [N]
            row = batch_heads(q.shape[0], q.shape[1], q.device)  # [B, H, 1, 1]
            keep = keep_mask(seed, batch_head=row, query=token[:, None], key=token, dropout_p=dropout_p)
            weights = weights * keep / (1.0 - dropout_p)  # [B, H, N, N]
        out = torch.where(real, weights @ v, 0)  # [B, H, N, D]
    return out.to(dtype)
