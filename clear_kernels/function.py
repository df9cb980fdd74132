"""Autograd around the native operators. Only q, k, v, the output and one log-sum-exp per row are kept for backward.

:class:`BeatAttention` and :class:`PackedAttention` are what ``torch.compile`` and ``torch.func`` compose with. PyTorch
asks more of such functions at every call than an eager call needs, which :func:`attention` therefore leads by a shorter
way to the same operators.

Every ``forward`` spells out its parameters, because ``torch.compile`` tells by their number whether it takes a context.
"""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function, forward_ad

from clear_kernels import ops  # noqa: F401  (registers the operators)
from clear_kernels.checks import GridCall, PackedCall

Pair = tuple[Tensor, Tensor]
Triple = tuple[Tensor, Tensor, Tensor]

# Where a release of PyTorch should lack one of these two private names, every call takes the general way.
_transforms_active = getattr(torch._C, "_are_functorch_transforms_active", lambda: True)
_NO_LEVEL = -1


def attention(call: GridCall | PackedCall, backend: str) -> Tensor:
    """The output of a native ``backend``: [B, H, N, D]."""
    function = BeatAttention if isinstance(call, GridCall) else PackedAttention
    if torch.compiler.is_compiling() or _transforms_active():
        out, _ = function.apply(*call, backend)
        return out
    wanted = torch.is_grad_enabled() and (call.q.requires_grad or call.k.requires_grad or call.v.requires_grad)
    # Forward-mode derivatives go to the function, which refuses them; the operator would drop them.
    if wanted or getattr(forward_ad, "_current_level", 0) != _NO_LEVEL:
        return EagerAttention.apply(*call[:6], function, (*call[6:], backend))
    out, _ = function.operator(*call, backend)
    return out


class BeatAttention(Function):
    """Grid form. Takes the fields of :class:`clear_kernels.checks.GridCall` and the backend; returns (out, lse)."""

    operator = torch.ops.clear_kernels.beat_attention
    backward_operator = torch.ops.clear_kernels.beat_attention_backward

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
        return *BeatAttention.gradients(dout, *ctx.saved_tensors, *ctx.settings), *(None,) * 9

    @staticmethod
    def gradients(*arguments: Any) -> Triple:
        """dq, dk, dv by the backward operator, which may not be differentiated."""
        return _BeatAttentionBackward.apply(*arguments)


class PackedAttention(Function):
    """Packed form. Takes the fields of :class:`clear_kernels.checks.PackedCall` and the backend; (out, lse)."""

    operator = torch.ops.clear_kernels.packed_attention
    backward_operator = torch.ops.clear_kernels.packed_attention_backward

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
        return *PackedAttention.gradients(dout, *ctx.saved_tensors, *ctx.settings), *(None,) * 7

    @staticmethod
    def gradients(*arguments: Any) -> Triple:
        """dq, dk, dv by the backward operator, which may not be differentiated."""
        return _PackedAttentionBackward.apply(*arguments)


class EagerAttention(Function):
    """Either form outside of ``torch.compile`` and ``torch.func``: the same operators, by fewer steps of PyTorch.

    Takes the first six fields of a call, the function that stands for its form, and the other fields with the backend.
    """

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        visible_or_lead: Tensor | None,
        valid: Tensor | None,
        seed: Tensor | None,
        function: type[BeatAttention] | type[PackedAttention],
        settings: tuple[Any, ...],
    ) -> Tensor:
        """Run the operator."""
        out, lse = function.operator(q, k, v, visible_or_lead, valid, seed, *settings)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(q, k, v, out, lse, visible_or_lead, valid, seed)
        ctx.function, ctx.settings = function, settings
        return out

    @staticmethod
    def backward(ctx: Any, dout: Tensor | None) -> tuple[Tensor | None, ...]:
        """Run the backward operator; what may be differentiated, mapped or traced goes by a function as above."""
        if dout is None:
            return (None,) * 8
        general = torch.is_grad_enabled() or torch.compiler.is_compiling() or _transforms_active()
        run = ctx.function.gradients if general else ctx.function.backward_operator
        return *run(dout, *ctx.saved_tensors, *ctx.settings), None, None, None, None, None


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
