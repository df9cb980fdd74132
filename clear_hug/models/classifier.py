"""A diagnosis: an encoder, a head on its lead tokens, and the names of what it scores."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from clear_hug.models.clear import CLEAR
from clear_hug.models.config import CLEARConfig
from clear_hug.models.encoder import CLEAREncoder
from clear_hug.models.hug import HUG, Combine, Nonlinearity

HeadKind = Literal["linear", "hug"]


class LinearHead(nn.Module):
    """The linear probe: mean of the lead tokens → Linear.

    Args:
        embed_dim: E, features per lead token.
        num_classes: classes to score.
    """

    def __init__(self, embed_dim: int, *, num_classes: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(embed_dim, num_classes)

    def forward(self, lead_tokens: Tensor) -> Tensor:
        """Lead tokens [B, L, E] → logits [B, num_classes]."""
        logits: Tensor = self.classifier(lead_tokens.mean(dim=1))  # [B, num_classes]
        return logits


def build_head(
    kind: HeadKind,
    config: CLEARConfig,
    num_classes: int,
    *,
    combine: Combine = "concat",
    nonlinearity: Nonlinearity | None = None,
) -> LinearHead | HUG:
    """The head called `kind` for the lead tokens of an encoder; the options concern HUG.

    Raises:
        ValueError: for an unknown kind or option.
    """
    if kind == "linear":
        return LinearHead(config.embed_dim, num_classes=num_classes)
    if kind == "hug":
        return HUG(config.embed_dim, config.leads, num_classes=num_classes, combine=combine, nonlinearity=nonlinearity)
    raise ValueError(f"head kind={kind!r} is not known; choose one of {list(get_args(HeadKind))}")


class ECGClassifier(nn.Module):
    """Records in, one logit per class out.

    Args:
        encoder: a `CLEAREncoder`, or a `CLEAR` whose decoder is then left behind.
        head: any module from lead tokens [B, L, E] to logits [B, C], such as `HUG` or `LinearHead`.
        classes: the C class names, in the order of the logits.
        freeze: True (the published protocol) keeps the encoder as it is: no gradients, and eval mode, hence no
            dropout, even while the head trains. False trains both.

    Raises:
        ValueError: for class names that are missing or not distinct.
    """

    def __init__(
        self, encoder: CLEAREncoder | CLEAR, head: nn.Module, classes: Sequence[str], *, freeze: bool = True
    ) -> None:
        super().__init__()
        self.classes = tuple(classes)
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes={self.classes!r} must be distinct names, one per logit")
        self.encoder = encoder.encoder if isinstance(encoder, CLEAR) else encoder
        self.head = head
        self.freeze = freeze
        self.encoder.requires_grad_(not freeze)
        self.train(self.training)

    @property
    def config(self) -> CLEARConfig:
        """Configuration of the encoder."""
        return self.encoder.config

    def train(self, mode: bool = True) -> ECGClassifier:
        """As in every module, except that a frozen encoder stays in eval mode."""
        super().train(mode)
        if self.freeze:
            self.encoder.eval()
        return self

    def forward(self, tokens: Tensor, valid: Tensor, seconds: Tensor) -> Tensor:
        """Logits [B, C] of records: tokens [B, L, T, S] in mV, valid bool [B, L, T], seconds int64 [B, T]."""
        with torch.no_grad() if self.freeze else nullcontext():
            lead_tokens = self.encoder(tokens, valid, seconds)  # [B, L, E]
        logits: Tensor = self.head(lead_tokens)  # [B, C]
        if logits.shape[-1] != len(self.classes):
            raise ValueError(
                f"the head gives {logits.shape[-1]} logits for {len(self.classes)} classes; "
                f"build it with num_classes={len(self.classes)}"
            )
        return logits
