"""The oracle, the tolerance rule and the list of backends that the attention tests share. Tested in test_helpers.py."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
import torch
from attention_rounding import rounding_units
from hypothesis import currently_in_test_context, reject
from torch import Tensor

from clear_kernels import attention_mask, backends, beat_sparse_attention, packed_view_attention
from clear_kernels.backends import NATIVE, cpu, load
from clear_kernels.mask import packed_mask
from clear_kernels.philox import batch_heads, keep_mask

if TYPE_CHECKING:
    from attention_cases import Case

PUBLIC = {"grid": beat_sparse_attention, "packed": packed_view_attention}
EPS = {dtype: torch.finfo(dtype).eps for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16)}

# Worst seen over 300 random cases per test and backend (reference, gather, C++ generic, C++ AVX2): beyond the factor,
# 0.67 units in half precision and 1.7 in float32, both in dq; in all, 4.1 in float32 and 5.3 in float64, where plain
# PyTorch is the exact result itself and only the cap counts.
CAP_UNITS = 16.0
FLOOR_UNITS = {torch.bfloat16: 1.0, torch.float16: 1.0, torch.float32: 4.0, torch.float64: CAP_UNITS}


@dataclass(frozen=True)
class Variant:
    """One way to run a backend: its name, the instruction set the C++ kernel is held to, and a device."""

    backend: str
    isa: str = ""
    device: str = "cpu"

    def __str__(self) -> str:
        return f"{self.backend}-{self.isa}" if self.isa else self.backend

    @contextmanager
    def active(self) -> Iterator[str]:
        """Yield the backend's name while the C++ kernel is held to ``isa``.

        What a GPU backend refuses is skipped: among random calls are dtypes and sizes that not all of them take.
        """
        if not self.isa:
            try:
                yield self.backend
            except RuntimeError as error:
                if self.device != "cpu" and f"backend={self.backend!r} cannot run here" in str(error):
                    decline(str(error))
                raise
            return
        names = ("forward", "backward", "packed_forward", "packed_backward")
        held = {name: functools.partial(getattr(cpu, name), isa=self.isa) for name in names}
        with mock.patch.multiple(cpu, **held):
            yield self.backend

    def decline_unless_it_takes(self, q: Tensor) -> None:
        """Skip what :meth:`active` would, where an operator is called that takes no part in the choice of a backend."""
        if self.backend in NATIVE and (reason := load(self.backend).can_run(q)) is not None:
            decline(reason)

    def widened(self, case: Case) -> Case:
        """The case in float64, or in float32 where the backend knows no wider numbers."""
        return replace(case, dtype=torch.float32 if self.backend == "triton" else torch.float64)


def decline(reason: str) -> None:
    """Reject the random example under way, or skip the test."""
    if currently_in_test_context():
        reject()
    pytest.skip(reason)


def all_variants() -> list[Any]:
    """Every backend as a pytest parameter; one that cannot run here is skipped with its reason."""
    reasons = backends()
    found: list[Any] = [Variant("reference"), Variant("gather")]
    if reasons["cpu"] is None:
        found += [Variant("cpu", isa) for isa in cpu.extension().isas()]
    else:
        found.append(pytest.param(Variant("cpu"), marks=pytest.mark.skip(reason=reasons["cpu"])))
    if torch.cuda.is_available():
        found += [Variant(name, device="cuda") for name in ("triton", "cuda") if reasons[name] is None]
    return found


def _parametrized(*, native: bool, once: bool) -> pytest.MarkDecorator:
    """All variants, or only those of ``native`` backends, or each backend ``once``."""
    chosen = []
    for parameter in all_variants():
        variant = parameter if isinstance(parameter, Variant) else parameter.values[0]
        if not (native and variant.backend not in NATIVE) and not (once and variant.isa == "generic"):
            chosen.append(parameter)
    return pytest.mark.parametrize("variant", chosen, ids=str)


each_variant = _parametrized(native=False, once=False)
each_backend = _parametrized(native=False, once=True)
each_native_variant = _parametrized(native=True, once=False)
each_native_backend = _parametrized(native=True, once=True)


def dense(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor, *, keep: Tensor | None = None, p: float = 0.0, scale: float
) -> Tensor:
    """Masked attention in the inputs' own dtype throughout: exact for float64, "plain PyTorch" for the others."""
    mask = mask if mask.dim() == 2 else mask[:, None]  # [(B, 1), N, N]
    real = mask.diagonal(dim1=-2, dim2=-1).unsqueeze(-1)  # [(B, 1), N, 1]
    q, k, v = (x.masked_fill(~real, 0) for x in (q, k, v))
    logits = (q @ k.mT * scale).masked_fill(~mask & real, -torch.inf)
    weights = torch.softmax(logits, -1)
    if keep is not None:
        weights = weights * keep / (1 - p)
    return (weights @ v).masked_fill(~real, 0)


