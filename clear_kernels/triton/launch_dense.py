"""Launches of the dense kernels: view-guided attention over a grid, packed tokens, or the visible beats of a grid."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from clear_kernels.backends.memory import token_major_strides
from clear_kernels.triton.dense_backward import dense_backward_key, dense_backward_query
from clear_kernels.triton.dense_forward import dense_forward
from clear_kernels.triton.fitting import fitted
from clear_kernels.triton.prepared import Call, Launch, Layout, Start, Tuned
from clear_kernels.triton.select import select_visible
from clear_kernels.triton.tile_backward import tile_backward
from clear_kernels.triton.tile_forward import tile_forward
from clear_kernels.triton.tiling import (
    SMALL,
    DenseTile,
    WholeTile,
    dense_forward_tile,
    dense_key_tile,
    dense_query_tile,
    next_power_of_two,
    tile_share,
    whole_backward_tile,
    whole_forward_tile,
)
from clear_kernels.triton.tuning import Question


class Sequence(NamedTuple):
    """The tokens the dense kernels run over; see ``tokens.py``.

    The kernels take four tensors for them, each of which may be None: lead (int32 [n] or [B, n]), valid (bool [n] or
    [B, n], or [L, T] or [B, L, T]), index (int32 [1, N] or [B, N]) and count (int32 [1] or [B]).
    Flags say which are there (``listed``: index and count), ``batch_strides`` what leads to those of a batch, 0 where
    they are shared.
    """

    beats: int
    lead: bool = False
    valid: bool = False
    listed: bool = False
    batch_strides: tuple[int, int, int, int] = (0, 0, 0, 0)


def visible_sequence(call: Call, visible: Layout, valid: Layout | None) -> tuple[Sequence, Start]:
    """The class tokens and the visible, valid beats of a grid, whose masks are [L, T] or [B, L, T].

    Also what lists them: it is started on visible, valid, and an empty index and count from :func:`empty_list`.
    """
    batch = call.shape[0] if any(mask and len(mask.shape) > 2 for mask in (visible, valid)) else 1
    beats, tokens = call.leads * call.beats, call.shape[2]
    select = Launch(
        select_visible, batch, visible.batch_stride(2), valid.batch_stride(2) if valid else 0, tokens, beats,
        L=call.leads, LP=next_power_of_two(call.leads), BLOCK=min(1024, next_power_of_two(beats)), **SMALL,
    )  # fmt: skip
    strides = (0, 0, tokens, 1) if batch > 1 else (0, 0, 0, 0)
    return Sequence(call.beats, listed=True, batch_strides=strides), select


def empty_list(visible: Tensor, valid: Tensor | None, tokens: int) -> tuple[Tensor, Tensor]:
    """Memory for index [B or 1, N] and count [B or 1]."""
    batch = max(mask.shape[0] if mask is not None and mask.dim() > 2 else 1 for mask in (visible, valid))
    index = torch.empty((batch, tokens), dtype=torch.int32, device=visible.device)
    return index, torch.empty((batch,), dtype=torch.int32, device=visible.device)


def forward(call: Call, sequence: Sequence) -> Start:
    """What writes the rows of ``out`` and ``lse`` that the sequence's queries own.

    The first tensors of ``call`` are q, k, v, its last is the seed. Starts are on q, k, v, out, lse, the sequence's
    four and seed.
    """
    q, k, v, *_, seed = call.layouts()
    _, heads, tokens, _ = call.shape
    strides = *q.strides, *k.strides, *v.strides, *token_major_strides(call.shape)[:3], *sequence.batch_strides
    dropout = seed is not None
    shape = call.tile_shape()
    whole = fitted("tile_forward", whole_forward_tile(*shape), *shape)
    rule = fitted("dense_forward", dense_forward_tile(*shape, padded=sequence.valid), *shape)

    def start_whole(tile: WholeTile) -> Start:
        return Launch(
            tile_forward, call.heads, *strides, heads, sequence.beats, tokens, **call.common(), **call.softmax(),
            M=tile.rows, **tile.options(dropout=dropout),
        )  # fmt: skip

    def start(tile: DenseTile) -> Start:
        share = _share(call.heads, -(-tokens // tile.queries), sequence)
        return Launch(
            dense_forward, call.heads * share,
            *strides, heads, sequence.beats, tokens, share, whole.rows, **call.common(), **call.softmax(),
            M=tile.queries, N=tile.keys, EVEN=_even(sequence, tokens, tile), STAGES=tile.stages,
            **tile.options(dropout=dropout),
        )  # fmt: skip

    one = Tuned(call, _question("tile_forward", call, sequence, seed), whole, start_whole)
    several = Tuned(call, _question("dense_forward", call, sequence, seed), rule, start)

    def run(*tensors: Tensor | None) -> None:
        # Only the device knows how many beats are visible: both ways are launched then, and one returns at once.
        if sequence.listed or tokens <= whole.rows:
            one(*tensors)
        if tokens > whole.rows:
            several(*tensors)

    return run


def backward(call: Call, sequence: Sequence) -> Start:
    """What writes dq of the sequence's queries, and dk and dv of its keys.

    The first tensors of ``call`` are q, k, v, dout, its last is the seed. Starts are on dout, q, k, v, out, lse, dq,
    dk, dv, the sequence's four and seed.
    """
    q, k, v, dout, *_, seed = call.layouts()
    _, heads, tokens, _ = call.shape
    dropout = seed is not None
    inputs = *dout.strides, *q.strides, *k.strides, *v.strides
    results = token_major_strides(call.shape)[:3]
    shape = call.tile_shape()
    whole = fitted("tile_backward", whole_backward_tile(*shape, dropout=dropout), *shape)

    def start_whole(tile: WholeTile) -> Start:
        return Launch(
            tile_backward, call.heads, *inputs, *results, *sequence.batch_strides, heads, sequence.beats, tokens,
            **call.common(), M=tile.rows, **tile.options(dropout=dropout),
        )  # fmt: skip

    def start_query(tile: DenseTile) -> Start:
        share = _share(call.heads, -(-tokens // tile.queries), sequence)
        return Launch(
            dense_backward_query, call.heads * share,
            *inputs, *results, *results, *sequence.batch_strides,
            heads, sequence.beats, tokens, share, whole.rows, **call.common(),
            M=tile.queries, N=tile.keys, EVEN=_even(sequence, tokens, tile), STAGES=tile.stages,
            **tile.options(dropout=dropout),
        )  # fmt: skip

    def start_key(tile: DenseTile) -> Start:
        share = _share(call.heads, -(-tokens // tile.keys), sequence)
        return Launch(
            dense_backward_key, call.heads * share,
            *inputs, *results, *sequence.batch_strides,
            heads, sequence.beats, tokens, share, whole.rows, **call.common(),
            M=tile.queries, N=tile.keys, STAGES=tile.stages, **tile.options(dropout=dropout),
        )  # fmt: skip

    rule = fitted("dense_backward_query", dense_query_tile(*shape, dropout=dropout), *shape)
    one = Tuned(call, _question("tile_backward", call, sequence, seed), whole, start_whole)
    query = Tuned(call, _question("dense_backward_query", call, sequence, seed), rule, start_query)
    rule = dense_key_tile(*shape, listed=sequence.listed, dropout=dropout)
    rule = fitted("dense_backward_key", rule, *shape)
    key = Tuned(call, _question("dense_backward_key", call, sequence, seed), rule, start_key)

    def run(
        dout: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, dq: Tensor, dk: Tensor, dv: Tensor,
        *others: Tensor | None,
    ) -> None:  # fmt: skip
        if sequence.listed or tokens <= whole.rows:
            one(dout, q, k, v, lse, dq, dk, dv, *others)
        if tokens > whole.rows:
            delta = torch.empty_like(lse)  # [B, H, N]
            query(dout, q, k, v, out, lse, delta, dq, *others)
            key(dout, q, k, v, lse, delta, dk, dv, *others)

    return run


def _question(kernel: str, call: Call, sequence: Sequence, seed: Layout | None) -> Question:
    present = {"lead": sequence.lead, "valid": sequence.valid, "index": sequence.listed, "dropout": seed}
    return call.question(kernel, **present)


def _even(sequence: Sequence, tokens: int, tile: DenseTile) -> bool:
    """Whether every tile of keys is full of real tokens."""
    return not sequence.valid and not sequence.listed and tokens % tile.keys == 0


def _share(heads: int, tiles: int, sequence: Sequence) -> int:
    """Programs per head: one for each tile, fewer where most tiles may be empty."""
    return tile_share(heads, tiles) if sequence.listed else tiles
