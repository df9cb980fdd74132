"""CLEAR's encoder: every beat it is shown may look at every other one, a class token only at its own lead."""

from __future__ import annotations

from torch import Tensor, nn

from clear_hug.models.batch import check_batch, zero_padding
from clear_hug.models.config import CLEARConfig
from clear_hug.models.embedding import TokenEmbedding
from clear_hug.models.layer import TransformerLayer
from clear_hug.models.masking import Packing
from clear_hug.models.views import GridView, PackedView


class CLEAREncoder(nn.Module):
    """Token embedding, post-norm layers with view-guided attention, final LayerNorm.

    This is the part used for diagnosis: ``encoder(tokens, valid, seconds)`` gives one token per lead.

    Args:
        config: `CLEARConfig`.
        backend: attention backend of `clear_kernels`; None picks the fastest that can run.
    """

    def __init__(self, config: CLEARConfig, *, backend: str | None = None) -> None:
        super().__init__()
        self.config = config
        self.embedding = TokenEmbedding(config)
        self.layers = nn.ModuleList(
            TransformerLayer(
                config.embed_dim,
                config.heads,
                config.mlp_dim,
                leads=config.lead_count,
                dropout=config.dropout,
                backend=backend,
            )
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.embed_dim)

    def forward(self, tokens: Tensor, valid: Tensor, seconds: Tensor) -> Tensor:
        """Lead tokens of whole records.

        Args:
            tokens: float [B, L, T, S] in mV. Padding may hold anything, NaN included.
            valid: bool [B, L, T], True for real beats.
            seconds: int64 [B, T], ``1 + floor(t)`` of the R peak at t seconds, 0 for padding.

        Returns:
            [B, L, E], the class tokens after the final LayerNorm. In eval mode the same input gives the same output.

        Raises:
            ValueError: for shapes or dtypes that do not fit the configuration; for CPU tensors also for NaN or
                infinite samples in a valid beat and for seconds outside the table (see `check_batch`).
        """
        lead_tokens, _ = self.encode_all(tokens, valid, seconds)
        return lead_tokens

    def encode_all(self, tokens: Tensor, valid: Tensor, seconds: Tensor) -> tuple[Tensor, Tensor]:
        """Lead tokens [B, L, E] and beat tokens [B, L, T, E] (0 where there is no beat); arguments as in `forward`."""
        check_batch(self.config, tokens, valid, seconds)
        x = self.embedding(zero_padding(tokens, valid), seconds)  # [B, L + L*T, E]
        x = self.run_layers(x, GridView(visible=True, valid=valid))  # [B, L + L*T, E]
        leads, beats = self.config.lead_count, self.config.beats
        grid = x[:, leads:].unflatten(1, (leads, beats))  # [B, L, T, E]
        return x[:, :leads], grid.masked_fill(~valid[..., None], 0.0)

    def encode_packed(self, tokens: Tensor, seconds: Tensor, packing: Packing) -> Tensor:
        """Only the beats that `packing` kept: tokens [B, L, T, S] with zero padding → [B, L + K, E]."""
        x = self.embedding(tokens, seconds, packing)  # [B, L + K, E]
        view = PackedView(lead=packing.position // self.config.beats, valid=packing.valid)
        return self.run_layers(x, view)  # [B, L + K, E]

    def run_layers(self, x: Tensor, view: GridView | PackedView) -> Tensor:
        """Embedded tokens [B, N, E] through every layer and the final LayerNorm → [B, N, E]."""
        for layer in self.layers:
            x = layer(x, view)  # [B, N, E]
        return self.norm(x)  # [B, N, E]
