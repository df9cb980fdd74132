"""``BeatSparseAttention``: the attention as a layer with the parameters of ``torch.nn.MultiheadAttention``."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clear_kernels.backends import NAMES
from clear_kernels.functional import beat_sparse_attention, packed_view_attention


class BeatSparseAttention(nn.Module):
    """Multi-head self-attention over class tokens and heartbeats; see :func:`clear_kernels.beat_sparse_attention`.

    Parameters carry the names, shapes and initial values of ``torch.nn.MultiheadAttention``: ``in_proj_weight``
    [3E, E], ``in_proj_bias`` [3E], ``out_proj.weight`` [E, E] and ``out_proj.bias`` [E], so a ``state_dict`` of one
    loads into the other. Queries, keys and values are views of one projection; nothing is copied.

    The attention output of a padding beat is 0, so the layer returns the output bias there. The rows of ``x`` at
    padding must be finite for the weight gradients to be so.

    Args:
        embed_dim: Width E of the tokens.
        num_heads: Number of heads; divides ``embed_dim``.
        leads: Number of leads L, which is the number of class tokens at the front of the sequence.
        dropout: Probability of dropping an attention weight while training.
        bias: Whether the projections have a bias.
        backend: A name of :func:`clear_kernels.backends`, or None for the fastest that can run.

    Raises:
        ValueError: If a size is wrong.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        leads: int = 12,
        dropout: float = 0.0,
        bias: bool = True,
        backend: str | None = None,
    ) -> None:
        super().__init__()
        if embed_dim < 1 or num_heads < 1 or embed_dim % num_heads:
            raise ValueError(f"{embed_dim=} and {num_heads=}; pass an embed_dim that is a multiple of num_heads")
        if leads < 1:
            raise ValueError(f"{leads=}; pass at least 1")
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"{dropout=}; pass a probability with 0 <= dropout < 1")
        if backend is not None and backend not in NAMES:
            raise ValueError(f"{backend=} is unknown; pass None or one of {', '.join(NAMES)}")
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.leads = leads
        self.dropout = dropout
        self.backend = backend
        self.in_proj_weight = nn.Parameter(torch.empty(3 * embed_dim, embed_dim))
        if bias:
            self.in_proj_bias = nn.Parameter(torch.empty(3 * embed_dim))
        else:
            self.register_parameter("in_proj_bias", None)
        self.out_proj = nn.Linear(embed_dim, embed_dim, bias=bias)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Initialise as ``torch.nn.MultiheadAttention``; ``out_proj.weight`` keeps the default of ``nn.Linear``."""
        nn.init.xavier_uniform_(self.in_proj_weight)
        if self.in_proj_bias is not None:
            nn.init.zeros_(self.in_proj_bias)
            nn.init.zeros_(self.out_proj.bias)

    @classmethod
    def from_multihead_attention(
        cls, mha: nn.MultiheadAttention, leads: int = 12, backend: str | None = None
    ) -> BeatSparseAttention:
        """Convert a ``torch.nn.MultiheadAttention``, copying its weights, dtype, device, dropout and training flag.

        ``batch_first`` does not matter: this layer always takes [B, N, E].

        Raises:
            TypeError: If ``mha`` is another kind of layer.
            ValueError: If ``mha`` has keys or values of another width, key and value biases, or a zero key, none of
                which this layer has.
        """
        if not isinstance(mha, nn.MultiheadAttention):
            raise TypeError(f"mha has type {type(mha).__name__}; pass a torch.nn.MultiheadAttention")
        if mha.kdim != mha.embed_dim or mha.vdim != mha.embed_dim:
            raise ValueError(
                f"{mha.kdim=} and {mha.vdim=} differ from {mha.embed_dim=}; convert a self-attention layer"
            )
        if mha.bias_k is not None or mha.bias_v is not None:
            raise ValueError("mha.bias_k and mha.bias_v are set; convert a layer made with add_bias_kv=False")
        if mha.add_zero_attn:
            raise ValueError("mha.add_zero_attn=True; convert a layer made with add_zero_attn=False")
        layer = cls(
            mha.embed_dim,
            mha.num_heads,
            leads=leads,
            dropout=mha.dropout,
            bias=mha.in_proj_bias is not None,
            backend=backend,
        )
        layer.to(device=mha.in_proj_weight.device, dtype=mha.in_proj_weight.dtype)
        layer.load_state_dict(mha.state_dict())
        theirs = dict(mha.named_parameters())
        for name, parameter in layer.named_parameters():
            parameter.requires_grad_(theirs[name].requires_grad)
        return layer.train(mha.training)

    def forward(self, x: Tensor, *, visible: Tensor | bool | None = None, valid: Tensor | None = None) -> Tensor:
        """Attend over the grid of beats.

        Args:
            x: Tokens [B, N, E], N = leads * (beats + 1): class tokens, then lead-major beats.
            visible: None (local), True (global), or bool [L, T] or [B, L, T].
            valid: None (all), or bool [L, T] or [B, L, T].

        Returns:
            [B, N, E].

        Raises:
            ValueError: If ``x`` does not hold a whole grid of beats of width E, or a mask does not fit it.
        """
        self._check_width(x)
        beats, rest = x.shape[1] // self.leads - 1, x.shape[1] % self.leads
        if rest or beats < 1:
            raise ValueError(
                f"{x.shape=} has {x.shape[1]} tokens; with leads={self.leads} pass leads * (beats + 1) of them: "
                "one class token per lead, then the beats in lead-major order"
            )
        q, k, v = self._project(x)
        out = beat_sparse_attention(
            q,
            k,
            v,
            leads=self.leads,
            beats=beats,
            visible=visible,
            valid=valid,
            dropout_p=self.dropout if self.training else 0.0,
            backend=self.backend,
        )
        return self._merge(out)

    def forward_packed(self, x: Tensor, lead: Tensor, valid: Tensor | None = None) -> Tensor:
        """View-guided attention over packed tokens; see :func:`clear_kernels.packed_view_attention`.

        Args:
            x: Tokens [B, leads + n, E]: class tokens, then the kept beats in any order.
            lead: Integer lead of each beat, [n] or [B, n].
            valid: None (all), or bool [n] or [B, n].

        Returns:
            [B, leads + n, E].

        Raises:
            ValueError: If ``x`` has another width or fewer tokens than leads, or ``lead`` or ``valid`` do not fit it.
        """
        self._check_width(x)
        q, k, v = self._project(x)
        out = packed_view_attention(
            q,
            k,
            v,
            lead=lead,
            leads=self.leads,
            valid=valid,
            dropout_p=self.dropout if self.training else 0.0,
            backend=self.backend,
        )
        return self._merge(out)

    def extra_repr(self) -> str:
        """The settings shown by ``print``."""
        return (
            f"embed_dim={self.embed_dim}, num_heads={self.num_heads}, leads={self.leads}, dropout={self.dropout}, "
            f"backend={self.backend!r}"
        )

    def _check_width(self, x: Tensor) -> None:
        if x.dim() != 3 or x.shape[2] != self.embed_dim:
            raise ValueError(f"{x.shape=}; pass tokens of shape [B, N, {self.embed_dim}]")

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values: views [B, H, N, D] of one projection [B, N, 3E]."""
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)  # [B, N, 3E]
        q, k, v = qkv.unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)  # [B, H, N, D]
        return q, k, v

    def _merge(self, out: Tensor) -> Tensor:
        """Project the heads [B, H, N, D] back to tokens [B, N, E]."""
        return self.out_proj(out.transpose(1, 2).flatten(2))
