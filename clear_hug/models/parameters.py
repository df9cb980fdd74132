"""How large a model is, part by part."""

from __future__ import annotations

from torch import nn


def parameter_counts(model: nn.Module) -> dict[str, int]:
    """Parameters of each direct part of `model`, then ``"total"`` and ``"trainable"``."""
    counts = {name: _count(child) for name, child in model.named_children()}
    own = sum(parameter.numel() for parameter in model.parameters(recurse=False))
    if own:
        counts["own"] = own
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return {**counts, "total": _count(model), "trainable": trainable}


def format_parameter_counts(model: nn.Module) -> str:
    """`parameter_counts` as one line, such as ``encoder 47,544,576 · head 3,845 · total … · trainable …``."""
    return " · ".join(f"{name} {count:,}" for name, count in parameter_counts(model).items())


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
