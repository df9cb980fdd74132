"""The public functions: sparse attention over the heartbeats of a multi-lead ECG."""

from __future__ import annotations

from torch import Tensor

from clear_kernels import checks, gather, reference
from clear_kernels.autocast import autocast_inputs
from clear_kernels.backends import choose
from clear_kernels.function import attention
from clear_kernels.order import Use


def beat_sparse_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    leads: int,
    beats: int,
    visible: Tensor | bool | None = None,
    valid: Tensor | None = None,
    dropout_p: float = 0.0,
    scale: float | None = None,
    seed: int | Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """Attention over class tokens and heartbeats, each attending only what cardiac conduction relates it to.

    Equals ``softmax(q @ k.mT * scale, where=attention_mask(leads, beats, visible, valid)) @ v``, without a mask tensor
    and without work on forbidden pairs. The sequence is the L class tokens, then the beats in lead-major order: beat j
    of lead i is token L + i * T + j, and N = L * (T + 1). A class token attends itself and the valid beats of its lead;
    a *local* beat its lead's class token and the same heartbeat in every lead; a *global* beat its lead's class token
    and every global beat. Padding attends nothing and nobody attends it.

    Args:
        q: Queries [B, H, N, D] of any floating dtype and any strides (last stride 1 avoids a copy).
        k: Keys, like q.
        v: Values, like q.
        leads: Number of leads L.
        beats: Number of beat slots per lead T.
        visible: Which valid beats are global: None (none, cost linear in T), True (all), or bool [L, T] or [B, L, T].
        valid: Which beats are real: None (all), or bool [L, T] or [B, L, T]. The rest is padding, whose output and
            gradients are exactly 0 whatever it holds, NaN included.
        dropout_p: Probability of dropping an attention weight, 0 <= p < 1. Pass 0 in evaluation.
        scale: Factor of the logits, above 0; None means 1/sqrt(D).
        seed: Seed of the dropout: an int with 0 <= seed < 2**63, an int64 tensor with one value, or None to draw one
            from PyTorch's generator, which ``torch.manual_seed`` sets. One seed drops the same entries on all backends.
        backend: A name of :func:`clear_kernels.backends`, or None for the fastest that can run.

    Returns:
        [B, H, N, D] of q's dtype (the autocast dtype under autocast). Its memory has the order [B, N, H, D], so that
        ``out.transpose(1, 2).reshape(B, N, H * D)`` copies nothing.

    Raises:
        TypeError: If an argument has the wrong type or dtype.
        ValueError: If a shape, device or number is wrong, or the backend is unknown.
        RuntimeError: If ``backend`` names one that cannot run here, with the reason; also in a second derivative
            through a native backend (use ``backend="gather"`` or ``"reference"`` for that).

    Source: "Tracing the Heart's Pathways" (CLEAR-HUG), AAAI 2026, arXiv:2512.24002.
    """
    q, k, v = autocast_inputs(q, k, v)
    call = checks.grid_call(
        q,
        k,
        v,
        leads=leads,
        beats=beats,
        visible=visible,
        valid=valid,
        dropout_p=dropout_p,
        scale=scale,
        seed=seed,
    )
    use: Use = "all_visible" if call.all_visible else "local" if call.visible is None else "visible"
    name = choose(call.q, leads, backend, use)
    if name == "reference":
        return _token_major(reference.beat_attention(call))
    if name == "gather":
        return gather.beat_attention(call)
    return attention(call, name)


def packed_view_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    lead: Tensor,
    leads: int,
    valid: Tensor | None = None,
    dropout_p: float = 0.0,
    scale: float | None = None,
    seed: int | Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """View-guided attention over packed tokens: the class tokens, then n beats in any order, all of them global.

    A class token attends itself and the valid beats of its lead; a beat attends its lead's class token and every valid
    beat. This is :func:`beat_sparse_attention` with ``visible=True`` after the beats that are not kept were dropped.

    Args:
        q: Queries [B, H, leads + n, D] of any floating dtype and any strides (last stride 1 avoids a copy).
        k: Keys, like q.
        v: Values, like q.
        lead: Integer lead of each beat, [n] or [B, n], from 0 to leads - 1. The range is checked on the CPU only, as
            looking at it would wait for a GPU, and not in compiled code.
        leads: Number of leads, which is the number of class tokens.
        valid: Which beats are real: None (all), or bool [n] or [B, n].
        dropout_p: As in :func:`beat_sparse_attention`; entries are counted by their positions in this sequence.
        scale: Factor of the logits, above 0; None means 1/sqrt(D).
        seed: As in :func:`beat_sparse_attention`.
        backend: A name of :func:`clear_kernels.backends`, or None for the fastest that can run.

    Returns:
        [B, H, leads + n, D] of q's dtype, over memory in the order [B, leads + n, H, D].

    Raises:
        TypeError: If an argument has the wrong type or dtype.
        ValueError: If a shape, device, number or lead id is wrong, or the backend is unknown.
        RuntimeError: As in :func:`beat_sparse_attention`.
    """
    q, k, v = autocast_inputs(q, k, v)
    call = checks.packed_call(q, k, v, lead=lead, leads=leads, valid=valid, dropout_p=dropout_p, scale=scale, seed=seed)
    name = choose(call.q, leads, backend, "packed")
    if name == "reference":
        return _token_major(reference.packed_attention(call))
    if name == "gather":
        return gather.packed_attention(call)
    return attention(call, name)


def _token_major(out: Tensor) -> Tensor:
    """``out`` [B, H, N, D] over memory in the order [B, N, H, D], the layout every backend returns."""
    return out.transpose(1, 2).contiguous().transpose(1, 2)
