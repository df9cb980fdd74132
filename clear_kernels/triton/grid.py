"""The grid form: heartbeat-local, conduction view and view-guided attention, put together from the kernels."""

from __future__ import annotations

import torch
from torch import Tensor

from clear_kernels.triton import launch, launch_dense, launch_local
from clear_kernels.triton.launch import Common
from clear_kernels.triton.launch_dense import Sequence, visible_sequence


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
    """(out, lse) of canonical arguments; see ``clear_kernels.backends.Backend``."""
    q, k, v = (launch.rows_of(x) for x in (q, k, v))  # [B, H, N, D]
    out = launch.token_major_like(q)  # [B, H, N, D]
    lse = torch.empty(q.shape[:3], dtype=torch.float32, device=q.device)  # [B, H, N]
    if lse.numel() == 0:
        return out, lse
    target = launch.target_of(q.device)
    common = Common.of(q, scale, dropout_p, target)
    real, seen = launch.bytes_of(valid), launch.bytes_of(visible)  # [(B), L, T]
    with launch.on_device(q.device):
        if all_visible:
            sequence = Sequence(leads, beats, valid=real, valid_stride=launch.batch_stride(real, 2))
            launch_dense.forward(q, k, v, out, lse, seed, sequence, common, target)
            return out, lse
        if seen is not None:
            sequence = visible_sequence(seen, real, leads=leads, beats=beats)
            launch_dense.forward(q, k, v, out, lse, seed, sequence, common, target)
        launch_local.forward(
            q, k, v, out, lse, seen, real, seed, leads=leads, beats=beats, common=common, target=target
        )
    return out, lse


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
    """(dq, dk, dv) of canonical arguments."""
    dout, q, k, v, out = (launch.rows_of(x) for x in (dout, q, k, v, out))  # [B, H, N, D]
    lse = lse.contiguous()  # [B, H, N]
    dq, dk, dv = (launch.token_major_like(q) for _ in range(3))  # [B, H, N, D]
    if lse.numel() == 0:
        return dq, dk, dv
    target = launch.target_of(q.device)
    common = Common.of(q, scale, dropout_p, target)
    real, seen = launch.bytes_of(valid), launch.bytes_of(visible)  # [(B), L, T]
    with launch.on_device(q.device):
        if all_visible:
            sequence = Sequence(leads, beats, valid=real, valid_stride=launch.batch_stride(real, 2))
            launch_dense.backward(dout, q, k, v, out, lse, dq, dk, dv, seed, sequence, common, target)
            return dq, dk, dv
        if seen is not None:
            # First the visible beats' part of dk and dv, to which the local kernel adds in float32.
            sequence = visible_sequence(seen, real, leads=leads, beats=beats)
            launch_dense.backward(dout, q, k, v, out, lse, dq, dk, dv, seed, sequence, common, target)
        launch_local.backward(
            dout, q, k, v, out, lse, dq, dk, dv, seen, real, seed,
            leads=leads, beats=beats, common=common, target=target,
        )  # fmt: skip
    return dq, dk, dv
