"""The packed form: view-guided attention over packed tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from clear_kernels.triton import launch, launch_dense
from clear_kernels.triton.launch import Common
from clear_kernels.triton.launch_dense import Sequence


def forward(
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
    """(out, lse) of canonical arguments; see ``clear_kernels.backends.Backend``."""
    q, k, v = (launch.rows_of(x) for x in (q, k, v))  # [B, H, N, D]
    out = launch.token_major_like(q)  # [B, H, N, D]
    lse = torch.empty(q.shape[:3], dtype=torch.float32, device=q.device)  # [B, H, N]
    if lse.numel() == 0:
        return out, lse
    target = launch.target_of(q.device)
    with launch.on_device(q.device):
        launch_dense.forward(
            q, k, v, out, lse, seed, _sequence(lead, valid, leads), Common.of(q, scale, dropout_p, target), target
        )
    return out, lse


def backward(
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
    """(dq, dk, dv) of canonical arguments."""
    dout, q, k, v, out = (launch.rows_of(x) for x in (dout, q, k, v, out))  # [B, H, N, D]
    lse = lse.contiguous()  # [B, H, N]
    dq, dk, dv = (launch.token_major_like(q) for _ in range(3))  # [B, H, N, D]
    if lse.numel() == 0:
        return dq, dk, dv
    target = launch.target_of(q.device)
    common = Common.of(q, scale, dropout_p, target)
    with launch.on_device(q.device):
        launch_dense.backward(dout, q, k, v, out, lse, dq, dk, dv, seed, _sequence(lead, valid, leads), common, target)
    return dq, dk, dv


def _sequence(lead: Tensor, valid: Tensor | None, leads: int) -> Sequence:
    real = launch.bytes_of(valid)  # [n] or [B, n]
    beats = max(lead.shape[-1], 1)  # a divisor, though lead ids make it needless
    return Sequence(leads, beats, lead=lead, valid=real, valid_stride=launch.batch_stride(real, 1))
