"""The operators ``torch.ops.clear_kernels.*``: schemas, implementation, fakes and autocast rules of native backends.

They are not differentiable: autograd lives outside, in :mod:`clear_kernels.function`, where ``torch.func`` composes
with it. Call :func:`clear_kernels.beat_sparse_attention` and :func:`clear_kernels.packed_view_attention` instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from clear_kernels.autocast import autocast_inputs
from clear_kernels.backends import load

_GRID = "SymInt leads, SymInt beats, bool all_visible, float dropout_p, float scale, str backend"
_PACKED = "SymInt leads, float dropout_p, float scale, str backend"
_MASKS = "Tensor? visible, Tensor? valid, Tensor? seed"
_LEAD = "Tensor lead, Tensor? valid, Tensor? seed"
_SAVED = "Tensor dout, Tensor q, Tensor k, Tensor v, Tensor out, Tensor lse"

_SCHEMAS = (
    f"beat_attention(Tensor q, Tensor k, Tensor v, {_MASKS}, {_GRID}) -> (Tensor, Tensor)",
    f"beat_attention_backward({_SAVED}, {_MASKS}, {_GRID}) -> (Tensor, Tensor, Tensor)",
    f"packed_attention(Tensor q, Tensor k, Tensor v, {_LEAD}, {_PACKED}) -> (Tensor, Tensor)",
    f"packed_attention_backward({_SAVED}, {_LEAD}, {_PACKED}) -> (Tensor, Tensor, Tensor)",
)

_library = torch.library.Library("clear_kernels", "DEF")
for _schema in _SCHEMAS:
    _library.define(_schema, tags=(torch.Tag.pt2_compliant_tag, torch.Tag.needs_fixed_stride_order))


def _beat_attention(
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
) -> tuple[Tensor, Tensor]:
    return load(backend).forward(
        q,
        k,
        v,
        visible,
        valid,
        seed,
        leads=leads,
        beats=beats,
        all_visible=all_visible,
        dropout_p=dropout_p,
        scale=scale,
    )


def _beat_attention_backward(
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
) -> tuple[Tensor, Tensor, Tensor]:
    return load(backend).backward(
        dout,
        q,
        k,
        v,
        out,
        lse,
        visible,
        valid,
        seed,
        leads=leads,
        beats=beats,
        all_visible=all_visible,
        dropout_p=dropout_p,
        scale=scale,
    )


def _packed_attention(
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
) -> tuple[Tensor, Tensor]:
    return load(backend).packed_forward(q, k, v, lead, valid, seed, leads=leads, dropout_p=dropout_p, scale=scale)


def _packed_attention_backward(
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
) -> tuple[Tensor, Tensor, Tensor]:
    return load(backend).packed_backward(
        dout, q, k, v, out, lse, lead, valid, seed, leads=leads, dropout_p=dropout_p, scale=scale
    )


def _fake_forward(q: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    lse_dtype = torch.float64 if q.dtype == torch.float64 else torch.float32
    return _token_major_like(q), q.new_empty(q.shape[:3], dtype=lse_dtype)


def _fake_backward(dout: Tensor, q: Tensor, *_: object) -> tuple[Tensor, Tensor, Tensor]:
    return _token_major_like(q), _token_major_like(q), _token_major_like(q)


def _token_major_like(q: Tensor) -> Tensor:
    batch, heads, tokens, head_dim = q.shape
    return q.new_empty(batch, tokens, heads, head_dim).transpose(1, 2)


def _autocast_beat_attention(q: Tensor, k: Tensor, v: Tensor, *rest: object) -> tuple[Tensor, Tensor]:
    q, k, v = autocast_inputs(q, k, v)
    with torch.autocast(q.device.type, enabled=False):
        return torch.ops.clear_kernels.beat_attention(q, k, v, *rest)


def _autocast_packed_attention(q: Tensor, k: Tensor, v: Tensor, *rest: object) -> tuple[Tensor, Tensor]:
    q, k, v = autocast_inputs(q, k, v)
    with torch.autocast(q.device.type, enabled=False):
        return torch.ops.clear_kernels.packed_attention(q, k, v, *rest)


_IMPLEMENTATIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "beat_attention": (_beat_attention, _fake_forward),
    "beat_attention_backward": (_beat_attention_backward, _fake_backward),
    "packed_attention": (_packed_attention, _fake_forward),
    "packed_attention_backward": (_packed_attention_backward, _fake_backward),
}
for _name, (_real, _fake) in _IMPLEMENTATIONS.items():
    _library.impl(_name, _real, "CompositeExplicitAutograd")
    _library.impl(_name, torch.library.fallthrough_kernel, "Autograd")
    torch.library.register_fake(f"clear_kernels::{_name}", _fake, lib=_library)
for _key in ("AutocastCPU", "AutocastCUDA"):
    _library.impl("beat_attention", _autocast_beat_attention, _key)
    _library.impl("packed_attention", _autocast_packed_attention, _key)
