"""The C++ backend: marshals canonical tensors into raw pointers for ``clear_kernels._cpu``."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping, Sequence
from typing import Protocol, cast

import torch
from torch import Tensor

from clear_kernels.backends.memory import batch_stride, gradients_like, rows_of, token_major, token_major_like

_DTYPE_CODES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2, torch.float64: 3}
_GRID, _PACKED = 0, 1
_MIN_HEAD_DIM, _MAX_HEAD_DIM = 8, 256


class _Extension(Protocol):
    """The compiled module: pointers, sizes, element strides (batch, head, token) and codes; no torch types."""

    def attention_forward(self, *arguments: object) -> None: ...

    def attention_backward(self, *arguments: object) -> None: ...

    def isas(self) -> Sequence[str]: ...

    def build_info(self) -> Mapping[str, str]: ...


def available() -> str | None:
    """None if the C++ extension is there, else the reason."""
    try:
        extension()
    except ImportError as error:
        return str(error)
    return None


@functools.cache
def extension() -> _Extension:
    """Return the compiled module.

    Raises:
        ImportError: If it was not built or cannot be loaded, with the remedy.
    """
    try:
        return cast(_Extension, importlib.import_module("clear_kernels._cpu"))
    except ImportError as error:
        raise ImportError(
            f"the C++ extension clear_kernels._cpu was not built ({error}); "
            "reinstall with a C++ compiler and without CLEAR_KERNELS_NATIVE=0"
        ) from error


def build_info() -> Mapping[str, str]:
    """How the extension was built and what it found at run time."""
    return extension().build_info()


def can_run(q: Tensor) -> str | None:
    """None if the kernel takes the device, dtype and head dimension of ``q``, else the reason."""
    if q.device.type != "cpu":
        return f"q is on {q.device} and this backend computes on the CPU; move q, k and v with .cpu()"
    if q.dtype not in _DTYPE_CODES:
        return f"{q.dtype=}; pass float32, bfloat16, float16 or float64, or use backend='gather'"
    if not _MIN_HEAD_DIM <= q.shape[-1] <= _MAX_HEAD_DIM:
        return f"head dimension {q.shape[-1]} is outside {_MIN_HEAD_DIM} to {_MAX_HEAD_DIM}; use backend='gather'"
    return None


def forward(
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
    isa: str = "",
) -> tuple[Tensor, Tensor]:
    """Grid form: (out, lse). ``isa`` picks an instruction-set variant, "" the best of this machine."""
    masks = (all_visible, *_mask(visible, 2), *_mask(valid, 2), 0, 0)
    return _forward(_GRID, q, k, v, masks, seed, leads=leads, beats=beats, p=dropout_p, scale=scale, isa=isa)


def backward(
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
    isa: str = "",
) -> tuple[Tensor, Tensor, Tensor]:
    """Grid form: (dq, dk, dv)."""
    masks = (all_visible, *_mask(visible, 2), *_mask(valid, 2), 0, 0)
    saved = (q, k, v, out, lse)
    return _backward(_GRID, dout, saved, masks, seed, leads=leads, beats=beats, p=dropout_p, scale=scale, isa=isa)


def packed_forward(
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
    isa: str = "",
) -> tuple[Tensor, Tensor]:
    """Packed form: (out, lse)."""
    masks = (True, 0, 0, *_mask(valid, 1), *_mask(lead, 1))
    n = q.shape[2] - leads
    return _forward(_PACKED, q, k, v, masks, seed, leads=leads, beats=n, p=dropout_p, scale=scale, isa=isa)


def packed_backward(
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
    isa: str = "",
) -> tuple[Tensor, Tensor, Tensor]:
    """Packed form: (dq, dk, dv)."""
    masks = (True, 0, 0, *_mask(valid, 1), *_mask(lead, 1))
    saved = (q, k, v, out, lse)
    n = q.shape[2] - leads
    return _backward(_PACKED, dout, saved, masks, seed, leads=leads, beats=n, p=dropout_p, scale=scale, isa=isa)


def _forward(
    form: int,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    masks: tuple[object, ...],
    seed: Tensor | None,
    *,
    leads: int,
    beats: int,
    p: float,
    scale: float,
    isa: str,
) -> tuple[Tensor, Tensor]:
    (q, q_strides), (k, k_strides), (v, v_strides) = rows_of(q), rows_of(k), rows_of(v)
    out = token_major_like(q)
    lse = torch.empty(q.shape[:3], dtype=torch.float64 if q.dtype == torch.float64 else torch.float32)  # [B, H, N]
    if lse.numel():
        extension().attention_forward(
            *_head(form, q, leads, beats),
            q.data_ptr(),
            k.data_ptr(),
            v.data_ptr(),
            q_strides,
            k_strides,
            v_strides,
            out.data_ptr(),
            lse.data_ptr(),
            *masks,
            *_tail(seed, p, scale, isa),
        )
    return out, lse


def _backward(
    form: int,
    dout: Tensor,
    saved: tuple[Tensor, Tensor, Tensor, Tensor, Tensor],
    masks: tuple[object, ...],
    seed: Tensor | None,
    *,
    leads: int,
    beats: int,
    p: float,
    scale: float,
    isa: str,
) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v, out, lse = saved
    (q, q_strides), (k, k_strides), (v, v_strides) = rows_of(q), rows_of(k), rows_of(v)
    dout, dout_strides = rows_of(dout)
    out, lse = token_major(out), lse.contiguous()
    dq, dk, dv = gradients_like(q)
    if lse.numel():
        extension().attention_backward(
            *_head(form, q, leads, beats),
            q.data_ptr(),
            k.data_ptr(),
            v.data_ptr(),
            q_strides,
            k_strides,
            v_strides,
            out.data_ptr(),
            lse.data_ptr(),
            dout.data_ptr(),
            dout_strides,
            dq.data_ptr(),
            dk.data_ptr(),
            dv.data_ptr(),
            *masks,
            *_tail(seed, p, scale, isa),
        )
    return dq, dk, dv


def _head(form: int, q: Tensor, leads: int, beats: int) -> tuple[int, ...]:
    batch, heads, _, head_dim = q.shape
    return form, _DTYPE_CODES[q.dtype], batch, heads, leads, beats, head_dim


def _tail(seed: Tensor | None, p: float, scale: float, isa: str) -> tuple[float, int, float, int, str]:
    bits = 0 if seed is None else int(seed.item()) & 0xFFFFFFFFFFFFFFFF
    return p, bits, scale, torch.get_num_threads(), isa


def _mask(mask: Tensor | None, dims: int) -> tuple[int, int]:
    """Pointer (0 for None) and batch stride in elements (0 when shared by the batch)."""
    return (0, 0) if mask is None else (mask.data_ptr(), batch_stride(mask, dims))
