"""The CUDA C++ backend: marshals canonical tensors into raw pointers for ``clear_kernels._cuda``."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from typing import NamedTuple, Protocol, cast

import torch
from torch import Tensor

from clear_kernels.backends.device import on_device, stream_of
from clear_kernels.backends.memory import batch_stride, gradients_like, rows_of, token_major_like

_DTYPE_CODES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2, torch.float64: 3}
_LOCAL, _MIXED, _ALL_VISIBLE, _PACKED = range(4)
_MIN_HEAD_DIM, _MAX_HEAD_DIM = 8, 256
_MAX_TOKENS = 2**31 - 4096  # places in a list are counted in 32 bits, steps of a tile beyond its end included

Rows = tuple[int, int, int, int]  # address, element strides of batch, head and token
Mask = tuple[int, int]  # address (0: none), batch stride (0: shared by the batch)
_ABSENT: Rows = (0, 0, 0, 0)


class Problem(NamedTuple):
    """The fields of ``ClearProblem`` in csrc/cuda/api.h, in the order in which the extension takes them."""

    dtype: int
    form: int
    leads: int
    dim: int
    batch: int
    heads: int
    beats: int
    rows: tuple[Rows, Rows, Rows, Rows, Rows, Rows, Rows, Rows]  # q, k, v, dout, out, dq, dk, dv
    lse: int
    visible: Mask
    valid: Mask
    lead: Mask
    seed: int
    drop_below: int
    keep_scale: float
    scale: float


class _Extension(Protocol):
    """The compiled module. Addresses are of the current device's memory; nothing waits for the device."""

    def workspace(self, problem: Problem, backward: bool, device: int) -> int:
        """Bytes of scratch memory that the call needs."""

    def run(self, problem: Problem, backward: bool, workspace: int, size: int, stream: int, device: int) -> None:
        """Start the kernels on a stream."""

    def plan(self, problem: Problem, backward: bool, limits: tuple[int, int, int]) -> Mapping[str, int]:
        """How a GPU with these multiprocessors and bytes of shared memory per block and multiprocessor would do it."""

    def build_info(self) -> Mapping[str, str]:
        """Compiler, architectures and CUDA version."""


class _Masks(NamedTuple):
    """What says which beats exist, are global, and belong to which lead."""

    form: int
    beats: int
    visible: Tensor | None = None
    valid: Tensor | None = None
    lead: Tensor | None = None


@functools.cache
def extension() -> _Extension:
    """Return the compiled module.

    Raises:
        ImportError: If it was not built or cannot be loaded, with the remedy.
    """
    try:
        return cast(_Extension, importlib.import_module("clear_kernels._cuda"))
    except ImportError as error:
        raise ImportError(
            f"the CUDA extension clear_kernels._cuda was not built ({error}); reinstall where nvcc of the CUDA toolkit "
            "is in PATH or under CUDA_HOME (CLEAR_KERNELS_CUDA=1 then makes a failing build an error)"
        ) from error


def build_info() -> Mapping[str, str]:
    """Compiler, CUDA version and architectures of the extension."""
    return extension().build_info()


def available() -> str | None:
    """None if the CUDA extension is there and PyTorch sees an NVIDIA GPU, else the reason."""
    try:
        extension()
    except ImportError as error:
        return str(error)
    if torch.version.cuda is None:
        return f"this PyTorch ({torch.__version__}) was built without CUDA; install a CUDA build of it"
    if not torch.cuda.is_available():
        return "PyTorch sees no CUDA device; check the driver with nvidia-smi, and CUDA_VISIBLE_DEVICES"
    return None


def can_run(q: Tensor) -> str | None:
    """None if the kernels take the device, dtype, length and head dimension of ``q``, else the reason."""
    if q.device.type != "cuda":
        return f"q is on {q.device} and this backend computes on NVIDIA GPUs; move q, k and v with .cuda()"
    if q.dtype not in _DTYPE_CODES:
        return f"{q.dtype=}; pass float32, bfloat16, float16 or float64, or use backend='gather'"
    if not _MIN_HEAD_DIM <= q.shape[-1] <= _MAX_HEAD_DIM:
        return f"head dimension {q.shape[-1]} is outside {_MIN_HEAD_DIM} to {_MAX_HEAD_DIM}; use backend='gather'"
    if q.shape[2] > _MAX_TOKENS:
        return f"{q.shape[2]} tokens exceed {_MAX_TOKENS}; cut the recording"
    return _architecture_refusal(torch.cuda.get_device_capability(q.device))


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
) -> tuple[Tensor, Tensor]:
    """Grid form: (out, lse)."""
    return _forward(q, k, v, _grid(beats, visible, valid, all_visible), seed, leads=leads, p=dropout_p, scale=scale)


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
) -> tuple[Tensor, Tensor, Tensor]:
    """Grid form: (dq, dk, dv)."""
    masks = _grid(beats, visible, valid, all_visible)
    return _backward((q, k, v, dout, out), lse, masks, seed, leads=leads, p=dropout_p, scale=scale)


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
) -> tuple[Tensor, Tensor]:
    """Packed form: (out, lse)."""
    masks = _Masks(_PACKED, q.shape[2] - leads, valid=valid, lead=lead)
    return _forward(q, k, v, masks, seed, leads=leads, p=dropout_p, scale=scale)


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
) -> tuple[Tensor, Tensor, Tensor]:
    """Packed form: (dq, dk, dv)."""
    masks = _Masks(_PACKED, q.shape[2] - leads, valid=valid, lead=lead)
    return _backward((q, k, v, dout, out), lse, masks, seed, leads=leads, p=dropout_p, scale=scale)


