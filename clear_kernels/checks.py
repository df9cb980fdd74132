"""Argument validation: all errors of the functional API are raised here, and all backends get one canonical form.

The canonical form (see :class:`GridCall` and :class:`PackedCall`) has contiguous boolean masks or ``None``, int32 lead
ids, an int64 seed tensor exactly when dropout is on, and a float scale. Nothing in this module waits for a device.
"""

from __future__ import annotations

import math
import numbers
from typing import NamedTuple

import torch
from torch import Tensor


class GridCall(NamedTuple):
    """Canonical arguments of the grid form: class tokens first, then lead-major beats.

    ``all_visible`` with ``visible=None`` means every beat is global; without it, every beat is local.
    """

    q: Tensor  # [B, H, N, D]
    k: Tensor  # [B, H, N, D]
    v: Tensor  # [B, H, N, D]
    visible: Tensor | None  # bool [L, T] or [B, L, T]
    valid: Tensor | None  # bool [L, T] or [B, L, T]
    seed: Tensor | None  # int64 [1]
    leads: int
    beats: int
    all_visible: bool
    dropout_p: float
    scale: float


class PackedCall(NamedTuple):
    """Canonical arguments of the packed form: class tokens first, then ``n`` beats that carry their lead id."""

    q: Tensor  # [B, H, L + n, D]
    k: Tensor  # [B, H, L + n, D]
    v: Tensor  # [B, H, L + n, D]
    lead: Tensor  # int32 [n] or [B, n]
    valid: Tensor | None  # bool [n] or [B, n]
    seed: Tensor | None  # int64 [1]
    leads: int
    dropout_p: float
    scale: float


def readable_now(tensor: Tensor) -> bool:
    """Whether values of ``tensor`` may be looked at: False while tracing, for fake tensors and in a CUDA graph."""
    if torch.compiler.is_compiling() or type(tensor) is not Tensor or tensor.device.type == "meta":
        return False
    return not (tensor.device.type == "cuda" and torch.cuda.is_current_stream_capturing())


def check_count(name: str, value: int) -> None:
    """Raise unless ``value`` is an int of at least 1."""
    if isinstance(value, bool) or not isinstance(value, (int, torch.SymInt)):
        raise TypeError(f"{name}={value!r} has type {type(value).__name__}; pass an int")
    if value < 1:
        raise ValueError(f"{name}={value}; pass at least 1")


def check_mask(
    name: str, mask: Tensor, shape: tuple[int, ...], batch: int | None, device: torch.device | None
) -> Tensor:
    """Return ``mask`` contiguous after checking it is boolean, on ``device`` and of ``shape`` or ``(batch, *shape)``.

    Args:
        name: What to call the mask in an error.
        mask: The mask.
        shape: Its shape without a batch dimension.
        batch: The batch size it must have if it has a batch dimension; None accepts any.
        device: Where it must be; None accepts any.
    """
    if not isinstance(mask, Tensor):
        raise TypeError(f"{name}={mask!r} has type {type(mask).__name__}; pass a bool tensor of shape {list(shape)}")
    if mask.dtype != torch.bool:
        raise TypeError(f"{name}.dtype={mask.dtype}; pass a bool tensor, such as {name} != 0")
    if device is not None and mask.device != device:
        raise ValueError(f"{name} is on {mask.device} and q on {device}; move it with {name}.to(q.device)")
    with_batch = mask.dim() == len(shape) + 1 and (batch is None or mask.shape[0] == batch)
    if tuple(mask.shape[mask.dim() - len(shape) :]) != shape or not (with_batch or mask.dim() == len(shape)):
        full = ("B" if batch is None else batch, *shape)
        raise ValueError(f"{name}.shape={tuple(mask.shape)}; pass {shape} or {full}".replace("'", ""))
    return mask.contiguous()


def grid_call(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    leads: int,
    beats: int,
    visible: Tensor | bool | None,
    valid: Tensor | None,
    dropout_p: float,
    scale: float | None,
    seed: int | Tensor | None,
) -> GridCall:
    """Check the arguments of :func:`clear_kernels.beat_sparse_attention` and bring them into canonical form."""
    _check_qkv(q, k, v)
    check_count("leads", leads)
    check_count("beats", beats)
    tokens = leads * (beats + 1)
    if q.shape[2] != tokens:
        raise ValueError(
            f"{q.shape=} has {q.shape[2]} tokens, but {leads=} and {beats=} need leads * (beats + 1) = {tokens}: "
            "one class token per lead, then the beats in lead-major order"
        )
    all_visible = visible is True
    if isinstance(visible, bool):
        visible = None
    if visible is not None:
        visible = check_mask("visible", visible, (leads, beats), q.shape[0], q.device)
    if valid is not None:
        valid = check_mask("valid", valid, (leads, beats), q.shape[0], q.device)
    dropout_p = _checked_dropout(dropout_p)
    return GridCall(
        q,
        k,
        v,
        visible,
        valid,
        _canonical_seed(seed, dropout_p, q.device),
        leads,
        beats,
        all_visible,
        dropout_p,
        _checked_scale(scale, q.shape[3]),
    )


