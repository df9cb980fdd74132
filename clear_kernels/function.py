"""Autograd around the native operators. Only q, k, v, the output and one log-sum-exp per row are kept for backward.

Every ``forward`` spells out its parameters, because ``torch.compile`` tells by their number whether it takes a context.
"""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from clear_kernels import ops  # noqa: F401  (registers the operators)

Pair = tuple[Tensor, Tensor]
Triple = tuple[Tensor, Tensor, Tensor]


class BeatAttention(Function):
    """Grid form. Takes the fields of :class:`clear_kernels.checks.GridCall` and the backend; returns (out, lse)."""

    @staticmethod
    def forward(
        q: Tensor,
        k: Tensor,
        v: Tensor,
        visible: Tensor | None,
        valid: Tensor | None,
        seed: Tensor | None,
        leads: int,
        beats: int,
        all_visible: bool,
        dropout_p: float,
        scale: float,
        backend: str,
    ) -> Pair:
        """Run ``clear_kernels::beat_attention``."""
        return torch.ops.clear_kernels.beat_attention(
            q, k, v, visible, valid, seed, leads, beats, all_visible, dropout_p, scale, backend
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Pair) -> None:
        """Save what backward needs."""
        _save(ctx, inputs, output)

    @staticmethod
    def backward(ctx: Any, dout: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
        """Run ``clear_kernels::beat_attention_backward``."""
        if dout is None:
            return (None,) * 12
        return *_BeatAttentionBackward.apply(dout, *ctx.saved_tensors, *ctx.settings), *(None,) * 9


class PackedAttention(Function):
    """Packed form. Takes the fields of :class:`clear_kernels.checks.PackedCall` and the backend; (out, lse)."""

    @staticmethod
    def forward(
        q: Tensor,
        k: Tensor,
        v: Tensor,
        lead: Tensor,
        valid: Tensor | None,
        seed: Tensor | None,
        leads: int,
        dropout_p: float,
        scale: float,
        backend: str,
    ) -> Pair:
        """Run ``clear_kernels::packed_attention``."""
        return torch.ops.clear_kernels.packed_attention(q, k, v, lead, valid, seed, leads, dropout_p, scale, backend)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Pair) -> None:
        """Save what backward needs."""
        _save(ctx, inputs, output)

    @staticmethod
    def backward(ctx: Any, dout: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
        """Run ``clear_kernels::packed_attention_backward``."""
        if dout is None:
            return (None,) * 10
        return *_PackedAttentionBackward.apply(dout, *ctx.saved_tensors, *ctx.settings), *(None,) * 7


class _BeatAttentionBackward(Function):
    @staticmethod
    def forward(
        dout: Tensor,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        out: Tensor,
        lse: Tensor,
        visible: Tensor | None,
        valid: Tensor | None,
        seed: Tensor | None,
        leads: int,
        beats: int,
        all_visible: bool,
        dropout_p: float,
        scale: float,
        backend: str,
    ) -> Triple:
        return torch.ops.clear_kernels.beat_attention_backward(
            dout, q, k, v, out, lse, visible, valid, seed, leads, beats, all_visible, dropout_p, scale, backend
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Triple) -> None:
        ctx.backend = inputs[-1]

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> None:
        _refuse_second_derivative(ctx.backend)


class _PackedAttentionBackward(Function):
    @staticmethod
    def forward(
        dout: Tensor,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        out: Tensor,
        lse: Tensor,
        lead: Tensor,
        valid: Tensor | None,
        seed: Tensor | None,
        leads: int,
        dropout_p: float,
        scale: float,
        backend: str,
    ) -> Triple:
        return torch.ops.clear_kernels.packed_attention_backward(
            dout, q, k, v, out, lse, lead, valid, seed, leads, dropout_p, scale, backend
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Triple) -> None:
        ctx.backend = inputs[-1]

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> None:
        _refuse_second_derivative(ctx.backend)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Pair) -> None:
    """Keep the tensors (q, k, v, out, lse, two masks or lead and mask, seed) and the settings of a call."""
    out, lse = output
    ctx.mark_non_differentiable(lse)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs[:3], out, lse, *inputs[3:6])
    ctx.settings = inputs[6:]


def _refuse_second_derivative(backend: str) -> None:
    raise RuntimeError(
        f"{backend=} has no second derivative; use backend='gather' (sparse) or backend='reference' (dense), "
        "which differentiate to any order"
    )


class _Given(NamedTuple):
    """Arguments that need no binding: the part of ``inspect.BoundArguments`` that PyTorch uses."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def apply_defaults(self) -> None:
        """Do nothing: every argument was given."""


class _Positional(inspect.Signature):
    """The signature of a function that is called with all its arguments, by position."""

    def bind(self, *args: Any, **_: Any) -> _Given:  # type: ignore[override]
        """Return the arguments as they are."""
        return _Given(args, {})


# PyTorch binds the arguments of every call to the signature of forward, which took two fifths of the time of apply.
for _function in (BeatAttention, PackedAttention, _BeatAttentionBackward, _PackedAttentionBackward):
    _parameters = inspect.signature(_function.forward).parameters.values()
    _function.forward.__signature__ = _Positional(list(_parameters))  # type: ignore[union-attr]
