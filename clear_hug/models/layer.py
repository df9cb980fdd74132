"""One post-norm transformer layer, the same for the encoder and the decoder; only what a beat may see differs."""

from __future__ import annotations

from torch import Tensor, nn

from clear_hug.models.views import View, attend
from clear_kernels import BeatSparseAttention


class TransformerLayer(nn.Module):
    """Attention, add, LayerNorm; ReLU MLP, add, LayerNorm; dropout in attention, MLP and both residual branches.

    Args:
        width: E, features per token.
        heads: attention heads; must divide `width`.
        mlp_dim: hidden features of the MLP.
        leads: L, class tokens at the head of the sequence.
        dropout: probability while training.
        backend: attention backend of `clear_kernels`; None picks the fastest that can run.
    """

    def __init__(
        self, width: int, heads: int, mlp_dim: int, *, leads: int, dropout: float, backend: str | None = None
    ) -> None:
        super().__init__()
        self.attention = BeatSparseAttention(width, heads, leads=leads, dropout=dropout, backend=backend)
        self.attention_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, mlp_dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(mlp_dim, width))
        self.mlp_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, view: View) -> Tensor:
        """Tokens [B, N, E] → [B, N, E], where `view` says which beats are there and which of them are global."""
        x = self.attention_norm(x + self.dropout(attend(self.attention, x, view)))  # [B, N, E]
        return self.mlp_norm(x + self.dropout(self.mlp(x)))  # [B, N, E]