def packed_call(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    lead: Tensor,
    leads: int,
    valid: Tensor | None,
    dropout_p: float,
    scale: float | None,
    seed: int | Tensor | None,
) -> PackedCall:
    """Check the arguments of :func:`clear_kernels.packed_view_attention` and bring them into canonical form."""
    _check_qkv(q, k, v)
    check_count("leads", leads)
    packed = q.shape[2] - leads
    if packed < 0:
        raise ValueError(f"{q.shape=} has fewer tokens than {leads=}; put one class token per lead before the beats")
    lead = _canonical_lead(lead, leads, q.shape[0], packed, q.device)
    if valid is not None:
        valid = check_mask("valid", valid, (packed,), q.shape[0], q.device)
    dropout_p = _checked_dropout(dropout_p)
    return PackedCall(
        q,
        k,
        v,
        lead,
        valid,
        _canonical_seed(seed, dropout_p, q.device),
        leads,
        dropout_p,
        _checked_scale(scale, q.shape[3]),
    )


def _check_qkv(q: Tensor, k: Tensor, v: Tensor) -> None:
    for name, tensor in (("q", q), ("k", k), ("v", v)):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} has type {type(tensor).__name__}; pass a tensor of shape [B, H, N, D]")
        if tensor.dim() != 4:
            raise ValueError(f"{name}.shape={tuple(tensor.shape)}; pass 4 dimensions [B, H, N, D]")
    if not q.dtype.is_floating_point:
        raise TypeError(f"{q.dtype=}; pass a floating-point tensor, such as q.float()")
    for name, tensor in (("k", k), ("v", v)):
        if tensor.shape != q.shape:
            raise ValueError(f"{name}.shape={tuple(tensor.shape)} and q.shape={tuple(q.shape)}; pass equal shapes")
        if tensor.dtype != q.dtype:
            raise TypeError(f"{name}.dtype={tensor.dtype} and {q.dtype=}; convert with {name}.to(q.dtype)")
        if tensor.device != q.device:
            raise ValueError(f"{name} is on {tensor.device} and q on {q.device}; move it with {name}.to(q.device)")
    if q.shape[3] < 1:
        raise ValueError(f"{q.shape=} has an empty head dimension; pass D of at least 1")


def _canonical_lead(lead: Tensor, leads: int, batch: int, packed: int, device: torch.device) -> Tensor:
    if not isinstance(lead, Tensor):
        raise TypeError(f"lead has type {type(lead).__name__}; pass an int64 tensor, such as torch.tensor(lead)")
    if lead.dtype not in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8):
        raise TypeError(f"{lead.dtype=}; pass integer lead ids, such as lead.long()")
    if lead.device != device:
        raise ValueError(f"lead is on {lead.device} and q on {device}; move it with lead.to(q.device)")
    if tuple(lead.shape) not in ((packed,), (batch, packed)):
        raise ValueError(
            f"{tuple(lead.shape)=}; pass one lead id per packed beat, ({packed},) or ({batch}, {packed}), "
            f"which is q.shape[2] - leads = {packed} beats"
        )
    if device.type == "cpu" and packed and readable_now(lead):
        low, high = (int(bound) for bound in torch.aminmax(lead)) if lead.numel() else (0, 0)
        if low < 0 or high >= leads:
            raise ValueError(f"lead has ids from {low} to {high}; with {leads=} pass ids from 0 to {leads - 1}")
        return lead.to(torch.int32).contiguous()
    # Looking at the ids would wait for the device; clamped, a wrong id can at least never address foreign memory.
    return lead.clamp(0, leads - 1).to(torch.int32).contiguous()


def _checked_dropout(dropout_p: float) -> float:
    if isinstance(dropout_p, Tensor):
        raise TypeError("dropout_p is a tensor; pass a float, such as dropout_p.item()")
    _check_real("dropout_p", dropout_p)
    if not 0.0 <= dropout_p < 1.0:
        raise ValueError(f"{dropout_p=}; pass a probability with 0 <= dropout_p < 1")
    return float(dropout_p)


def _check_real(name: str, value: float) -> None:
    if not isinstance(value, (numbers.Real, torch.SymFloat, torch.SymInt)):
        raise TypeError(f"{name}={value!r} has type {type(value).__name__}; pass a float")


def _checked_scale(scale: float | None, head_dim: int) -> float:
    if scale is None:
        return float(head_dim) ** -0.5
    if isinstance(scale, Tensor):
        raise TypeError("scale is a tensor; pass a float, such as scale.item()")
    _check_real("scale", scale)
    if not (math.isfinite(scale) and scale > 0.0):
        raise ValueError(f"{scale=}; pass a finite factor above 0 for the logits, or None for 1/sqrt(D)")
    return float(scale)


def _canonical_seed(seed: int | Tensor | None, dropout_p: float, device: torch.device) -> Tensor | None:
    if isinstance(seed, Tensor):
        if seed.dtype != torch.int64 or seed.numel() != 1:
            raise ValueError(f"seed has {seed.dtype} and shape {tuple(seed.shape)}; pass one int64 value")
    elif seed is not None and (isinstance(seed, bool) or not isinstance(seed, (int, torch.SymInt))):
        raise TypeError(f"{seed=} has type {type(seed).__name__}; pass an int, an int64 tensor of one value, or None")
    elif seed is not None and not 0 <= seed < 2**63:
        raise ValueError(f"{seed=}; pass an int with 0 <= seed < 2**63")
    if dropout_p == 0.0:
        return None
    if seed is None:
        # The device's own generator: follows torch.manual_seed, needs no copy and is safe inside a CUDA graph.
        return torch.randint(0, 2**63 - 1, (1,), dtype=torch.int64, device=device)
    if isinstance(seed, Tensor):
        return seed.reshape(1).to(device)
    return torch.full((1,), seed, dtype=torch.int64, device=device)
