"""The pre-training loss: how well the hidden beats were drawn from the ones that were shown."""

from __future__ import annotations

from torch import Tensor

from clear_hug.models.normalise import token_zscore


def reconstruction_loss(prediction: Tensor, tokens: Tensor, masked: Tensor) -> Tensor:
    """Mean squared error against the z-scored beats: mean over samples of a beat, then over all masked beats.

    Args:
        prediction: [B, L, T, S], any float dtype.
        tokens: [B, L, T, S] in mV, finite everywhere. The zeros around a beat belong to the target, as in the paper.
        masked: bool [B, L, T], True for valid beats hidden from the encoder; the only ones that count.

    Returns:
        float32 scalar (float64 for float64 tokens); 0 with zero gradient when nothing is masked.
    """
    target = token_zscore(tokens)  # [B, L, T, S]
    error = (prediction.to(target.dtype) - target).square().mean(dim=-1)  # [B, L, T]
    return (error * masked).sum() / masked.sum().clamp(min=1)
