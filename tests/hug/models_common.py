"""Batches and small models that the model tests share."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from clear_hug.models import CLEAR, CLEARConfig

LEADS = ("I", "II", "V1")
SMALL: dict[str, Any] = {
    "leads": LEADS, "beats": 4, "beat_samples": 10, "seconds": 12,
    "embed_dim": 16, "depth": 2, "heads": 2, "mlp_dim": 24,
    "decoder_dim": 8, "decoder_depth": 2, "decoder_heads": 1, "decoder_mlp_dim": 12,
    "mask_ratio": 0.6,
}  # fmt: skip


class Batch(NamedTuple):
    tokens: Tensor
    valid: Tensor
    seconds: Tensor


def small_config(**overrides: Any) -> CLEARConfig:
    return CLEARConfig(**{**SMALL, **overrides})


def small_clear(*, backend: str | None = None, **overrides: Any) -> CLEAR:
    torch.manual_seed(1)
    return CLEAR(small_config(**overrides), backend=backend).eval()


def random_batch(config: CLEARConfig, size: int = 3, *, seed: int = 5, padding: bool = True) -> Batch:
    """Beats of about 1 mV; with padding, the later slots of later samples are empty and so is a lead of the second."""
    generator = torch.Generator().manual_seed(seed)
    leads, beats = config.lead_count, config.beats
    tokens = torch.randn(size, leads, beats, config.beat_samples, generator=generator)
    valid = torch.ones(size, leads, beats, dtype=torch.bool)
    seconds = torch.arange(1, beats + 1).clamp(max=config.seconds - 1).repeat(size, 1)
    if padding:
        for sample in range(size):
            valid[sample, :, beats - sample % beats :] = False
        if leads > 1 and size > 1:
            valid[1, 1] = False
    seconds = seconds.masked_fill(~valid.any(dim=1), 0)
    return Batch(tokens.masked_fill(~valid[..., None], 0.0), valid, seconds)
