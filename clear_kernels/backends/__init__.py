"""The registry of backends: what exists, what can run here, and which one is taken (by ``order.py``).

A native backend is a module with the functions of :class:`Backend`. It is imported when first asked for, so that a
missing compiler, driver or package shows as a reason and never as a failing import of ``clear_kernels``.
"""

from __future__ import annotations

import functools
import importlib
import operator
from collections.abc import Iterator
from typing import Protocol, cast

import torch
from torch import Tensor

from clear_kernels.order import Use, call_of, order_of, token_bound
from clear_kernels.precision import tf32_allowed

NATIVE = {
    "cpu": "clear_kernels.backends.cpu",
    "triton": "clear_kernels.backends.triton",
    "cuda": "clear_kernels.backends.cuda",
}
NAMES = (*NATIVE, "gather", "reference")

MAX_NATIVE_LEADS = 64

# Choices that were made, by the facts of a call: probing the backends takes longer than many a call.
_MOST_CHOSEN = 1024
_chosen: dict[tuple[object, ...], str] = {}

Pair = tuple[Tensor, Tensor]
Triple = tuple[Tensor, Tensor, Tensor]


class Backend(Protocol):
    """What a native backend module provides. Tensors are canonical; see :mod:`clear_kernels.checks`.

    ``out`` and the gradients have q's dtype and shape [B, H, N, D] over memory in the order [B, N, H, D]. ``lse``
    [B, H, N] is the natural log-sum-exp of each row's scaled logits before dropout, +inf in padding rows; float32, or
    float64 for float64.
    """

    def available(self) -> str | None:
        """None if the backend is usable on this machine, else the reason."""

    def can_run(self, q: Tensor) -> str | None:
        """None if it can run for the device, dtype and head dimension of ``q``, else the reason."""

    def forward(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        visible: Tensor | None,
        valid: Tensor | None,
        seed: Tensor | None,
        *,
        leads: int,
        beats: int,
        all_visible: bool,
        dropout_p: float,
        scale: float,
    ) -> Pair:
        """Grid form: (out, lse)."""

    def backward(
        self,
        dout: Tensor,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        out: Tensor,
        lse: Tensor,
        visible: Tensor | None,
        valid: Tensor | None,
        seed: Tensor | None,
        *,
        leads: int,
        beats: int,
        all_visible: bool,
        dropout_p: float,
        scale: float,
    ) -> Triple:
        """Grid form: (dq, dk, dv)."""

    def packed_forward(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        lead: Tensor,
        valid: Tensor | None,
        seed: Tensor | None,
        *,
        leads: int,
        dropout_p: float,
        scale: float,
    ) -> Pair:
        """Packed form: (out, lse)."""

    def packed_backward(
        self,
        dout: Tensor,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        out: Tensor,
        lse: Tensor,
        lead: Tensor,
        valid: Tensor | None,
        seed: Tensor | None,
        *,
        leads: int,
        dropout_p: float,
        scale: float,
    ) -> Triple:
        """Packed form: (dq, dk, dv)."""


def backends() -> dict[str, str | None]:
    """Return every backend's name with None if it can run on this machine, else the reason why not."""
    return {name: _unavailable(name) for name in NAMES}


@functools.cache
def load(name: str) -> Backend:
    """Import and return a native backend.

    Raises:
        RuntimeError: If its module cannot be imported, with the reason.
    """
    try:
        return cast(Backend, importlib.import_module(NATIVE[name]))
    except ImportError as error:
        raise RuntimeError(f"backend {name!r} cannot be imported: {error}") from error


