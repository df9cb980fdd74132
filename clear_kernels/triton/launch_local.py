"""Launches of the local kernels: class tokens and local beats of a grid."""

from __future__ import annotations

import torch
from torch import Tensor

from clear_kernels.triton import launch, tuning
from clear_kernels.triton.launch import Common
from clear_kernels.triton.local_backward import class_deltas, local_backward
from clear_kernels.triton.local_forward import local_forward
from clear_kernels.triton.merge import merge_class_gradients, merge_class_outputs
from clear_kernels.triton.tiling import (
    SMALL,
    LocalTile,
    Target,
    head_parts,
    heads_per_program,
    local_backward_tile,
    local_forward_tile,
    merge_block,
    next_power_of_two,
    splits,
)


def forward(
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
    common: Common,
    target: Target,
) -> None:
    """Write all rows of ``out`` and ``lse`` but those of visible, valid beats. Masks are uint8 [L, T] or [B, L, T]."""
    batch, heads, _, head_dim = q.shape
    dropout = seed is not None
    shape = leads, head_dim, q.element_size(), common.PRECISION, target
    rule = local_forward_tile(*shape, dropout=dropout, padded=valid is not None)

    def run(tile: LocalTile) -> None:
        parts, each, programs = _partition(batch * heads, beats, tile, target)
        part_out = part_lse = None
        if parts > 1:
            part_out = torch.empty((batch * heads, parts, leads, head_dim), dtype=torch.float32, device=q.device)
            part_lse = torch.empty((batch * heads, parts, leads), dtype=torch.float32, device=q.device)
        launch.start(
            local_forward, programs,
            q, k, v, out, lse, visible, valid, seed, part_out, part_lse,
            *launch.strides(q), *launch.strides(k), *launch.strides(v), *launch.strides(out),
            launch.batch_stride(visible, 2), launch.batch_stride(valid, 2),
            heads, beats, batch * heads, each, parts, **vars(common),
            L=leads, C=tile.columns, R=tile.rows, MULTIPLE=each > 1, SAME=_same_strides(q, k, v),
            PRESCALE=not launch.is_ordinary(common.scale), FAST=launch.approximates(q.dtype),
            STAGES=tile.stages, **tile.options(dropout=dropout),
        )  # fmt: skip
        if parts > 1:
            launch.start(
                merge_class_outputs, batch * heads * leads,
                part_out, part_lse, out, lse, *launch.strides(out), heads, parts, q.shape[2],
                L=leads, D=head_dim, DP=next_power_of_two(head_dim), BLOCK=merge_block(head_dim, parts), **SMALL,
            )  # fmt: skip

    question = launch.question("local_forward", q, leads, common, visible=visible, valid=valid, dropout=seed)
    run(tuning.best(question, rule, run, q.device))


def backward(
    dout: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    dq: Tensor,
    dk: Tensor,
    dv: Tensor,
    visible: Tensor | None,
    valid: Tensor | None,
    seed: Tensor | None,
    *,
    leads: int,
    beats: int,
    common: Common,
    target: Target,
) -> None:
    """Write all rows of dq, dk and dv but dq of visible, valid beats.

    With ``visible``, dk and dv must hold the dense kernels' part in the rows of class tokens and visible, valid beats.
    """
    batch, heads, _, head_dim = q.shape
    dropout = seed is not None
    shape = leads, head_dim, q.element_size(), common.PRECISION, target
    rule = local_backward_tile(*shape, dropout=dropout, padded=valid is not None)
    delta = torch.empty((batch, heads, leads), dtype=torch.float32, device=q.device)  # [B, H, L]
    main, tail = head_parts(head_dim)
    launch.start(
        class_deltas, batch * heads,
        dout, out, delta, *launch.strides(dout), *launch.strides(out), heads,
        L=leads, LP=next_power_of_two(leads), D=head_dim, D0=main, D1=tail, **SMALL,
    )  # fmt: skip

    def write(tile: LocalTile, dk: Tensor, dv: Tensor) -> None:
        parts = splits(batch * heads, -(-beats // tile.columns))
        part = None
        if parts > 1:
            part = torch.empty((3, batch * heads, parts, leads, head_dim), dtype=torch.float32, device=q.device)
        launch.start(
            local_backward, batch * heads * parts,
            dout, q, k, v, lse, delta, dq, dk, dv, visible, valid, seed, part,
            *launch.strides(dout), *launch.strides(q), *launch.strides(k), *launch.strides(v), *launch.strides(dq),
            launch.batch_stride(visible, 2), launch.batch_stride(valid, 2),
            heads, beats, batch * heads, parts, **vars(common),
            L=leads, C=tile.columns, R=tile.rows, SAME=_same_strides(q, k, v),
            STAGES=tile.stages, **tile.options(dropout=dropout),
        )  # fmt: skip
        if parts > 1:
            launch.start(
                merge_class_gradients, batch * heads * leads,
                part, dq, dk, dv, *launch.strides(dq), heads, batch * heads, parts,
                L=leads, D=head_dim, DP=next_power_of_two(head_dim), BLOCK=merge_block(head_dim, parts),
                ADD=visible is not None, **SMALL,
            )  # fmt: skip

    def try_out(tile: LocalTile) -> None:
        # With visible beats dk and dv are added to, which must happen once.
        add = visible is not None
        write(tile, torch.empty_like(dk) if add else dk, torch.empty_like(dv) if add else dv)

    question = launch.question("local_backward", q, leads, common, visible=visible, valid=valid, dropout=seed)
    write(tuning.best(question, rule, try_out, q.device), dk, dv)


def _partition(heads: int, beats: int, tile: LocalTile, target: Target) -> tuple[int, int, int]:
    """Parts of a head, heads of a program, and programs, for ``heads`` = B * H heads."""
    parts = splits(heads, -(-beats // tile.columns))
    if parts > 1:
        return parts, 1, heads * parts
    each = heads_per_program(heads, tile, target)
    return 1, each, -(-heads // each)


def _same_strides(q: Tensor, k: Tensor, v: Tensor) -> bool:
    return launch.strides(q) == launch.strides(k) == launch.strides(v)
