"""HUG, the Hierarchical lead-Unified Group head: leads → groups of leads → pairs of groups → the whole heart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from clear_hug.leads import LEAD_GROUPS, STANDARD_LEADS, canonical_leads

Combine = Literal["concat", "mean"]
Nonlinearity = Literal["gelu"]

PAIRS = (("limb", "augmented"), ("augmented", "precordial"), ("limb", "precordial"))


class HUG(nn.Module):
    """Diagnosis from lead tokens in the order in which a clinician reads an ECG.

    Level 1: one Linear(E, E) per group of leads on each of its lead tokens, then their mean. Level 2: one Linear per
    pair of groups on its two vectors, then their mean. Level 3: one Linear on the three pair vectors, then their mean.
    All seven vectors go to the linear classifier in the order limb, augmented, precordial, limb+augmented,
    augmented+precordial, limb+precordial, all.

    With a subset of the leads, a group without leads is left out together with its pairs; level 3 needs all three
    pairs. Two groups hence give three vectors, one group gives one.

    Args:
        embed_dim: E, features per lead token.
        leads: names of the leads, in the order of the lead tokens.
        num_classes: classes to score.
        combine: ``"concat"`` as in the paper, or ``"mean"`` of the vectors as in the authors' code.
        nonlinearity: None as published, which makes the whole head one affine map; ``"gelu"`` puts a GELU after each
            group's Linear, so that the hierarchy can express more than a linear probe.

    Raises:
        ValueError: for an unknown lead or option.

    Source: Pan et al., AAAI 2026 (arXiv 2512.24002), second stage.
    """

    def __init__(
        self,
        embed_dim: int,
        leads: Sequence[str] = STANDARD_LEADS,
        *,
        num_classes: int,
        combine: Combine = "concat",
        nonlinearity: Nonlinearity | None = None,
    ) -> None:
        super().__init__()
        self.leads = canonical_leads(leads)
        self.combine = combine
        self.nonlinearity = nonlinearity
        if combine not in get_args(Combine):
            raise ValueError(f"combine={combine!r} is not known; choose one of {list(get_args(Combine))}")
        if nonlinearity not in (None, *get_args(Nonlinearity)):
            raise ValueError(
                f"nonlinearity={nonlinearity!r} is not known; choose None or {list(get_args(Nonlinearity))}"
            )
        self._members = _group_members(self.leads)
        self._pairs = [pair for pair in PAIRS if set(pair) <= set(self._members)]
        self.lead_level = nn.ModuleDict({name: nn.Linear(embed_dim, embed_dim) for name in self._members})
        self.pair_level = nn.ModuleDict({"_".join(pair): nn.Linear(embed_dim, embed_dim) for pair in self._pairs})
        self.heart_level = nn.Linear(embed_dim, embed_dim) if len(self._pairs) == len(PAIRS) else None
        width = embed_dim * len(self.group_names) if combine == "concat" else embed_dim
        self.classifier = nn.Linear(width, num_classes)

    @property
    def group_names(self) -> tuple[str, ...]:
        """Names of the vectors that `groups` returns, in their order."""
        whole = () if self.heart_level is None else ("all",)
        return (*self._members, *("+".join(pair) for pair in self._pairs), *whole)

    def groups(self, lead_tokens: Tensor) -> Tensor:
        """One vector per group: lead tokens [B, L, E] → [B, G, E], G = 7 with the 12 standard leads."""
        if lead_tokens.ndim != 3 or lead_tokens.shape[1] != len(self.leads):
            raise ValueError(
                f"lead tokens have shape {tuple(lead_tokens.shape)}, but this head takes [B, L={len(self.leads)}, E] "
                f"with leads {list(self.leads)}; build it for the encoder's leads"
            )
        single = {
            name: self._read(self.lead_level[name], lead_tokens[:, members])  # [B, E]
            for name, members in self._members.items()
        }
        pairs = [
            self._read(self.pair_level["_".join(pair)], torch.stack([single[name] for name in pair], dim=1))  # [B, E]
            for pair in self._pairs
        ]
        vectors = [*single.values(), *pairs]
        if self.heart_level is not None:
            vectors.append(self._read(self.heart_level, torch.stack(pairs, dim=1)))
        return torch.stack(vectors, dim=1)  # [B, G, E]

    def forward(self, lead_tokens: Tensor) -> Tensor:
        """Lead tokens [B, L, E] → logits [B, num_classes]."""
        groups = self.groups(lead_tokens)  # [B, G, E]
        features = groups.flatten(1) if self.combine == "concat" else groups.mean(dim=1)  # [B, G*E] or [B, E]
        logits: Tensor = self.classifier(features)  # [B, num_classes]
        return logits

    def _read(self, expert: nn.Module, tokens: Tensor) -> Tensor:
        seen = expert(tokens)  # [B, members, E]
        if self.nonlinearity == "gelu":
            seen = nn.functional.gelu(seen)
        return seen.mean(dim=1)  # [B, E]


def _group_members(leads: tuple[str, ...]) -> dict[str, list[int]]:
    if not leads:
        raise ValueError("leads=() is empty; give the names of the encoder's leads, encoder.config.leads")
    members = {
        group: [place for place, name in enumerate(leads) if name in names] for group, names in LEAD_GROUPS.items()
    }
    return {group: places for group, places in members.items() if places}
