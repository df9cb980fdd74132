"""Sparse attention in pure PyTorch: per lead, per heartbeat column, and over the visible beats. No N x N mask.

Runs on any device and differentiates to any order. Cost and memory are linear in T while no beat is visible, plus the
square of the number of visible beats. Half precision is accumulated in float32.

The visible beats of a ``visible`` tensor are compacted to the largest count in the batch, and reading that count waits
for the device once per call. Where it cannot be read (tracing, CUDA-graph capture) all beats are taken instead: the
same numbers at dense cost. With ``visible`` None or True nothing is ever waited for.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from clear_kernels.autocast import without_autocast
from clear_kernels.checks import GridCall, PackedCall, readable_now
from clear_kernels.philox import batch_heads, keep_mask


class _Dropout(NamedTuple):
    """What decides on the dropout of attention weights."""

    seed: Tensor | None  # int64 [1]
    row: Tensor  # int64 [B, H, 1, 1], batch * H + head
    dropout_p: float


def beat_attention(call: GridCall) -> Tensor:
    """Attention over the grid of beats: [B, H, N, D]."""
    L, T = call.leads, call.beats
    real = None if call.valid is None else call.valid.flatten(-2)  # [(B), L*T]
    q, k, v = (_working(x, real, L) for x in (call.q, call.k, call.v))  # [B, H, N, D]
    dropout = _Dropout(call.seed, batch_heads(q.shape[0], q.shape[1], q.device), call.dropout_p)
    lead = torch.arange(L, device=q.device).repeat_interleave(T)  # [L*T]
    with without_autocast(q.device):
        if call.all_visible:
            beat_out = _global_rows(q, k, v, lead, None, real, L, call.scale, dropout)  # [B, H, L*T, D]
        else:
            beat_out = _local_rows(q, k, v, call, dropout)  # [B, H, L*T, D]
        if call.visible is not None:
            seen = call.visible if call.valid is None else call.visible & call.valid  # [(B), L, T]
            beat_out = _overwrite_global(beat_out, q, k, v, lead, seen.flatten(-2), call, dropout)
        return _assemble(_class_rows(q, k, v, call, dropout), beat_out, real).to(call.q.dtype)


def packed_attention(call: PackedCall) -> Tensor:
    """Attention over packed beats: [B, H, L + n, D]."""
    L, lead, real = call.leads, call.lead, call.valid
    q, k, v = (_working(x, real, L) for x in (call.q, call.k, call.v))  # [B, H, L + n, D]
    dropout = _Dropout(call.seed, batch_heads(q.shape[0], q.shape[1], q.device), call.dropout_p)
    token = torch.arange(q.shape[2], device=q.device)  # [L + n]
    own = lead[..., None, :] == token[:L, None]  # [(B), L, n]
    if real is not None:
        own = own & real[..., None, :]
    itself = (token[:L, None] == token[:L]).expand(*own.shape[:-1], L)  # [(B), L, L]
    allowed = _over_heads(torch.cat([itself, own], -1), 2)  # [(B, 1), L, L + n]
    with without_autocast(q.device):
        class_out = _attend(q[:, :, :L], k, v, allowed, token[:L, None], token, call.scale, dropout)  # [B, H, L, D]
        beat_out = _global_rows(q, k, v, lead, None, real, L, call.scale, dropout)  # [B, H, n, D]
        return _assemble(class_out, beat_out, real).to(call.q.dtype)


def _class_rows(q: Tensor, k: Tensor, v: Tensor, call: GridCall, dropout: _Dropout) -> Tensor:
    """Class tokens, each over itself and the beats of its lead: [B, H, L, D]."""
    L, T = call.leads, call.beats
    q, k_own, v_own = q[:, :, :L], k[:, :, :L], v[:, :, :L]  # [B, H, L, D]
    k_beats, v_beats = (x[:, :, L:].unflatten(2, (L, T)) for x in (k, v))  # [B, H, L, T, D]
    to_itself = (q * k_own).sum(-1, keepdim=True)  # [B, H, L, 1]
    to_beats = (k_beats @ q[..., None]).squeeze(-1)  # [B, H, L, T]
    if call.valid is not None:
        to_beats = to_beats.masked_fill(~_over_heads(call.valid, 2), -torch.inf)
    weights = (torch.cat([to_itself, to_beats], -1) * call.scale).softmax(-1)  # [B, H, L, 1 + T]
    own = torch.arange(L, device=q.device)[:, None]  # [L, 1]
    beats = L + torch.arange(L * T, device=q.device).view(L, T)  # [L, T]
    weights = _drop(dropout, weights, own, torch.cat([own, beats], -1))
    return weights[..., :1] * v_own + (weights[..., None, 1:] @ v_beats).squeeze(-2)


def _local_rows(q: Tensor, k: Tensor, v: Tensor, call: GridCall, dropout: _Dropout) -> Tensor:
    """Every beat as a local one, over its own class token and its heartbeat in all leads: [B, H, L*T, D]."""
    L, T = call.leads, call.beats
    k_class, v_class = k[:, :, None, :L], v[:, :, None, :L]  # [B, H, 1, L, D]
    q, k, v = (x[:, :, L:].unflatten(2, (L, T)).transpose(2, 3) for x in (q, k, v))  # [B, H, T, L, D]
    to_class = (q * k_class).sum(-1, keepdim=True)  # [B, H, T, L, 1]
    to_column = q @ k.transpose(-1, -2)  # [B, H, T, L, L]
    if call.valid is not None:
        column = _over_heads(call.valid.transpose(-1, -2), 2)[..., None, :]  # [(B, 1), T, 1, L]
        to_column = to_column.masked_fill(~column, -torch.inf)
    weights = (torch.cat([to_class, to_column], -1) * call.scale).softmax(-1)  # [B, H, T, L, 1 + L]
    beats = L + torch.arange(L * T, device=q.device).view(L, T).transpose(0, 1)  # [T, L]
    own = torch.arange(L, device=q.device)[:, None].expand(T, L, 1)  # [T, L, 1]
    weights = _drop(dropout, weights, beats[..., None], torch.cat([own, beats[:, None].expand(T, L, L)], -1))
    out = weights[..., :1] * v_class + weights[..., 1:] @ v  # [B, H, T, L, D]
    return out.transpose(2, 3).flatten(2, 3)


def _overwrite_global(
    local: Tensor, q: Tensor, k: Tensor, v: Tensor, lead: Tensor, seen: Tensor, call: GridCall, dropout: _Dropout
) -> Tensor:
    """``local`` [B, H, L*T, D] with the rows of the global beats, ``seen`` [(B), L*T], computed as such."""
    if not readable_now(seen):
        out = _global_rows(q, k, v, lead, None, seen, call.leads, call.scale, dropout)  # [B, H, L*T, D]
        return torch.where(_over_heads(seen)[..., None], out, local)
    most = int(seen.sum(-1).amax()) if seen.numel() else 0
    index = seen.byte().argsort(dim=-1, descending=True, stable=True)[..., :most]  # [(B), M] the global beats first
    present = seen.gather(-1, index)  # [(B), M]
    out = _global_rows(q, k, v, lead[index], index, present, call.leads, call.scale, dropout)  # [B, H, M, D]
    slot = _over_heads(index)[..., None].expand_as(out)  # [B, H, M, D]
    out = torch.where(_over_heads(present)[..., None], out, local.gather(2, slot))
    return local.scatter(2, slot, out)


def _global_rows(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lead: Tensor,
    index: Tensor | None,
    present: Tensor | None,
    leads: int,
    scale: float,
    dropout: _Dropout,
) -> Tensor:
    """The beats at ``index`` (None: all of them), each over its own class token and those ``present``: [B, H, M, D].

    ``lead``, ``index`` and ``present`` are [M] or [B, M].
    """
    token = torch.arange(q.shape[2], device=q.device)  # [L + beats]
    if index is not None:
        token = torch.cat([token[:leads].expand(*index.shape[:-1], leads), leads + index], -1)  # [(B), L + M]
        slot = _over_heads(token)[..., None].expand(*q.shape[:2], -1, q.shape[3])  # [B, H, L + M, D]
        q, k, v = (x.gather(2, slot) for x in (q, k, v))
    own = lead[..., :, None] == torch.arange(leads, device=q.device)  # [(B), M, L]
    among = torch.ones_like(lead, dtype=torch.bool) if present is None else present  # [(B), M]
    batch = torch.broadcast_shapes(own.shape[:-2], among.shape[:-1])
    among = among[..., None, :].expand(*batch, lead.shape[-1], -1)  # [(B), M, M]
    allowed = _over_heads(torch.cat([own.expand(*batch, -1, -1), among], -1), 2)  # [(B, 1), M, L + M]
    token = _over_heads(token)[..., None, :]  # [(B, 1), 1, L + M]
    query = token[..., leads:].transpose(-1, -2)  # [(B, 1), M, 1]
    return _attend(q[:, :, leads:], k, v, allowed, query, token, scale, dropout)


def _attend(
    q: Tensor, k: Tensor, v: Tensor, allowed: Tensor, query: Tensor, key: Tensor, scale: float, dropout: _Dropout
) -> Tensor:
    """Masked softmax attention of q [B, H, Q, D] over k, v [B, H, K, D]; every row is allowed some key."""
    scores = (q @ k.transpose(-1, -2) * scale).masked_fill(~allowed, -torch.inf)  # [B, H, Q, K]
    return _drop(dropout, scores.softmax(-1), query, key) @ v


def _drop(dropout: _Dropout, weights: Tensor, query: Tensor, key: Tensor) -> Tensor:
    """``weights`` [B, H, ..., Q, K] after dropout; the sequence positions ``query`` and ``key`` broadcast with them."""
    if dropout.seed is None:
        return weights
    row = dropout.row.unflatten(-1, (1,) * (weights.dim() - 3))  # [B, H, 1, ..., 1]
    keep = keep_mask(dropout.seed, batch_head=row, query=query, key=key, dropout_p=dropout.dropout_p)
    return weights * keep / (1.0 - dropout.dropout_p)


def _working(x: Tensor, real: Tensor | None, leads: int) -> Tensor:
    """``x`` [B, H, L + n, D] in the accumulation dtype, zero in padding, which may hold anything."""
    if real is not None:
        is_class = torch.ones(*real.shape[:-1], leads, dtype=torch.bool, device=x.device)
        x = torch.where(_over_heads(torch.cat([is_class, real], -1))[..., None], x, 0)
    return x.to(torch.float64 if x.dtype == torch.float64 else torch.float32)


def _assemble(class_out: Tensor, beat_out: Tensor, real: Tensor | None) -> Tensor:
    """Class rows, then beats with padding set to 0: [B, H, L + n, D] over memory in the order [B, L + n, H, D]."""
    if real is not None:
        beat_out = torch.where(_over_heads(real)[..., None], beat_out, 0)
    return torch.cat([class_out.transpose(1, 2), beat_out.transpose(1, 2)], 1).transpose(1, 2)


def _over_heads(x: Tensor, trailing: int = 1) -> Tensor:
    """Give ``x``, of ``trailing`` dimensions and maybe a batch, a head dimension: [...] or [B, 1, ...]."""
    return x if x.dim() == trailing else x.unsqueeze(1)
