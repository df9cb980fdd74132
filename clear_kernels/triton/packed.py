"""The packed form: view-guided attention over packed tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from clear_kernels.backends.device import on_device
from clear_kernels.backends.memory import gradients_like, rows_of, token_major, token_major_like
from clear_kernels.triton import launch_dense, launch_row
from clear_kernels.triton.launch_dense import Sequence
from clear_kernels.triton.prepared import Call, Start, kept


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
    q, k, v = rows_of(q)[0], rows_of(k)[0], rows_of(v)[0]  # [B, H, N, D]
    out = token_major_like(q)  # [B, H, N, D]
    lse = torch.empty(q.shape[:3], dtype=torch.float32, device=q.device)  # [B, H, N]
    if lse.numel() == 0:
        return out, lse
    call = _call(q, k, v, lead, valid, seed, leads=leads, dropout_p=dropout_p, scale=scale)
    with on_device(q.device):
        _forward(call)(q, k, v, out, lse, lead, valid, None, None, seed)
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
    dout, q, k, v = rows_of(dout)[0], rows_of(q)[0], rows_of(k)[0], rows_of(v)[0]  # [B, H, N, D]
    out = token_major(out)  # [B, H, N, D]
    lse = lse.contiguous()  # [B, H, N]
    dq, dk, dv = gradients_like(q)  # [B, H, N, D]
    if lse.numel() == 0:
        return dq, dk, dv
    call = _call(q, k, v, dout, out, lse, lead, valid, seed, leads=leads, dropout_p=dropout_p, scale=scale)
    with on_device(q.device):
        _backward(call)(dout, q, k, v, out, lse, dq, dk, dv, lead, valid, None, None, seed)
    return dq, dk, dv


def _call(q: Tensor, *others: Tensor | None, leads: int, dropout_p: float, scale: float) -> Call:
    """The kind of a call on tensors of which the last three are lead, valid and seed."""
    beats = max(q.shape[2] - leads, 1)  # a divisor, though lead ids make it needless
    return Call.of(q, *others, leads=leads, beats=beats, all_visible=True, dropout_p=dropout_p, scale=scale)


@kept
def _forward(call: Call) -> Start:
    if launch_row.is_needed(call):
        row = launch_row.forward(call, packed=True)
        return lambda *tensors: row(*tensors[:7], None, tensors[9])
    return launch_dense.forward(call, _sequence(call))


@kept
def _backward(call: Call) -> Start:
    if launch_row.is_needed(call):
        row = launch_row.backward(call, packed=True)
        return lambda *tensors: row(*tensors[:11], None, tensors[13])
    return launch_dense.backward(call, _sequence(call))


def _sequence(call: Call) -> Sequence:
    *_, lead, valid, _ = call.layouts()
    strides = lead.batch_stride(1), valid.batch_stride(1) if valid else 0
    return Sequence(call.beats, lead=True, valid=valid is not None, batch_strides=(*strides, 0, 0))
