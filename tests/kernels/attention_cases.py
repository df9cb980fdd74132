"""Hypothesis strategies for attention calls: shapes, dtypes, memory layouts and masks, printed as one small object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
LAYOUTS = ("heads_first", "token_major", "packed_qkv", "expanded", "offset", "strided_last")
HEAD_DIMS = (8, 9, 16, 31, 32, 40, 64, 96, 100, 128, 200, 256)
MASKS = (None, "shared", "batch")
PATTERNS = ("random", "sparse", "none", "all", "empty_lead", "one_beat")


@dataclass(frozen=True)
class Case:
    """One attention call. ``beats`` is T of the grid form and n of the packed form."""

    form: str
    leads: int
    beats: int
    batch: int = 2
    heads: int = 2
    dim: int = 16
    dtype: torch.dtype = torch.float32
    layout: str = "packed_qkv"
    visible: str | bool | None = None
    valid: str | None = None
    pattern: str = "random"  # of valid
    seen: str = "random"  # the pattern of visible
    lead: str = "shared"
    amplitude: float = 1.0
    peak: float = 0.0  # of the grid form: the logit of one beat of every lead to its class token, if it is not 0
    dropout_p: float = 0.0
    seed: int = 0

    @property
    def tokens(self) -> int:
        """Length of the sequence."""
        return self.leads * (self.beats + 1) if self.form == "grid" else self.leads + self.beats

    def tensors(self, device: str = "cpu") -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """q, k, v in the case's layout, and a gradient of the output, all of the case's dtype."""
        generator = torch.Generator().manual_seed(self.seed)
        shape = (self.batch, self.tokens, 3, self.heads, self.dim)
        data = torch.randn(shape, generator=generator) * self.amplitude
        if self.peak:
            leads = torch.arange(self.leads)
            data[:, leads, 1] = data[:, self.leads + leads * self.beats + leads % self.beats, 0] = (
                self.peak**0.5 / self.dim**0.25
            )
        data = data.to(device, self.dtype)
        dout = torch.randn(shape[:2] + shape[3:], generator=generator).to(device, self.dtype).transpose(1, 2)
        q, k, v = (lay_out(x, self.layout) for x in data.permute(2, 0, 3, 1, 4).unbind(0))
        return q, k, v, dout

    def options(self, device: str = "cpu") -> dict[str, Any]:
        """The keyword arguments of the public function, without ``backend``."""
        generator = torch.Generator().manual_seed(self.seed + 1)
        made: dict[str, Any] = {"leads": self.leads}
        if self.form == "grid":
            made["beats"] = self.beats
            shape: tuple[int, ...] = (self.leads, self.beats)
            if self.visible is not None:
                visible = self.visible is True or self._mask(shape, str(self.visible), self.seen, generator).to(device)
                made["visible"] = visible
        else:
            shape = (self.beats,)
            full = shape if self.lead == "shared" else (self.batch, *shape)
            made["lead"] = torch.randint(0, self.leads, full, generator=generator).to(device)
        if self.valid is not None:
            made["valid"] = self._mask(shape, self.valid, self.pattern, generator).to(device)
        if self.dropout_p:
            made |= {"dropout_p": self.dropout_p, "seed": self.seed}
        return made

    def _mask(self, shape: tuple[int, ...], kind: str, pattern: str, generator: torch.Generator) -> Tensor:
        full = shape if kind == "shared" else (self.batch, *shape)
        density = {"none": 0.0, "all": 1.0, "sparse": 0.2}.get(pattern, 0.6)
        mask = torch.rand(full, generator=generator) < density
        if pattern == "empty_lead":
            mask[..., 0, :] = False
        if pattern == "one_beat":
            mask[:] = False
            mask.flatten()[int(torch.randint(mask.numel(), (), generator=generator))] = True
        return mask


def lay_out(x: Tensor, layout: str) -> Tensor:
    """``x`` [B, H, N, D], a view of a packed projection, in the memory layout of that name."""
    if layout == "heads_first":
        return x.contiguous()
    if layout == "token_major":
        return x.transpose(1, 2).contiguous().transpose(1, 2)
    if layout == "expanded":
        return x[:1].expand_as(x)
    if layout == "offset":  # neither the start nor the rows are aligned
        wider = torch.zeros(*x.shape[:3], x.shape[3] + 3, dtype=x.dtype, device=x.device)
        wider[..., 1:-2] = x
        return wider[..., 1:-2]
    if layout == "strided_last":
        return x.transpose(-1, -2).contiguous().transpose(-1, -2)
    return x


def _sizes(form: str) -> st.SearchStrategy[tuple[int, int]]:
    """Leads and beats with at most some 200 tokens."""
    small = st.tuples(st.integers(1, 6), st.integers(1, 9))
    wide = st.sampled_from([(12, 15), (12, 1), (1, 1), (1, 40), (64, 2), (33, 3), (16, 5), (17, 4), (2, 70)])
    if form == "grid":
        return small | wide
    return st.tuples(st.sampled_from([1, 2, 3, 5, 12, 16, 17, 64]), st.integers(1, 20) | st.sampled_from([36, 64, 100]))


@st.composite
def cases(draw: st.DrawFn, form: str, **fixed: Any) -> Case:
    """Calls of one form; keyword arguments fix fields."""
    leads, beats = draw(_sizes(form))
    patterns = PATTERNS if form == "grid" else PATTERNS[:4] + PATTERNS[5:]
    drawn = {
        "leads": leads,
        "beats": beats,
        "batch": draw(st.integers(1, 3)),
        "heads": draw(st.integers(1, 2)),
        "dim": draw(st.sampled_from(HEAD_DIMS)),
        "dtype": draw(st.sampled_from(DTYPES)),
        "layout": draw(st.sampled_from(LAYOUTS)),
        "visible": draw(st.sampled_from((None, True, "shared", "batch"))) if form == "grid" else None,
        "valid": draw(st.sampled_from(MASKS)),
        "pattern": draw(st.sampled_from(patterns)),
        "seen": draw(st.sampled_from(patterns)),
        "lead": draw(st.sampled_from(("shared", "batch"))),
        "amplitude": draw(st.sampled_from((1.0, 4.0))),
        "dropout_p": draw(st.sampled_from((0.0, 0.0, 0.1, 0.5))),
        "seed": draw(st.integers(0, 2**32 - 1)),
    }
    return Case(form, **(drawn | fixed))
