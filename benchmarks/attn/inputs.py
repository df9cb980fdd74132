"""Inputs as a model hands them over: queries, keys and values are views of one packed projection."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attn.cases import Case


@dataclass(frozen=True)
class Inputs:
    """One set of inputs; several are rotated so that caches do not flatter."""

    q: Tensor  # [B, H, N, D], a view of [B, N, 3, H, D], as are k and v
    k: Tensor
    v: Tensor
    dout: Tensor  # [B, H, N, D] over memory in the order [B, N, H, D]
    tokens: Tensor  # [B, N, H * D], for whole layers
    visible: Tensor | bool | None  # as beat_sparse_attention takes it
    lead: Tensor | None  # int [B, n], the packed form alone


def make_inputs(case: Case, device: torch.device, seed: int) -> Inputs:
    """Random inputs of a case; the masks depend on the case alone, so that mask-based contenders can build theirs."""
    generator = torch.Generator(device).manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=device, dtype=torch.float32).to(case.dtype)

    qkv = normal(case.batch, case.tokens, 3, case.heads, case.dim)  # [B, N, 3, H, D]
    q, k, v = (part.detach().requires_grad_() for part in qkv.permute(2, 0, 3, 1, 4).unbind(0))  # [B, H, N, D]
    dout = normal(case.batch, case.tokens, case.heads, case.dim).transpose(1, 2)  # [B, H, N, D]
    tokens = normal(case.batch, case.tokens, case.heads * case.dim).requires_grad_()  # [B, N, H * D]
    kept = kept_beats(case, device)
    visible: Tensor | bool | None = {"local": None, "encoder": True}.get(case.use)
    lead = None
    if case.use == "decoder":
        grid = torch.zeros(case.batch, case.leads * case.beats, dtype=torch.bool, device=device)
        visible = grid.scatter_(1, kept, True).view(case.batch, case.leads, case.beats)  # [B, L, T]
    if case.use == "packed":
        lead = kept // case.beats  # [B, n]
    return Inputs(q, k, v, dout, tokens, visible, lead)


def kept_beats(case: Case, device: torch.device) -> Tensor:
    """Indices of the kept beats of each sample in the lead-major grid: int64 [B, kept], sorted."""
    generator = torch.Generator().manual_seed(1)
    order = torch.rand(case.batch, case.leads * case.beats, generator=generator).argsort(1)  # [B, L * T]
    return order[:, : case.kept].sort(1).values.to(device)


def dense_mask(case: Case, rows: Tensor, sample: int, device: torch.device) -> Tensor:
    """Who may attend whom, for some query rows of one sample: bool [rows, N]. Written from the definition."""
    beat_index = torch.arange(case.tokens - case.leads, device=device)
    visible = torch.zeros_like(beat_index, dtype=torch.bool)
    if case.use in ("decoder", "packed"):
        kept = kept_beats(case, device)[sample]
        if case.use == "packed":
            beat_index = kept
            visible = torch.ones_like(kept, dtype=torch.bool)
        else:
            visible[kept] = True
    elif case.use == "encoder":
        visible = ~visible
    nothing = torch.full((case.leads,), -1, device=device)
    lead = torch.cat([torch.arange(case.leads, device=device), beat_index // case.beats])  # [N]
    beat = torch.cat([nothing, beat_index % case.beats])  # [N], -1 in class tokens
    visible = torch.cat([nothing > 0, visible])  # [N]

    is_class = beat < 0
    same_lead = lead[rows, None] == lead  # [rows, N]
    by_class = same_lead  # a class token attends itself and the beats of its lead
    own_class = same_lead & is_class
    local = ~is_class & (beat[rows, None] == beat)
    seen = visible.expand(len(rows), -1)
    by_beat = own_class | torch.where(visible[rows, None], seen, local)
    return torch.where(is_class[rows, None], by_class, by_beat)
