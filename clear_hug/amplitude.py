"""How large a heartbeat is, in millivolts: what standardising its token takes away, as a few numbers beside it."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["AMPLITUDE_FEATURES", "amplitude_features"]

AMPLITUDE_FEATURES = ("mean", "standard deviation", "peak to peak")
"""In mV, in the order of the last axis."""


def amplitude_features(tokens: Tensor) -> Tensor:
    """Mean, standard deviation and peak-to-peak voltage of every beat token.

    Mean and deviation are those by which a token is z-scored (zeros around the beat included, unbiased variance), so
    that token and features together say what the voltages were; the criteria for hypertrophy and for low voltage
    (Sokolow & Lyon 1949, for example) are about the third.

    Args:
        tokens: float [..., S], mV, S at least 2, zeros where there is no beat.

    Returns:
        [..., 3] in mV, in the dtype of `tokens`; zeros where there is no beat.
    """
    spread = tokens.amax(dim=-1) - tokens.amin(dim=-1)  # [...]
    return torch.stack((tokens.mean(dim=-1), tokens.std(dim=-1), spread), dim=-1)  # [..., 3]
