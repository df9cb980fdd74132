"""Launches of the row kernels: every use, where the tiles of the other kernels do not fit."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from clear_kernels.backends.memory import token_major_strides
from clear_kernels.triton import fitting
from clear_kernels.triton.prepared import Call, Launch, Start
from clear_kernels.triton.row_backward import row_backward_key, row_backward_query
from clear_kernels.triton.row_forward import row_forward
from clear_kernels.triton.tiling import SMALL, whole_head

# Numbers of a tensor that a program has in registers at once.
_ENTRIES = 2048


def is_needed(call: Call) -> bool:
    """Whether tiles of the other kernels may exceed the shared memory of a block."""
    leads = None if call.all_visible else call.leads
    return fitting.shared_bound(leads, *call.tile_shape()) > call.target.shared


def forward(call: Call, *, packed: bool) -> Start:
    """What writes out and lse, started on q, k, v, out, lse, lead, valid, visible, seed.

    ``call`` is of q, k, v, and of visible or, if ``packed``, lead, then valid, seed.
    """
    q, k, v, *_ = call.layouts()
    return Launch(
        row_forward, call.heads * call.shape[2],
        *q.strides, *k.strides, *v.strides, *token_major_strides(call.shape)[:3], *_mask_strides(call, packed),
        call.shape[1], call.beats, call.shape[2], **_constants(call, packed),
    )  # fmt: skip


def backward(call: Call, *, packed: bool) -> Start:
    """What writes dq, dk and dv, started on dout, q, k, v, out, lse, dq, dk, dv, lead, valid, visible, seed.

    ``call`` is of q, k, v, dout, out, lse, and of visible or, if ``packed``, lead, then valid, seed.
    """
    q, k, v, dout, *_ = call.layouts()
    arguments = (
        *dout.strides, *q.strides, *k.strides, *v.strides, *token_major_strides(call.shape)[:3],
        *_mask_strides(call, packed), call.shape[1], call.beats, call.shape[2],
    )  # fmt: skip
    programs, constants = call.heads * call.shape[2], _constants(call, packed)
    query = Launch(row_backward_query, programs, *arguments, **constants)
    key = Launch(row_backward_key, programs, *arguments, **constants)

    def run(
        dout: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, dq: Tensor, dk: Tensor, dv: Tensor,
        *others: Tensor | None,
    ) -> None:  # fmt: skip
        delta = torch.empty_like(lse)  # [B, H, N]
        query(dout, q, k, v, out, lse, delta, dq, *others)
        key(dout, q, k, v, lse, delta, dk, dv, *others)

    return run


def _mask_strides(call: Call, packed: bool) -> tuple[int, int, int]:
    """Batch strides of lead, valid and visible."""
    *_, mask, valid, _ = call.layouts()
    dims = 1 if packed else 2
    of_mask, of_valid = (x.batch_stride(dims) if x else 0 for x in (mask, valid))
    return (of_mask, of_valid, 0) if packed else (0, of_valid, of_mask)


def _constants(call: Call, packed: bool) -> dict[str, Any]:
    width = whole_head(call.shape[3])
    constants = call.common()
    del constants["PRECISION"]  # plain arithmetic
    return constants | {"W": width, "K": _ENTRIES // width, "ALL": call.all_visible, **SMALL}