def dropout_keep(q: Tensor, options: dict[str, Any]) -> Tensor | None:
    """Which entries of the dense attention of ``q`` survive: bool [B, H, N, N], or None without dropout."""
    p = options.get("dropout_p", 0.0)
    return _keep(q.shape[0], q.shape[1], q.shape[2], options["seed"], p, q.device) if p else None


@functools.lru_cache(maxsize=2)
def _keep(batch: int, heads: int, tokens: int, seed: int, p: float, device: torch.device) -> Tensor:
    token = torch.arange(tokens, device=device)
    rows = batch_heads(batch, heads, device)
    seeds = torch.tensor([seed], device=device)
    return keep_mask(seeds, batch_head=rows, query=token[:, None], key=token, dropout_p=p)


def mask_of(q: Tensor, form: str, options: dict[str, Any]) -> Tensor:
    """The dense mask of a call's keyword arguments."""
    if form == "grid":
        mask = attention_mask(options["leads"], options["beats"], options.get("visible"), options.get("valid"))
    else:
        mask = packed_mask(options["leads"], options["lead"], options.get("valid"))
    return mask.to(q.device)


def dense_call(form: str) -> Callable[..., Tensor]:
    """A function that takes what the public function of ``form`` takes and runs :func:`dense`."""

    def call(q: Tensor, k: Tensor, v: Tensor, **options: Any) -> Tensor:
        p, scale = options.get("dropout_p", 0.0), options.get("scale") or q.shape[3] ** -0.5
        return dense(q, k, v, mask_of(q, form, options), keep=dropout_keep(q, options), p=p, scale=scale)

    return call


def call_units(
    form: str, q: Tensor, k: Tensor, v: Tensor, dout: Tensor, options: dict[str, Any], eps: float
) -> list[float]:
    """:func:`rounding_units` of a call of the public function."""
    p, scale = options.get("dropout_p", 0.0), options.get("scale") or q.shape[3] ** -0.5
    return rounding_units(q, k, v, dout, mask_of(q, form, options), dropout_keep(q, options), p, scale, eps)


def with_gradients(function: Callable[..., Tensor], q: Tensor, k: Tensor, v: Tensor, dout: Tensor) -> list[Tensor]:
    """Return [out, dq, dk, dv] of ``function(q, k, v)``."""
    q, k, v = (x.detach().requires_grad_() for x in (q, k, v))
    out = function(q, k, v)
    return [out.detach(), *torch.autograd.grad(out, (q, k, v), dout)]


def run(variant: Variant, form: str, tensors: Iterable[Tensor], options: dict[str, Any]) -> list[Tensor]:
    """Return [out, dq, dk, dv] of the public function of ``form`` on ``tensors`` (q, k, v, dout)."""
    with variant.active() as backend:
        return with_gradients(lambda *x: PUBLIC[form](*x, **options, backend=backend), *tensors)


def worst(actual: Tensor, exact: Tensor) -> float:
    """The largest absolute error; NaN counts as infinite."""
    if actual.numel() == 0:
        return 0.0
    return float((actual.double() - exact.double()).abs().nan_to_num(nan=torch.inf).max())


def assert_accurate(name: str, actual: Tensor, exact: Tensor, plain: Tensor, *, factor: float, unit: float) -> None:
    """Assert that ``actual`` errs at most ``factor`` times as much as plain PyTorch of its dtype, up to rounding.

    Both are compared with ``exact`` (float64). ``unit`` is what rounding alone does (see attention_rounding.py): plain
    PyTorch may be lucky by ``FLOOR_UNITS`` of it, and however badly it does, ``CAP_UNITS`` are never exceeded.
    """
    assert actual.dtype == plain.dtype, f"{name}: {actual.dtype=} and {plain.dtype=}"
    assert exact.dtype == torch.float64, f"{name}: {exact.dtype=} is not exact"
    assert actual.shape == exact.shape, f"{name}: {actual.shape=} and {exact.shape=}"
    error, simple = worst(actual, exact), worst(plain, exact)
    allowed = min(factor * simple + FLOOR_UNITS[actual.dtype] * unit, CAP_UNITS * unit)
    assert error <= allowed, f"{name}: error {error:.3g} exceeds {allowed:.3g}; {unit=:.3g}, plain {simple:.3g}"


@contextmanager
def nan_filled_empty() -> Iterator[None]:
    """Make ``torch.empty`` and its kin return NaN, so that an element nobody wrote shows."""

    def filled(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
        @functools.wraps(make)
        def wrapper(*args: Any, **kwargs: Any) -> Tensor:
            made = make(*args, **kwargs)
            return made.fill_(torch.nan) if made.is_floating_point() else made

        return wrapper

    with (
        mock.patch.object(torch, "empty", filled(torch.empty)),
        mock.patch.object(torch, "empty_like", filled(torch.empty_like)),
        mock.patch.object(torch, "empty_strided", filled(torch.empty_strided)),
        mock.patch.object(Tensor, "new_empty", filled(Tensor.new_empty)),
    ):
        yield
