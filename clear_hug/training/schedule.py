"""Learning-rate schedule and parameter groups of both training stages."""

from __future__ import annotations

import math

import torch
from torch import nn


def learning_rate(step: int, *, total: int, warmup: int, peak: float, start: float, final: float) -> float:
    """Linear warm-up from `start` to `peak`, then half a cosine down to `final` (Loshchilov & Hutter 2017).

    Args:
        step: optimiser steps already taken, 0 … total - 1.
        total: steps of the whole run.
        warmup: steps of the warm-up; step `warmup` is the first at `peak`.
        peak: highest rate.
        start: rate of step 0, if there is a warm-up.
        final: rate of the last step.

    Raises:
        ValueError: `warmup` is not in 0 … total - 1, or total < 1.
    """
    if total < 1 or not 0 <= warmup < max(total, 1):
        raise ValueError(
            f"warm-up must end before training does: {warmup=} of {total=} steps; lower the warm-up epochs"
        )
    if step < warmup:
        return start + (peak - start) * step / warmup
    progress = min(1.0, (step - warmup) / max(1, total - 1 - warmup))
    return final + 0.5 * (peak - final) * (1 + math.cos(math.pi * progress))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter group the learning rate `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def no_decay_names(module: nn.Module) -> set[str]:
    """Names of the parameters that weight decay must leave alone: biases, norms, embeddings and learned tokens.

    A weight of a Linear is the only kind that decays: shrinking an embedding or a gain towards zero changes what a
    token *is* instead of regularising a map.
    """
    linear = {f"{name}.weight" if name else "weight" for name, m in module.named_modules() if isinstance(m, nn.Linear)}
    projections = {name for name, _ in module.named_parameters() if name.endswith("in_proj_weight")}
    return {name for name, _ in module.named_parameters() if name not in linear | projections}


def adamw(module: nn.Module, *, lr: float, betas: tuple[float, float], weight_decay: float) -> torch.optim.AdamW:
    """AdamW over the trainable parameters of `module`, decay on the weights of linear maps only."""
    spared = no_decay_names(module)
    trainable = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for name, p in trainable if name not in spared], "weight_decay": weight_decay},
        {"params": [p for name, p in trainable if name in spared], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=lr, betas=betas)
