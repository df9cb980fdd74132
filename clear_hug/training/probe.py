"""Probing: train a head on the lead tokens of a frozen encoder, choose the epoch on validation records, test once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clear_hug.data.fractions import SAMPLINGS
from clear_hug.models.classifier import HeadKind, build_head
from clear_hug.models.config import CLEARConfig
from clear_hug.models.hug import Combine, Nonlinearity
from clear_hug.training.batches import Rows, epoch_order
from clear_hug.training.device import resolve_device
from clear_hug.training.metrics import best_f1_thresholds, evaluate, macro_auroc
from clear_hug.training.schedule import adamw, learning_rate, set_learning_rate

OnEpoch = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class ProbeConfig:
    """The published probe recipe (Pan et al. 2026).

    Attributes:
        head: `linear` (mean of the lead tokens → Linear) or `hug`.
        combine: HUG only: `concat` its seven vectors (the paper) or take their `mean` (the authors' code).
        nonlinearity: HUG only: None as published, or `gelu`.
        fraction: share of the training records whose labels are used.
        sampling: how that share is drawn: `stratified` (smaller subsets of a seed lie within larger ones) or `official`
            (as published: uniformly, not nested); see `clear_hug.data.fractions`.
        epochs: passes over those records.
        batch_size: records per step.
        lr: peak rate of AdamW; `warmup_share` of the steps rise to it from `warmup_lr`, half a cosine leads down to
            `final_lr`.
        warmup_share: 10 of 100 epochs.
        warmup_lr: rate of the first step.
        final_lr: rate of the last step.
        weight_decay: of AdamW, on weights, not biases.
        seed: of initial weights, order, subset and bootstrap.
        resamples: bootstrap resamples of the test records.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        ValueError: a value that cannot work; the message names it.
    """

    head: HeadKind = "hug"
    combine: Combine = "concat"
    nonlinearity: Nonlinearity | None = None
    fraction: float = 1.0
    sampling: str = "stratified"
    epochs: int = 100
    batch_size: int = 256
    lr: float = 5e-3
    warmup_share: float = 0.1
    warmup_lr: float = 1e-6
    final_lr: float = 1e-5
    weight_decay: float = 0.05
    seed: int = 0
    resamples: int = 2000
    device: str = "auto"

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction={self.fraction} must be above 0 and at most 1 (0.1 for 10 % of the labels)")
        if self.sampling not in SAMPLINGS:
            raise ValueError(f"unknown sampling={self.sampling!r}; choose one of {', '.join(SAMPLINGS)}")
        for name in ("epochs", "batch_size", "resamples"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise ValueError(f"lr={self.lr} must be a positive number")
        if not 0 <= self.warmup_share < 1:
            raise ValueError(f"warmup_share={self.warmup_share} must be at least 0 and below 1 (the paper has 0.1)")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def head_arguments(self) -> dict[str, Any]:
        """What `build_head` needs to make this head again."""
        return {"kind": self.head, "combine": self.combine, "nonlinearity": self.nonlinearity}


@dataclass(frozen=True)
class ProbeData:
    """What a probe reads: lead tokens [R, L, E], labels 0/1 [R, C], the C class names, and the rows of each split."""

    features: NDArray[np.float32]
    labels: NDArray[np.uint8]
    classes: tuple[str, ...]
    train: Rows
    validation: Rows
    test: Rows

    def __post_init__(self) -> None:
        if len(self.features) != len(self.labels) or self.labels.shape[1:] != (len(self.classes),):
            raise ValueError(
                f"features {self.features.shape}, labels {self.labels.shape} and {len(self.classes)} class names do "
                "not go together"
            )
        for name in ("train", "test"):
            if len(getattr(self, name)) == 0:
                raise ValueError(
                    f"no usable, labelled {name} record for this task; see the store's splits, labels and flags"
                )


@dataclass(frozen=True)
class ProbeResult:
    """A trained head with its figures.

    Attributes:
        head: on the CPU, in eval mode.
        thresholds: float64 [C], best F1 on the validation records.
        test_probabilities: float64 [test records, C].
        metrics: as `evaluate` makes them, on the test records.
        best_epoch: the one kept, from 1.
        chosen_by: the figure that chose it.
        history: one entry per epoch.
    """

    head: nn.Module
    thresholds: NDArray[np.float64]
    test_probabilities: NDArray[np.float64]
    metrics: dict[str, Any]
    best_epoch: int
    chosen_by: str
    history: tuple[dict[str, Any], ...]


def probe(
    data: ProbeData, model_config: CLEARConfig, config: ProbeConfig, *, on_epoch: OnEpoch | None = None
) -> ProbeResult:
    """Train a head and test it once.

    Args:
        data: features, labels and rows; `train` is already the subset that `config.fraction` stands for.
        model_config: of the encoder that made the features.
        config: the recipe.
        on_epoch: called with each log entry.

    Raises:
        ValueError: no records, or a head that does not fit the features.
    """
    device = resolve_device(config.device)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)
        head = build_head(config=model_config, num_classes=len(data.classes), **config.head_arguments()).to(device)
    optimizer = adamw(head, lr=config.lr, betas=(0.9, 0.999), weight_decay=config.weight_decay)
    x, y = _tensors(data, data.train, device)
    held_out = data.validation if len(data.validation) else data.train
    x_held_out, _ = _tensors(data, held_out, device)

    per_epoch = math.ceil(len(x) / config.batch_size)
    total = per_epoch * config.epochs
    history: list[dict[str, Any]] = []
    best_score, best_epoch, best_weights = -math.inf, 0, {}
    for epoch in range(config.epochs):
        head.train()
        order = torch.from_numpy(epoch_order(np.arange(len(x)), config.seed, epoch)).to(device)
        running = torch.zeros((), device=device)
        for place, rows in enumerate(order.split(config.batch_size)):
            rate = learning_rate(
                epoch * per_epoch + place,
                total=total,
                warmup=int(config.warmup_share * total),
                peak=config.lr,
                start=config.warmup_lr,
                final=config.final_lr,
            )
            set_learning_rate(optimizer, rate)
            loss = nn.functional.binary_cross_entropy_with_logits(head(x[rows]), y[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            running += loss.detach() * len(rows)
        entry = _look(head, x_held_out, data.labels[held_out]) | {
            "epoch": epoch + 1,
            "train_loss": float(running / len(x)),
        }
        history.append(entry)
        if not math.isfinite(entry["train_loss"]):
            raise ValueError(
                f"the head's loss became {entry['train_loss']} in epoch {epoch + 1}; lower --lr (now {config.lr})"
            )
        if entry["score"] > best_score:
            best_score, best_epoch = entry["score"], epoch + 1
            best_weights = {name: t.detach().clone() for name, t in head.state_dict().items()}
        if on_epoch is not None:
            on_epoch(entry)
    head.load_state_dict(best_weights)
    head.eval()
    thresholds = best_f1_thresholds(data.labels[held_out], probabilities(head, x_held_out))
    scores = probabilities(head, _tensors(data, data.test, device)[0])
    metrics = evaluate(
        data.labels[data.test], scores, data.classes, thresholds, resamples=config.resamples, seed=config.seed
    )
    chosen_by = (
        f"{'validation' if len(data.validation) else 'training (no validation records)'} {history[-1]['score_name']}"
    )
    return ProbeResult(head.cpu(), thresholds, scores, metrics, best_epoch, chosen_by, tuple(history))


@torch.no_grad()
def probabilities(head: nn.Module, features: Tensor) -> NDArray[np.float64]:
    """Sigmoid of the head's logits: lead tokens [R, L, E] → float64 [R, C]."""
    head.eval()
    logits = torch.cat([head(part) for part in features.split(4096)])  # [R, C]
    return logits.double().sigmoid().cpu().numpy()


def _look(head: nn.Module, features: Tensor, labels: NDArray[np.uint8]) -> dict[str, Any]:
    """The figure that chooses the epoch: macro AUROC, or minus the loss where no class has both labels."""
    scores = probabilities(head, features)
    auroc = macro_auroc(labels, scores)
    if math.isfinite(auroc):
        return {"score_name": "macro AUROC", "score": auroc}
    clipped = np.clip(scores, 1e-12, 1 - 1e-12)
    return {"score_name": "loss", "score": float(np.log(np.where(labels == 1, clipped, 1 - clipped)).mean())}


def _tensors(data: ProbeData, rows: Rows, device: torch.device) -> tuple[Tensor, Tensor]:
    x = torch.from_numpy(np.ascontiguousarray(data.features[rows], dtype=np.float32)).to(device)  # [n, L, E]
    y = torch.from_numpy(data.labels[rows].astype(np.float32)).to(device)  # [n, C]
    return x, y


def without_training_positives(labels: NDArray[np.uint8], train: Rows, classes: Sequence[str]) -> list[str]:
    """Classes that the head cannot learn, because no training record has them."""
    return [name for c, name in enumerate(classes) if not labels[train, c].any()]