def _grid(beats: int, visible: Tensor | None, valid: Tensor | None, all_visible: bool) -> _Masks:
    form = _ALL_VISIBLE if all_visible else _LOCAL if visible is None else _MIXED
    return _Masks(form, beats, visible=visible, valid=valid)


def _forward(
    q: Tensor, k: Tensor, v: Tensor, masks: _Masks, seed: Tensor | None, *, leads: int, p: float, scale: float
) -> tuple[Tensor, Tensor]:
    out = token_major_like(q)
    lse_dtype = torch.float64 if q.dtype == torch.float64 else torch.float32
    lse = torch.empty(q.shape[:3], dtype=lse_dtype, device=q.device)  # [B, H, N]
    # What is read may be a copy, which has to live until the kernels are started.
    (q, q_rows), (k, k_rows), (v, v_rows), (_, out_rows) = _rows(q), _rows(k), _rows(v), _rows(out)
    rows = q_rows, k_rows, v_rows, _ABSENT, out_rows, _ABSENT, _ABSENT, _ABSENT
    _run(_problem(q, rows, lse, masks, seed, leads, p, scale), q, backward=False)
    return out, lse


def _backward(
    saved: tuple[Tensor, Tensor, Tensor, Tensor, Tensor],
    lse: Tensor,
    masks: _Masks,
    seed: Tensor | None,
    *,
    leads: int,
    p: float,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    inputs = [_rows(x) for x in saved]  # q, k, v, dout, out
    q = inputs[0][0]
    lse = lse.contiguous()
    dq, dk, dv = gradients_like(q)
    rows = tuple([rows for _, rows in (*inputs, _rows(dq), _rows(dk), _rows(dv))])
    _run(_problem(q, rows, lse, masks, seed, leads, p, scale), q, backward=True)
    return dq, dk, dv


def _problem(
    q: Tensor,
    rows: tuple[Rows, ...],
    lse: Tensor,
    masks: _Masks,
    seed: Tensor | None,
    leads: int,
    dropout_p: float,
    scale: float,
) -> Problem:
    return Problem(
        dtype=_DTYPE_CODES[q.dtype],
        form=masks.form,
        leads=leads,
        dim=q.shape[3],
        batch=q.shape[0],
        heads=q.shape[1],
        beats=masks.beats,
        rows=cast(tuple[Rows, Rows, Rows, Rows, Rows, Rows, Rows, Rows], rows),
        lse=lse.data_ptr(),
        visible=_mask(masks.visible, 2),
        valid=_mask(masks.valid, 1 if masks.form == _PACKED else 2),
        lead=_mask(masks.lead, 1),
        seed=0 if seed is None else seed.data_ptr(),
        drop_below=int(dropout_p * 2**32),
        keep_scale=1.0 / (1.0 - dropout_p),
        scale=scale,
    )


def _run(problem: Problem, q: Tensor, *, backward: bool) -> None:
    if q.shape[0] == 0 or q.shape[1] == 0:
        return
    native = extension()
    with on_device(q.device):
        stream, index = _stream(q.device)
        size = native.workspace(problem, backward, index)
        # PyTorch's allocator hands this memory on in the order of the stream, so it may go before the kernels ran.
        scratch = torch.empty(size, dtype=torch.uint8, device=q.device) if size else None
        native.run(problem, backward, 0 if scratch is None else scratch.data_ptr(), size, stream, index)


def _stream(device: torch.device) -> tuple[int, int]:
    """The current stream of a GPU and its index."""
    return stream_of(device), device.index


def _architecture_refusal(capability: tuple[int, int]) -> str | None:
    """None if the extension holds code for a GPU of this compute capability, else the reason."""
    built = extension().build_info()["architectures"].split(";")
    device = 10 * capability[0] + capability[1]
    for entry in built:
        number = int("".join(filter(str.isdigit, entry)))
        same_family = number // 10 == device // 10 and number <= device
        if same_family or ("PTX" in entry and number <= device):
            return None
    return (
        f"this GPU has compute capability {capability[0]}.{capability[1]} and the extension was built for "
        f"{', '.join(built)}; reinstall with TORCH_CUDA_ARCH_LIST={capability[0]}.{capability[1]}"
    )


def _mask(mask: Tensor | None, dims: int) -> Mask:
    """Address (0 for None) and batch stride in elements (0 when shared by the batch)."""
    return (0, 0) if mask is None else (mask.data_ptr(), batch_stride(mask, dims))


def _rows(x: Tensor) -> tuple[Tensor, Rows]:
    """``x`` with unit stride along the head dimension, which the kernels read as rows, and where they are."""
    x, strides = rows_of(x)
    return x, (x.data_ptr(), *strides)
