"""CLEAR's decoder: a hidden beat is drawn from the same heartbeat in the other leads and its own lead's class token."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clear_hug.models.config import CLEARConfig
from clear_hug.models.layer import TransformerLayer
from clear_hug.models.masking import Packing
from clear_hug.models.views import GridView


class CLEARDecoder(nn.Module):
    """Linear to the decoder's width, mask tokens put back, positions, conduction-view layers, LayerNorm, Linear to S.

    Args:
        config: `CLEARConfig`.
        backend: attention backend of `clear_kernels`; None picks the fastest that can run.
    """

    def __init__(self, config: CLEARConfig, *, backend: str | None = None) -> None:
        super().__init__()
        self.leads, self.beats = config.lead_count, config.beats
        width = config.decoder_dim
        self.embed = nn.Linear(config.embed_dim, width)
        self.mask_token = nn.Parameter(torch.empty(width))  # [Ed]
        self.position = nn.Parameter(torch.empty(config.sequence_length, width))  # [L + L*T, Ed]
        self.layers = nn.ModuleList(
            TransformerLayer(
                width,
                config.decoder_heads,
                config.decoder_mlp_dim,
                leads=config.lead_count,
                dropout=config.dropout,
                backend=backend,
            )
            for _ in range(config.decoder_depth)
        )
        self.norm = nn.LayerNorm(width)
        self.predict = nn.Linear(width, config.beat_samples)
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        nn.init.trunc_normal_(self.position, std=0.02)

    def forward(self, latent: Tensor, packing: Packing, visible: Tensor, valid: Tensor) -> Tensor:
        """Draw every beat of the grid.

        Args:
            latent: [B, L + K, E], the encoder's output.
            packing: where the K beats belong.
            visible: bool [B, L, T], the beats the encoder saw.
            valid: bool [B, L, T], real beats.

        Returns:
            [B, L, T, S], z-scored per beat; 0 where there is no beat.
        """
        x = self.place(self.embed(latent), packing, visible)  # [B, L + L*T, Ed]
        x = self.run_layers(x, GridView(visible=visible, valid=valid))  # [B, L*T, S]
        grid = x.unflatten(1, (self.leads, self.beats))  # [B, L, T, S]
        return grid.masked_fill(~valid[..., None], 0.0)

    def place(self, x: Tensor, packing: Packing, visible: Tensor) -> Tensor:
        """Packed tokens [B, L + K, Ed] → the full sequence [B, L + L*T, Ed], mask tokens where a beat is hidden."""
        slot = packing.slot[..., None].expand(-1, -1, x.shape[-1])  # [B, L*T, Ed]
        kept = x[:, self.leads :].gather(1, slot)  # [B, L*T, Ed]
        beats = torch.where(visible.flatten(1)[..., None], kept, self.mask_token)  # [B, L*T, Ed]
        return torch.cat([x[:, : self.leads].to(beats.dtype), beats], dim=1) + self.position

    def run_layers(self, x: Tensor, view: GridView) -> Tensor:
        """The full sequence [B, L + L*T, Ed] through every layer, LayerNorm and the last Linear → beats [B, L*T, S]."""
        for layer in self.layers:
            x = layer(x, view)  # [B, L + L*T, Ed]
        return self.predict(self.norm(x[:, self.leads :]))  # [B, L*T, S]
