"""Per-token standardisation: the reconstruction target, and the way back to millivolts."""

from __future__ import annotations

from torch import Tensor

EPSILON = 1e-6


def token_zscore(tokens: Tensor) -> Tensor:
    """Each beat token minus its mean over its standard deviation (unbiased variance plus 1e-6), as in the paper.

    Args:
        tokens: beats [..., S] in mV, zeros around the beat included.

    Returns:
        [..., S], dimensionless, in the dtype of `tokens`.
    """
    mean, deviation = _statistics(tokens)  # [..., 1] each
    return (tokens - mean) / deviation  # [..., S]


def to_millivolts(prediction: Tensor, tokens: Tensor) -> Tensor:
    """Undo `token_zscore`: a prediction [..., S] in the units of the beats [..., S] it stands for (mV), for plots."""
    mean, deviation = _statistics(tokens)  # [..., 1] each
    return prediction * deviation + mean  # [..., S]


def _statistics(tokens: Tensor) -> tuple[Tensor, Tensor]:
    mean = tokens.mean(dim=-1, keepdim=True)  # [..., 1]
    variance = tokens.var(dim=-1, keepdim=True, unbiased=True)  # [..., 1]
    return mean, (variance + EPSILON).sqrt()
