"""Launches of the dense kernels: view-guided attention over a grid, packed tokens, or the visible beats of a grid."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clear_kernels.triton import launch, tuning
from clear_kernels.triton.dense_backward import dense_backward_key, dense_backward_query
from clear_kernels.triton.dense_forward import dense_forward
from clear_kernels.triton.launch import Common
from clear_kernels.triton.select import select_visible
from clear_kernels.triton.tile_backward import tile_backward
from clear_kernels.triton.tile_forward import tile_forward
from clear_kernels.triton.tiling import (
    SMALL,
    DenseTile,
    Target,
    WholeTile,
    dense_forward_tile,
    dense_key_tile,
    dense_query_tile,
    next_power_of_two,
    tile_share,
    whole_backward_tile,
    whole_forward_tile,
)


@dataclass(frozen=True)
class Sequence:
    """The tokens the dense kernels run over; see ``tokens.py``."""

    leads: int
    beats: int
    lead: Tensor | None = None  # int32 [n] or [B, n]
    valid: Tensor | None = None  # uint8 [n] or [B, n], or [L, T] or [B, L, T]
    valid_stride: int = 0
    index: Tensor | None = None  # int32 [1, N] or [B, N]
    count: Tensor | None = None  # int32 [1] or [B]

    def pointers(self) -> tuple[Tensor | None, ...]:
        """The kernels' arguments lead, valid, index and count."""
        return self.lead, self.valid, self.index, self.count

    def batch_strides(self) -> tuple[int, int, int, int]:
        """Batch strides of the same, 0 where the batch shares them."""
        per_batch = self.index is not None and self.index.shape[0] > 1
        width = self.index.shape[1] if self.index is not None and per_batch else 0
        return launch.batch_stride(self.lead, 1), self.valid_stride, width, int(per_batch)


def visible_sequence(visible: Tensor, valid: Tensor | None, *, leads: int, beats: int) -> Sequence:
    """The class tokens and the visible, valid beats of a grid: masks are uint8 [L, T] or [B, L, T]."""
    batch = max(mask.shape[0] if mask is not None and mask.dim() > 2 else 1 for mask in (visible, valid))
    index = torch.empty((batch, leads * (beats + 1)), dtype=torch.int32, device=visible.device)  # [B or 1, N]
    count = torch.empty((batch,), dtype=torch.int32, device=visible.device)  # [B or 1]
    launch.start(
        select_visible, batch,
        visible, valid, index, count, launch.batch_stride(visible, 2), launch.batch_stride(valid, 2), index.shape[1],
        leads * beats, L=leads, LP=next_power_of_two(leads), BLOCK=min(1024, next_power_of_two(leads * beats)), **SMALL,
    )  # fmt: skip
    return Sequence(leads, beats, index=index, count=count)


def forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    seed: Tensor | None,
    sequence: Sequence,
    common: Common,
    target: Target,
) -> None:
    """Write the rows of ``out`` and ``lse`` that the sequence's queries own."""
    batch, heads, tokens, head_dim = q.shape
    shape = head_dim, q.element_size(), common.PRECISION, target
    strides = *launch.strides(q), *launch.strides(k), *launch.strides(v), *launch.strides(out)
    softmax = {"PRESCALE": not launch.is_ordinary(common.scale), "FAST": launch.approximates(q.dtype)}
    whole, rule = whole_forward_tile(*shape), dense_forward_tile(*shape)

    def run_whole(tile: WholeTile) -> None:
        launch.start(
            tile_forward, batch * heads,
            q, k, v, out, lse, *sequence.pointers(), seed, *strides, *sequence.batch_strides(),
            heads, sequence.beats, tokens, **vars(common), **softmax,
            L=sequence.leads, M=tile.rows, **tile.options(dropout=seed is not None),
        )  # fmt: skip

    def run(tile: DenseTile) -> None:
        share = _share(batch * heads, -(-tokens // tile.queries), sequence)
        launch.start(
            dense_forward, batch * heads * share,
            q, k, v, out, lse, *sequence.pointers(), seed, *strides, *sequence.batch_strides(),
            heads, sequence.beats, tokens, share, whole.rows, **vars(common), **softmax,
            L=sequence.leads, M=tile.queries, N=tile.keys, EVEN=_even(sequence, tokens, tile), STAGES=tile.stages,
            **tile.options(dropout=seed is not None),
        )  # fmt: skip

    # Only the device knows how many beats are visible: both ways are launched then, and one of them returns at once.
    if sequence.count is not None or tokens <= whole.rows:
        run_whole(tuning.best(_question("tile_forward", q, sequence, common, seed), whole, run_whole, q.device))
    if tokens > whole.rows:
        run(tuning.best(_question("dense_forward", q, sequence, common, seed), rule, run, q.device))


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
    seed: Tensor | None,
    sequence: Sequence,
    common: Common,
    target: Target,
) -> None:
    """Write dq of the sequence's queries, and dk and dv of its keys."""
    batch, heads, tokens, head_dim = q.shape
    shape = head_dim, q.element_size(), common.PRECISION, target
    dropout = seed is not None
    inputs = *launch.strides(dout), *launch.strides(q), *launch.strides(k), *launch.strides(v)
    whole = whole_backward_tile(*shape, dropout=dropout)

    def run_whole(tile: WholeTile) -> None:
        launch.start(
            tile_backward, batch * heads,
            dout, q, k, v, lse, dq, dk, dv, *sequence.pointers(), seed, *inputs, *launch.strides(dq),
            *sequence.batch_strides(), heads, sequence.beats, tokens, **vars(common),
            L=sequence.leads, M=tile.rows, **tile.options(dropout=dropout),
        )  # fmt: skip

    if sequence.count is not None or tokens <= whole.rows:
        run_whole(tuning.best(_question("tile_backward", q, sequence, common, seed), whole, run_whole, q.device))
    if tokens <= whole.rows:
        return
    delta = torch.empty_like(lse)  # [B, H, N]

    def run_query(tile: DenseTile) -> None:
        share = _share(batch * heads, -(-tokens // tile.queries), sequence)
        launch.start(
            dense_backward_query, batch * heads * share,
            dout, q, k, v, out, lse, delta, dq, *sequence.pointers(), seed,
            *inputs, *launch.strides(out), *launch.strides(dq), *sequence.batch_strides(),
            heads, sequence.beats, tokens, share, whole.rows, **vars(common),
            L=sequence.leads, M=tile.queries, N=tile.keys, EVEN=_even(sequence, tokens, tile), STAGES=tile.stages,
            **tile.options(dropout=dropout),
        )  # fmt: skip

    def run_key(tile: DenseTile) -> None:
        share = _share(batch * heads, -(-tokens // tile.keys), sequence)
        launch.start(
            dense_backward_key, batch * heads * share,
            dout, q, k, v, lse, delta, dk, dv, *sequence.pointers(), seed,
            *inputs, *launch.strides(dk), *sequence.batch_strides(),
            heads, sequence.beats, tokens, share, whole.rows, **vars(common),
            L=sequence.leads, M=tile.queries, N=tile.keys, STAGES=tile.stages,
            **tile.options(dropout=dropout),
        )  # fmt: skip

    rule = dense_query_tile(*shape, dropout=dropout)
    run_query(tuning.best(_question("dense_backward_query", q, sequence, common, seed), rule, run_query, q.device))
    rule = dense_key_tile(*shape)
    run_key(tuning.best(_question("dense_backward_key", q, sequence, common, seed), rule, run_key, q.device))


def _question(kernel: str, q: Tensor, sequence: Sequence, common: Common, seed: Tensor | None) -> tuning.Question:
    present = {"lead": sequence.lead, "valid": sequence.valid, "index": sequence.index, "dropout": seed}
    return launch.question(kernel, q, sequence.leads, common, **present)


def _even(sequence: Sequence, tokens: int, tile: DenseTile) -> bool:
    """Whether every tile of keys is full of real tokens."""
    return sequence.valid is None and sequence.index is None and tokens % tile.keys == 0


def _share(heads: int, tiles: int, sequence: Sequence) -> int:
    """Programs per head: one for each tile, fewer where most tiles may be empty."""
    return tiles if sequence.count is None else tile_share(heads, tiles)