def choose(q: Tensor, leads: int, backend: str | None, use: Use = "local") -> str:
    """Return the backend to use: the one asked for, or the first of the table that can run, in the end ``gather``.

    Raises:
        ValueError: If ``backend`` is not a name of :func:`backends`.
        RuntimeError: If it cannot run for ``q`` and ``leads``, with the reason.
    """
    if backend is not None and backend not in NAMES:
        raise ValueError(f"{backend=} is unknown; pass None or one of {', '.join(NAMES)}")
    if type(q) is not Tensor or torch.compiler.is_compiling():
        return _able(q, leads, backend, use)
    # All that a choice rests on; sizes are plain numbers here.
    tf32 = q.dtype == torch.float32 and q.device.type == "cuda" and tf32_allowed()
    facts = (backend, q.device, q.dtype, q.shape[2], q.shape[3], leads, use, tf32)
    name = _chosen.get(facts)
    if name is None:
        name = _able(q, leads, backend, use)
        if len(_chosen) >= _MOST_CHOSEN:
            _chosen.clear()
        _chosen[facts] = name
    return name


def _able(q: Tensor, leads: int, backend: str | None, use: Use) -> str:
    """What :func:`choose` returns, found anew."""
    if backend is None:
        return _first(q, leads, use)
    reason = _refusal(backend, q, leads)
    if reason is not None:
        raise RuntimeError(f"{backend=} cannot run here: {reason}")
    return backend


def candidates(
    q: Tensor, leads: int, use: Use = "local", tokens: int | None = None
) -> Iterator[tuple[str, str | None]]:
    """What ``backend=None`` tries for ``q``, best first, each with None or the reason why it is passed over.

    The last, ``gather``, runs everywhere. ``tokens``: the length to go by if it is not that of ``q``.
    """
    bound = token_bound(q.device, q.shape[2] if tokens is None else tokens)
    for name in order_of(call_of(q.device, q.dtype, q.shape[3], leads, use, bound)):
        yield name, refusal(name, q, leads)
    yield "gather", None


def refusal(name: str, q: Tensor, leads: int) -> str | None:
    """Why a backend cannot run for ``q`` and ``leads``, or None."""
    if name not in NATIVE:
        return None
    if leads > MAX_NATIVE_LEADS:
        return f"{leads=} and native kernels take at most {MAX_NATIVE_LEADS}; use backend='gather'"
    return _unavailable(name) or load(name).can_run(q)


@functools.cache
def _unavailable(name: str) -> str | None:
    """Why a backend is unusable on this machine, or None; looked for once, as a failing import takes long."""
    if name not in NATIVE:
        return None
    try:
        return load(name).available()
    except RuntimeError as error:
        return str(error)


def _first(q: Tensor, leads: int, use: Use) -> str:
    """The first candidate that can run."""
    if torch.compiler.is_dynamo_compiling():
        # operator.index makes a constant of a size that is symbolic under dynamic shapes.
        head_dim, leads = operator.index(q.shape[3]), operator.index(leads)
        return _traced_first(str(q.device), q.dtype, head_dim, leads, use, token_bound(q.device, q.shape[2]))
    return _eager_first(q, leads, use)


def _eager_first(q: Tensor, leads: int, use: Use, tokens: int | None = None) -> str:
    return next(name for name, reason in candidates(q, leads, use, tokens) if reason is None)


def _refusal(name: str, q: Tensor, leads: int) -> str | None:
    """Why a backend cannot run for ``q``, or None."""
    if torch.compiler.is_dynamo_compiling():
        return _traced_refusal(name, str(q.device), q.dtype, operator.index(q.shape[3]), operator.index(leads))
    return refusal(name, q, leads)


def _traced_first(device: str, dtype: torch.dtype, head_dim: int, leads: int, use: Use, tokens: int) -> str:
    """The choice as a constant of the compiled graph: importing and probing a backend cannot be traced."""
    return _eager_first(torch.empty(1, 1, 0, head_dim, dtype=dtype, device=device), leads, use, tokens)


def _traced_refusal(name: str, device: str, dtype: torch.dtype, head_dim: int, leads: int) -> str | None:
    """The refusal as a constant of the compiled graph."""
    return refusal(name, torch.empty(1, 1, 0, head_dim, dtype=dtype, device=device), leads)


# What torch.compiler.assume_constant_result does, without its import of torch._dynamo, which takes as long as torch's.
_traced_first._dynamo_marked_constant = True  # type: ignore[attr-defined]
_traced_refusal._dynamo_marked_constant = True  # type: ignore[attr-defined]
