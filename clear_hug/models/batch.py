"""What a model checks about a batch before it computes with it."""

from __future__ import annotations

import torch
from torch import Tensor

from clear_hug.models.config import CLEARConfig


def check_batch(config: CLEARConfig, tokens: Tensor, valid: Tensor, seconds: Tensor) -> None:
    """Refuse a batch that does not fit the model.

    Shapes and dtypes cost nothing and are always checked. Values (NaN or infinite samples in a valid beat, seconds
    outside the time table) are checked for CPU tensors only: on a GPU the answer would have to be waited for, so
    there the data layer is responsible, and it checks the same when a store is written.

    Args:
        config: the model's configuration.
        tokens: float [B, L, T, S] in mV.
        valid: bool [B, L, T].
        seconds: int64 or int32 [B, T].

    Raises:
        ValueError: naming the offending shape, dtype or value, and the remedy.
    """
    shape = (config.lead_count, config.beats, config.beat_samples)
    if tokens.ndim != 4 or tuple(tokens.shape[1:]) != shape:
        raise ValueError(
            f"tokens have shape {tuple(tokens.shape)}, but this model takes [B, L={shape[0]}, T={shape[1]}, "
            f"S={shape[2]}] with leads {list(config.leads)}; prepare the records with these settings or build the "
            "model for theirs"
        )
    if not tokens.is_floating_point():
        raise ValueError(f"tokens have dtype {tokens.dtype}, but must be floating point, in mV; convert with .float()")
    _check_companion("valid", valid, tuple(tokens.shape[:3]), (torch.bool,))
    _check_companion("seconds", seconds, (tokens.shape[0], config.beats), (torch.int64, torch.int32))
    if tokens.device.type == "cpu" and not torch.compiler.is_compiling():
        _check_values(config, tokens, valid, seconds)


def zero_padding(tokens: Tensor, valid: Tensor) -> Tensor:
    """Beats [B, L, T, S] with zeros where `valid` [B, L, T] is False, whatever was there (0 × NaN would stay NaN)."""
    return tokens.masked_fill(~valid[..., None], 0.0)  # [B, L, T, S]


def _check_companion(name: str, value: Tensor, shape: tuple[int, ...], dtypes: tuple[torch.dtype, ...]) -> None:
    if tuple(value.shape) != shape:
        raise ValueError(f"{name} has shape {tuple(value.shape)}, but the tokens ask for {shape}")
    if value.dtype not in dtypes:
        raise ValueError(f"{name} has dtype {value.dtype}, but must be {' or '.join(map(str, dtypes))}")


def _check_values(config: CLEARConfig, tokens: Tensor, valid: Tensor, seconds: Tensor) -> None:
    broken = valid & ~tokens.isfinite().all(dim=-1)  # [B, L, T]
    if bool(broken.any()):
        sample, lead, beat = (int(value) for value in broken.nonzero()[0])
        raise ValueError(
            f"beat {beat} of lead {config.leads[lead]} in sample {sample} has NaN or infinite samples; "
            "repair the record or mark the beat as not valid"
        )
    if seconds.numel() and not 0 <= int(seconds.min()) <= int(seconds.max()) < config.seconds:
        worst = int(seconds.max()) if int(seconds.max()) >= config.seconds else int(seconds.min())
        raise ValueError(
            f"seconds hold {worst}, but the time table has rows 0 to {config.seconds - 1}: "
            f"cut the record, or build the model with seconds of at least {max(worst + 1, config.seconds)}"
        )
