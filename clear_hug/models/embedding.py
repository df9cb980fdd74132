"""From beats in millivolts to tokens: what the beat looks like, and which lead, second and place it comes from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clear_hug.amplitude import AMPLITUDE_FEATURES, amplitude_features
from clear_hug.models.config import CLEARConfig
from clear_hug.models.masking import Packing
from clear_hug.models.normalise import token_zscore


class TokenEmbedding(nn.Module):
    """Beat samples → E, plus learned lead, time and position embeddings; class tokens with positions of their own.

    Args:
        config: `CLEARConfig`. With ``compat="official"`` a beat is embedded together with the tokens before and after
            it in lead-major order, the last one next to the first. With ``amplitude`` a linear map of the beat's
            `amplitude_features` is added to it.
    """

    def __init__(self, config: CLEARConfig) -> None:
        super().__init__()
        leads, beats, width = config.lead_count, config.beats, config.embed_dim
        self.beats = beats
        self.neighbours = config.compat == "official"
        self.zscore = config.input_norm == "token"
        inputs = 3 * config.beat_samples if self.neighbours else config.beat_samples
        self.projection = nn.Linear(inputs, width, bias=not self.neighbours)
        self.amplitude = nn.Linear(len(AMPLITUDE_FEATURES), width, bias=False) if config.amplitude else None
        self.lead = nn.Embedding(leads, width)
        self.time = nn.Embedding(config.seconds, width)
        self.class_tokens = nn.Parameter(torch.empty(leads, width))  # [L, E]
        self.class_position = nn.Parameter(torch.empty(leads, width))  # [L, E]
        self.beat_position = nn.Parameter(torch.empty(leads * beats, width))  # [L*T, E]
        for table in (
            self.lead.weight, self.time.weight, self.class_tokens, self.class_position, self.beat_position,
        ):  # fmt: skip
            nn.init.trunc_normal_(table, std=0.02)

    def forward(self, tokens: Tensor, seconds: Tensor, packing: Packing | None = None) -> Tensor:
        """Sequence of class tokens, then beats: all L*T of them, or the K that `packing` kept.

        Args:
            tokens: float [B, L, T, S] in mV, zeros where there is no beat.
            seconds: int64 [B, T].
            packing: which beats to embed; None for all.

        Returns:
            [B, L + L*T, E] or [B, L + K, E].
        """
        beats = tokens.flatten(1, 2)  # [B, L*T, S]
        samples = self._samples(beats)  # [B, L*T, S or 3S]
        if packing is None:
            position = torch.arange(samples.shape[1], device=samples.device)  # [L*T]
            second = seconds.repeat(1, self.lead.num_embeddings)  # [B, L*T]
        else:
            position = packing.position  # [B, K]
            samples = _rows_at(samples, position)  # [B, K, S or 3S]
            second = seconds.gather(1, position % self.beats)  # [B, K]
        place = self.lead(position // self.beats) + nn.functional.embedding(position, self.beat_position)  # [(B,) K, E]
        embedded = self.projection(samples) + place + self.time(second)  # [B, K, E]
        if self.amplitude is not None:
            sizes = amplitude_features(beats)  # [B, L*T, 3]
            embedded = embedded + self.amplitude(sizes if packing is None else _rows_at(sizes, position))  # [B, K, E]
        class_tokens = (self.class_tokens + self.class_position).expand(len(tokens), -1, -1)  # [B, L, E]
        return torch.cat([class_tokens.to(embedded.dtype), embedded], dim=1)

    def _samples(self, tokens: Tensor) -> Tensor:
        if self.zscore:
            tokens = token_zscore(tokens)  # [B, L*T, S]
        if self.neighbours:
            tokens = torch.cat([tokens.roll(1, dims=1), tokens, tokens.roll(-1, dims=1)], dim=-1)  # [B, L*T, 3S]
        return tokens


def _rows_at(rows: Tensor, position: Tensor) -> Tensor:
    """[B, L*T, X] at the positions [B, K] → [B, K, X]."""
    return rows.gather(1, position[..., None].expand(-1, -1, rows.shape[-1]))
