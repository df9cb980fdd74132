"""CLEAR, the Conduction-LEAd Reconstructor: a masked autoencoder whose tokens are heartbeats."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from clear_hug.models.batch import check_batch, zero_padding
from clear_hug.models.config import CLEARConfig
from clear_hug.models.decoder import CLEARDecoder
from clear_hug.models.encoder import CLEAREncoder
from clear_hug.models.loss import reconstruction_loss
from clear_hug.models.masking import draw_visible, kept_table, pack, packed_size


class CLEAROutput(NamedTuple):
    """Result of one pre-training step.

    Attributes:
        loss: scalar, mean squared error over the masked valid beats.
        prediction: [B, L, T, S], every beat as drawn by the decoder, z-scored per beat; 0 where there is no beat.
        masked: bool [B, L, T], valid beats that were hidden from the encoder.
    """

    loss: Tensor
    prediction: Tensor
    masked: Tensor


class CLEAR(nn.Module):
    """Encoder and decoder for self-supervised pre-training on heartbeats.

    Args:
        config: `CLEARConfig`.
        backend: attention backend of `clear_kernels`; None picks the fastest that can run.

    Source: Pan et al., AAAI 2026 (arXiv 2512.24002), first stage.
    """

    kept_table: Tensor

    def __init__(self, config: CLEARConfig, *, backend: str | None = None) -> None:
        super().__init__()
        self.config = config
        self.encoder = CLEAREncoder(config, backend=backend)
        self.decoder = CLEARDecoder(config, backend=backend)
        self.packed_size = packed_size(config.lead_count, config.beats, config.mask_ratio)
        table = kept_table(config.lead_count, config.beats, config.mask_ratio)
        self.register_buffer("kept_table", table, persistent=False)

    def forward(
        self,
        tokens: Tensor,
        valid: Tensor,
        seconds: Tensor,
        *,
        visible: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> CLEAROutput:
        """Hide most beats, reconstruct them, and say how well.

        Args:
            tokens: float [B, L, T, S] in mV. Padding may hold anything, NaN included.
            valid: bool [B, L, T], True for real beats.
            seconds: int64 [B, T], ``1 + floor(t)`` of the R peak at t seconds, 0 for padding.
            visible: bool [L, T] or [B, L, T], the beats shown to the encoder. None draws them for each sample:
                ``round((1 - mask_ratio) * valid beats)``, at least one. Given masks cost one device sync.
            generator: source of the draw; None follows ``torch.manual_seed``.

        Returns:
            `CLEAROutput`. A sample without valid beats adds nothing to the loss.

        Raises:
            ValueError: for a batch that does not fit the model (see `check_batch`).
        """
        check_batch(self.config, tokens, valid, seconds)
        tokens = zero_padding(tokens, valid)  # [B, L, T, S]
        if visible is None:
            visible = draw_visible(valid, self.kept_table, generator)  # [B, L, T]
            size = self.packed_size
        else:
            visible = self._checked_visible(visible, valid)  # [B, L, T]
            size = max(1, int(visible.flatten(1).sum(dim=1).max())) if len(visible) else 1
        packing = pack(visible, size)
        latent = self.encoder.encode_packed(tokens, seconds, packing)  # [B, L + K, E]
        prediction = self.decoder(latent, packing, visible, valid)  # [B, L, T, S]
        masked = valid & ~visible  # [B, L, T]
        return CLEAROutput(reconstruction_loss(prediction, tokens, masked), prediction, masked)

    def encode(self, tokens: Tensor, valid: Tensor, seconds: Tensor) -> Tensor:
        """Lead tokens [B, L, E] of whole records, nothing masked; arguments as in `forward`."""
        lead_tokens: Tensor = self.encoder(tokens, valid, seconds)
        return lead_tokens

    def _checked_visible(self, visible: Tensor, valid: Tensor) -> Tensor:
        if visible.dtype != torch.bool or visible.shape not in (valid.shape, valid.shape[1:]):
            raise ValueError(
                f"visible has dtype {visible.dtype} and shape {tuple(visible.shape)}, but must be torch.bool of shape "
                f"{tuple(valid.shape)} or {tuple(valid.shape[1:])}"
            )
        return visible & valid
