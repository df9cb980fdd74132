"""CLEAR pre-training: hide most beats, reconstruct them, again and again. The whole loop is on this page.

A run is a function of its data, model, settings and seed: orders, masks and dropout are drawn from seeded generators,
and the state saved after each epoch (or on Ctrl-C, between two steps) holds everything needed to go on bit for bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from clear_hug.models.clear import CLEAR
from clear_hug.models.config import CLEARConfig
from clear_hug.models.factories import untrained
from clear_hug.training.batches import (
    TRAIN,
    VALIDATION,
    BeatData,
    Rows,
    batches,
    epoch_order,
    mask_generator,
    split_rows,
)
from clear_hug.training.checkpoint import CheckpointError, read_manifest, save_checkpoint, versions
from clear_hug.training.device import autocast, resolve_device
from clear_hug.training.interrupt import InterruptedTrainingError, stop_on_sigint
from clear_hug.training.log import write_log
from clear_hug.training.manifest import model_manifest
from clear_hug.training.schedule import adamw, learning_rate, set_learning_rate
from clear_hug.training.state import load_state, save_state

CHECKPOINT, STATE, LOG = "clear.safetensors", "state.safetensors", "log.jsonl"
STEPS_BETWEEN_LOOKS = 50
"""How often the loss is read from the device, for the progress bar and to notice a NaN early."""
OnStep = Callable[[int, int, float], None]
OnEpoch = Callable[[dict[str, Any]], None]


class TrainingError(RuntimeError):
    """Training cannot go on, such as after a loss that is not finite."""


@dataclass(frozen=True)
class PretrainConfig:
    """The recipe of the paper (Pan et al. 2026), for one device.

    Attributes:
        epochs: passes over the training records.
        batch_size: records per step (the paper: 256 on each of 7 GPUs).
        lr: peak learning rate of AdamW.
        warmup_share: share of all steps spent rising from `warmup_lr` (5 of 100 epochs).
        warmup_lr: rate of the first step.
        final_lr: rate of the last step; the way there is half a cosine.
        betas: of AdamW.
        weight_decay: of AdamW, on the weights of linear maps only.
        clip_norm: largest norm of the gradient.
        seed: of initial weights, order, masks and dropout.
        amp: `bf16` computes in bfloat16 where that is safe; `none` in float32.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        ValueError: a value that cannot work; the message names it.
    """

    epochs: int = 100
    batch_size: int = 256
    lr: float = 5e-4
    warmup_share: float = 0.05
    warmup_lr: float = 1e-6
    final_lr: float = 1e-5
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.05
    clip_norm: float = 3.0
    seed: int = 0
    amp: str = "none"
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        for name in ("lr", "clip_norm"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"{name}={getattr(self, name)} must be a positive number")
        if not 0 <= self.warmup_share < 1:
            raise ValueError(f"warmup_share={self.warmup_share} must be at least 0 and below 1 (the paper has 0.05)")
        if self.seed < 0:
            raise ValueError(f"seed={self.seed} must not be negative")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "betas": list(self.betas)}


@dataclass(frozen=True)
class PretrainResult:
    """Where a run left its files, and its log: one entry per epoch."""

    checkpoint: Path
    history: tuple[dict[str, Any], ...]
    finished: bool


def pretrain(
    store: BeatData,
    model_config: CLEARConfig,
    config: PretrainConfig,
    out: str | Path,
    *,
    resume: bool = False,
    stop_after: int | None = None,
    on_step: OnStep | None = None,
    on_epoch: OnEpoch | None = None,
) -> PretrainResult:
    """Pre-train CLEAR on the training records of a store.

    Writes into `out`: `clear.safetensors` (weights of the epoch with the lowest validation loss; of the last one where
    there are no validation records), `state.safetensors` (to resume from) and `log.jsonl` (one line per epoch).

    Args:
        store: beats [R, L, T, S] with their split.
        model_config: shape of the model; its leads, beats and beat_samples are those of the store.
        config: the recipe.
        out: a new folder, or with `resume` one that holds a state.
        resume: go on where the state in `out` ends.
        stop_after: leave after this many epochs of the schedule, resumable.
        on_step: called as (step, steps in all, loss) every few steps.
        on_epoch: called with each new log entry.

    Raises:
        CheckpointError: model and store disagree, or the state belongs to other settings or data.
        TrainingError: the loss became NaN or infinite, or there are no training records.
        InterruptedTrainingError: Ctrl-C; the state is saved.
    """
    device, out = resolve_device(config.device), Path(out)
    manifest = model_manifest("clear", model_config, store) | {"training": config.to_dict(), "versions": versions()}
    train, validation = split_rows(store, TRAIN), split_rows(store, VALIDATION)
    if len(train) == 0:
        raise TrainingError("the store has no usable training record (split 0, with beats); see its flags and splits")
    per_epoch = math.ceil(len(train) / config.batch_size)
    total = per_epoch * config.epochs

    torch.manual_seed(config.seed)
    model = untrained(model_config, config.seed).to(device)
    optimizer = adamw(model, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay)
    history: list[dict[str, Any]] = []
    losses = torch.full((per_epoch,), float("nan"), device=device)
    norms = torch.full((per_epoch,), float("nan"), device=device)
    done = 0
    if resume:
        state = _state_to_resume(out)
        _check_same_run(read_manifest(state), manifest, out)  # first: it names settings, where loading names tensors
        saved, extra = load_state(state, model, optimizer, device)
        done, history = int(saved["steps_done"]), list(saved["history"])
        losses.copy_(extra["losses"])
        norms.copy_(extra["norms"])
    elif (out / STATE).exists():
        raise CheckpointError(
            f"{out} already holds a run; continue it with --resume, or choose another folder with --out"
        )

    def save() -> None:
        progress = {"kind": "training-state", "steps_done": done, "history": history}
        save_state(out / STATE, model, optimizer, device, manifest | progress, {"losses": losses, "norms": norms})

    last_epoch = config.epochs if stop_after is None else min(stop_after, config.epochs)
    with stop_on_sigint() as stop:
        while done < last_epoch * per_epoch:
            epoch, first = divmod(done, per_epoch)
            started = time.perf_counter()
            model.train()
            order = epoch_order(train, config.seed, epoch)
            for place, batch in enumerate(batches(store, order, config.batch_size, device, first), start=first):
                rate = learning_rate(
                    done,
                    total=total,
                    warmup=int(config.warmup_share * total),
                    peak=config.lr,
                    start=config.warmup_lr,
                    final=config.final_lr,
                )
                set_learning_rate(optimizer, rate)
                with autocast(config.amp, device):
                    loss = model(*batch, generator=mask_generator(config.seed, done, device=device)).loss
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                norms[place] = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
                optimizer.step()
                losses[place] = loss.detach()
                done += 1
                if done % STEPS_BETWEEN_LOOKS == 0 or done % per_epoch == 0 or stop.requested:
                    _check_finite(losses[: place + 1], norms[: place + 1], epoch * per_epoch, out)
                    if on_step is not None:
                        on_step(done, total, float(loss.detach()))
                if stop.requested and place + 1 < per_epoch:
                    save()
                    raise InterruptedTrainingError(
                        f"stopped after step {done} of {total}; continue with --resume --out {out}"
                    )
            entry = {
                "epoch": epoch + 1,
                "step": done,
                "train_loss": float(losses.mean()),
                "validation_loss": validation_loss(model, store, validation, config, device),
                "lr": rate,
                "gradient_norm": float(norms.mean()),
                "seconds": round(time.perf_counter() - started, 3),
            }
            history.append(entry)
            if _is_best(history):
                trained = {"epoch": epoch + 1, "validation_loss": entry["validation_loss"]}
                save_checkpoint(out / CHECKPOINT, model.state_dict(), manifest | trained)
            save()
            write_log(out / LOG, history)
            if on_epoch is not None:
                on_epoch(entry)
            if stop.requested and done < total:
                raise InterruptedTrainingError(
                    f"stopped after epoch {epoch + 1} of {config.epochs}; continue with --resume --out {out}"
                )
    return PretrainResult(out / CHECKPOINT, tuple(history), finished=done == total)


@torch.no_grad()
def validation_loss(
    model: CLEAR, store: BeatData, rows: Rows, config: PretrainConfig, device: torch.device
) -> float | None:
    """Mean loss over the masked beats of `rows`, with the same masks each time; None without rows."""
    if len(rows) == 0:
        return None
    was_training = model.training
    model.eval()
    generator = mask_generator(config.seed, 0, stream=VALIDATION, device=device)
    error = torch.zeros((), dtype=torch.float64, device=device)
    count = torch.zeros((), dtype=torch.int64, device=device)
    for batch in batches(store, rows, config.batch_size, device):
        with autocast(config.amp, device):
            result = model(*batch, generator=generator)
        masked = result.masked.sum()
        error += result.loss.double() * masked
        count += masked
    model.train(was_training)
    return float(error / count.clamp(min=1))


def _is_best(history: list[dict[str, Any]]) -> bool:
    seen = [entry["validation_loss"] for entry in history]
    return seen[-1] is None or seen[-1] <= min(seen)


def _check_finite(losses: torch.Tensor, norms: torch.Tensor, before: int, out: Path) -> None:
    bad = ~(losses.isfinite() & norms.isfinite())
    if bool(bad.any()):
        place = int(bad.nonzero()[0])
        what = f"loss {float(losses[place])}, gradient norm {float(norms[place])}"
        kept = "the state of the last finished epoch is kept" if (out / STATE).exists() else "nothing was saved yet"
        raise TrainingError(
            f"{what} at step {before + place + 1}: training diverged ({kept}). Lower --lr, lengthen the warm-up, "
            f"or leave out --amp bf16"
        )


def _state_to_resume(out: Path) -> Path:
    if not (out / STATE).is_file():
        raise CheckpointError(f"nothing to resume: {out / STATE} does not exist; start the run without --resume")
    return out / STATE


def _check_same_run(saved: dict[str, Any], manifest: dict[str, Any], out: Path) -> None:
    for part in ("model", "training", "data"):
        before, now = saved[part], manifest[part]
        changed = [
            f"{key} was {before.get(key)!r}, now {now.get(key)!r}"
            for key in sorted(before | now)
            if before.get(key) != now.get(key)
        ]
        if changed:
            raise CheckpointError(
                f"the run in {out} cannot be continued with another {part} ({'; '.join(changed)}); "
                f"use its settings, or choose another folder with --out"
            )
