"""The complete state of a training run, so that a resumed run ends bit for bit where an uninterrupted one would.

One safetensors file: parameters, both AdamW moments and the step count of every parameter, and the states of the random
generators as tensors; counters and history as JSON in the manifest.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clear_hug.training.checkpoint import CheckpointError, load_checkpoint, load_weights, save_checkpoint

MODEL, OPTIMIZER, RNG = "model.", "optimizer.", "rng."


def rng_state(device: torch.device) -> dict[str, torch.Tensor]:
    """States of the generators that dropout draws from (uint8 tensors)."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_rng_state(states: Mapping[str, torch.Tensor], device: torch.device) -> None:
    """Put `rng_state` back."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


def _optimizer_tensors(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    names: dict[torch.Tensor, str] = {p: name for name, p in module.named_parameters()}
    return {
        f"{key}.{names[p]}": torch.as_tensor(value)
        for p, state in optimizer.state.items()
        for key, value in state.items()
    }


def save_state(
    path: str | Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
    manifest: Mapping[str, Any],
    extra: Mapping[str, torch.Tensor] | None = None,
) -> Path:
    """Write the whole state atomically.

    Args:
        path: `.safetensors`.
        module: the model.
        optimizer: its AdamW.
        device: where training runs.
        manifest: JSON-ready, as `save_checkpoint` wants it, with `kind="training-state"`.
        extra: other tensors to keep.
    """
    tensors = {MODEL + name: t for name, t in module.state_dict().items()}
    tensors |= {OPTIMIZER + name: t for name, t in _optimizer_tensors(module, optimizer).items()}
    tensors |= {RNG + name: t for name, t in rng_state(device).items()}
    return save_checkpoint(path, tensors | dict(extra or {}), manifest)


def load_state(
    path: str | Path, module: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Put a saved state into `module`, `optimizer` and the random generators.

    Returns:
        The manifest, and the `extra` tensors on the CPU.

    Raises:
        CheckpointError: the file does not fit the model.
    """
    manifest, tensors = load_checkpoint(path, kind="training-state")
    load_weights(module, _part(tensors, MODEL), path)
    saved = _part(tensors, OPTIMIZER)
    for name, parameter in module.named_parameters():
        keys = {key: f"{key}.{name}" for key in ("step", "exp_avg", "exp_avg_sq")}
        if not parameter.requires_grad or keys["step"] not in saved:
            continue
        if any(key not in saved for key in keys.values()):
            raise CheckpointError(
                f"{path} lacks the optimiser's moments of {name}; start the run again without --resume"
            )
        # AdamW keeps its step count on the CPU, the moments beside the parameter.
        optimizer.state[parameter] = {
            "step": saved[keys["step"]],
            "exp_avg": saved[keys["exp_avg"]].to(parameter.device),
            "exp_avg_sq": saved[keys["exp_avg_sq"]].to(parameter.device),
        }
    set_rng_state(_part(tensors, RNG), device)
    known = (MODEL, OPTIMIZER, RNG)
    return manifest, {name: t for name, t in tensors.items() if not name.startswith(known)}


def _part(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
