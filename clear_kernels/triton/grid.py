"""The grid form: heartbeat-local, conduction view and view-guided attention, put together from the kernels."""

from __future__ import annotations

import torch
from torch import Tensor

from clear_kernels.backends.device import on_device
from clear_kernels.backends.memory import gradients_like, rows_of, token_major, token_major_like
from clear_kernels.triton import launch_dense, launch_local, launch_row
from clear_kernels.triton.launch_dense import Sequence, empty_list, visible_sequence
from clear_kernels.triton.prepared import Call, Start, kept


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
    q, k, v = rows_of(q)[0], rows_of(k)[0], rows_of(v)[0]  # [B, H, N, D]
    out = token_major_like(q)  # [B, H, N, D]
    lse = torch.empty(q.shape[:3], dtype=torch.float32, device=q.device)  # [B, H, N]
    if lse.numel() == 0:
        return out, lse
    call = Call.of(
        q, k, v, visible, valid, seed,
        leads=leads, beats=beats, all_visible=all_visible, dropout_p=dropout_p, scale=scale,
    )  # fmt: skip
    with on_device(q.device):
        _forward(call)(q, k, v, out, lse, visible, valid, seed)
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
    dout, q, k, v = rows_of(dout)[0], rows_of(q)[0], rows_of(k)[0], rows_of(v)[0]  # [B, H, N, D]
    out = token_major(out)  # [B, H, N, D]
    lse = lse.contiguous()  # [B, H, N]
    dq, dk, dv = gradients_like(q)  # [B, H, N, D]
    if lse.numel() == 0:
        return dq, dk, dv
    call = Call.of(
        q, k, v, dout, out, lse, visible, valid, seed,
        leads=leads, beats=beats, all_visible=all_visible, dropout_p=dropout_p, scale=scale,
    )  # fmt: skip
    with on_device(q.device):
        _backward(call)(dout, q, k, v, out, lse, dq, dk, dv, visible, valid, seed)
    return dq, dk, dv


@kept
def _forward(call: Call) -> Start:
    """What writes out and lse, started on q, k, v, out, lse, visible, valid, seed."""
    *_, visible, valid, _ = call.layouts()
    if launch_row.is_needed(call):
        row = launch_row.forward(call, packed=False)
        return lambda q, k, v, out, lse, visible, valid, seed: row(q, k, v, out, lse, None, valid, visible, seed)
    if call.all_visible:
        dense = launch_dense.forward(call, _whole_grid(call))
        return lambda q, k, v, out, lse, _, valid, seed: dense(q, k, v, out, lse, None, valid, None, None, seed)
    local = launch_local.forward(call)
    if visible is None:
        return local
    sequence, select = visible_sequence(call, visible, valid)
    dense = launch_dense.forward(call, sequence)

    def run(
        q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor,
        visible: Tensor, valid: Tensor | None, seed: Tensor | None,
    ) -> None:  # fmt: skip
        index, count = empty_list(visible, valid, q.shape[2])
        select(visible, valid, index, count)
        dense(q, k, v, out, lse, None, None, index, count, seed)
        local(q, k, v, out, lse, visible, valid, seed)

    return run


@kept
def _backward(call: Call) -> Start:
    """What writes dq, dk and dv, started on dout, q, k, v, out, lse, dq, dk, dv, visible, valid, seed."""
    *_, visible, valid, _ = call.layouts()
    if launch_row.is_needed(call):
        row = launch_row.backward(call, packed=False)
        return lambda *tensors: row(*tensors[:9], None, tensors[10], tensors[9], tensors[11])
    if call.all_visible:
        dense = launch_dense.backward(call, _whole_grid(call))
        return lambda *tensors: dense(*tensors[:9], None, tensors[10], None, None, tensors[11])
    local = launch_local.backward(call)
    if visible is None:
        return local
    sequence, select = visible_sequence(call, visible, valid)
    dense = launch_dense.backward(call, sequence)

    def run(
        dout: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, dq: Tensor, dk: Tensor, dv: Tensor,
        visible: Tensor, valid: Tensor | None, seed: Tensor | None,
    ) -> None:  # fmt: skip
        index, count = empty_list(visible, valid, q.shape[2])
        select(visible, valid, index, count)
        # First the visible beats' part of dk and dv, to which the local kernel adds in float32.
        dense(dout, q, k, v, out, lse, dq, dk, dv, None, None, index, count, seed)
        inputs, masks = (dout, q, k, v, out, lse, dq), (visible, valid, seed)
        local(*inputs, dk, dv, *masks, spare=lambda: (*inputs, torch.empty_like(dk), torch.empty_like(dv), *masks))

    return run


def _whole_grid(call: Call) -> Sequence:
    *_, valid, _ = call.layouts()
    stride = valid.batch_stride(2) if valid else 0
    return Sequence(call.beats, valid=valid is not None, batch_strides=(0, stride, 0, 0))
