"""Launches of the local kernels: class tokens and local beats of a grid."""

from __future__ import annotations

import torch
from torch import Tensor

from clear_kernels.backends.memory import token_major_strides
from clear_kernels.triton.fitting import fitted
from clear_kernels.triton.local_backward import local_backward
from clear_kernels.triton.local_forward import local_forward
from clear_kernels.triton.merge import merge_class_gradients, merge_class_outputs
from clear_kernels.triton.prepared import Call, Launch, Layout, Start, Tuned
from clear_kernels.triton.tiling import (
    SMALL,
    LocalTile,
    Target,
    heads_per_program,
    is_split,
    local_backward_tile,
    local_forward_tile,
    merge_block,
    next_power_of_two,
    splits,
)


def forward(call: Call) -> Tuned[LocalTile]:
    """What writes all rows of ``out`` and ``lse`` but those of visible, valid beats.

    ``call`` is of q, k, v, visible, valid, seed, and starts are on q, k, v, out, lse, visible, valid, seed. Masks are
    [L, T] or [B, L, T].
    """
    q, k, v, visible, valid, seed = call.layouts()
    _, heads, tokens, head_dim = call.shape
    dropout = seed is not None
    strides = token_major_strides(call.shape)[:3]

    def start(tile: LocalTile) -> Start:
        parts, each, programs = _partition(call.heads, call.beats, tile, call.target)
        main = Launch(
            local_forward, programs,
            *q.strides, *k.strides, *v.strides, *strides, _batch_stride(visible), _batch_stride(valid),
            heads, call.beats, call.heads, each, parts, **call.common(), **call.softmax(),
            C=tile.columns, R=tile.rows, MULTIPLE=each > 1, SAME=q.strides == k.strides == v.strides,
            STAGES=tile.stages, LATE=tile.late, **tile.options(dropout=dropout),
        )  # fmt: skip
        if parts == 1:
            return lambda *tensors: main(*tensors, None, None)
        merge = Launch(
            merge_class_outputs, call.heads * call.leads, *strides, heads, parts, tokens,
            L=call.leads, D=head_dim, DP=next_power_of_two(head_dim), BLOCK=merge_block(head_dim, parts), **SMALL,
        )  # fmt: skip

        def in_parts(q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, *others: Tensor | None) -> None:
            shape = call.heads, parts, call.leads
            part_out = torch.empty((*shape, head_dim), dtype=torch.float32, device=q.device)
            part_lse = torch.empty(shape, dtype=torch.float32, device=q.device)
            main(q, k, v, out, lse, *others, part_out, part_lse)
            merge(part_out, part_lse, out, lse)

        return in_parts

    split = is_split(call.heads, call.beats, call.leads)
    rule = local_forward_tile(call.leads, *call.tile_shape(), dropout=dropout, padded=valid is not None, split=split)
    rule = fitted("local_forward", rule, *call.tile_shape(), call.leads)
    return Tuned(call, call.question("local_forward", visible=visible, valid=valid, dropout=seed), rule, start)


def backward(call: Call) -> Tuned[LocalTile]:
    """What writes all rows of dq, dk and dv but dq of visible, valid beats.

    ``call`` is of q, k, v, dout, out, lse, visible, valid, seed, and starts are on dout, q, k, v, out, lse, dq, dk, dv,
    visible, valid, seed. With ``visible``, dk and dv must hold the dense kernels' part in the rows of class tokens and
    visible, valid beats; they are added to, which must happen once.
    """
    q, k, v, dout, _, _, visible, valid, seed = call.layouts()
    _, heads, _, head_dim = call.shape
    dropout = seed is not None
    strides = token_major_strides(call.shape)[:3]

    def start(tile: LocalTile) -> Start:
        parts = splits(call.heads, -(-call.beats // tile.columns))
        main = Launch(
            local_backward, call.heads * parts,
            *dout.strides, *q.strides, *k.strides, *v.strides, *strides, _batch_stride(visible), _batch_stride(valid),
            heads, call.beats, call.heads, parts, **call.common(),
            C=tile.columns, R=tile.rows, SAME=q.strides == k.strides == v.strides,
            STAGES=tile.stages, LATE=tile.late, **tile.options(dropout=dropout),
        )  # fmt: skip
        if parts == 1:
            return lambda *tensors: main(*tensors, None)
        merge = Launch(
            merge_class_gradients, call.heads * call.leads, *strides, heads, call.heads, parts,
            L=call.leads, D=head_dim, DP=next_power_of_two(head_dim), BLOCK=merge_block(head_dim, parts),
            ADD=visible is not None, **SMALL,
        )  # fmt: skip

        def in_parts(*tensors: Tensor | None) -> None:
            shape = 3, call.heads, parts, call.leads, head_dim
            part = torch.empty(shape, dtype=torch.float32, device=call.device)
            main(*tensors, part)
            merge(part, *tensors[6:9])

        return in_parts

    rule = local_backward_tile(
        call.leads,
        *call.tile_shape(),
        dropout=dropout,
        padded=valid is not None,
        visible=visible is not None,
        split=is_split(call.heads, call.beats, call.leads),
    )
    rule = fitted("local_backward", rule, *call.tile_shape(), call.leads)
    return Tuned(call, call.question("local_backward", visible=visible, valid=valid, dropout=seed), rule, start)


def _partition(heads: int, beats: int, tile: LocalTile, target: Target) -> tuple[int, int, int]:
    """Parts of a head, heads of a program, and programs, for ``heads`` = B * H heads."""
    parts = splits(heads, -(-beats // tile.columns))
    if parts > 1:
        return parts, 1, heads * parts
    each = heads_per_program(heads, tile, target)
    return 1, each, -(-heads // each)


def _batch_stride(mask: Layout | None) -> int:
    return mask.batch_stride(2) if mask else 0
