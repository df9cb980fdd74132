"""The short way of eager calls through autograd: the same bits as the general way, which all else still takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
import torch
from attention_cases import Case
from helpers import PUBLIC, Variant, each_native_backend, with_gradients
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from clear_kernels import checks, function
from clear_kernels.function import BeatAttention, EagerAttention, PackedAttention

CASES = [
    Case("grid", 3, 4, valid="batch", dropout_p=0.3),
    Case("grid", 3, 4, visible="shared", valid="shared"),
    Case("packed", 3, 5, valid="batch", lead="batch", dropout_p=0.3),
]
each_case = pytest.mark.parametrize("case", CASES, ids=["local", "visible", "packed"])


class Public:
    """The public function of a case on one backend."""

    def __init__(self, case: Case, variant: Variant) -> None:
        self.form, self.options, self.backend = case.form, case.options(variant.device), variant.backend

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return PUBLIC[self.form](q, k, v, **self.options, backend=self.backend)

    def generally(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The same by the function that torch.compile and torch.func take."""
        options = {"valid": None, "dropout_p": 0.0, "scale": None, "seed": None} | self.options
        if self.form == "grid":
            call: tuple[Any, ...] = checks.grid_call(q, k, v, **({"visible": None} | options))
            return BeatAttention.apply(*call, self.backend)[0]
        return PackedAttention.apply(*checks.packed_call(q, k, v, **options), self.backend)[0]


class Seen(TorchDispatchMode):
    """Names of this package's operators that ran."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "clear_kernels":
            self.names.append(func._schema.name.removeprefix("clear_kernels::"))
        return func(*args, **(kwargs or {}))


@pytest.fixture
def no_short_way() -> Iterator[None]:
    """Fail where an eager call would take the short way."""
    with (
        mock.patch.object(EagerAttention, "apply", side_effect=AssertionError("the short way was taken")),
        mock.patch.object(BeatAttention, "operator", None),
        mock.patch.object(PackedAttention, "operator", None),
    ):
        yield


@each_native_backend
@each_case
def test_the_short_way_gives_the_same_bits(variant: Variant, case: Case) -> None:
    call = Public(case, variant)
    tensors = case.tensors(variant.device)
    expected = with_gradients(call.generally, *tensors)
    for ours, theirs in zip(with_gradients(call, *tensors), expected, strict=True):
        assert torch.equal(ours, theirs)
        assert ours.stride() == theirs.stride()
    with torch.no_grad():
        assert torch.equal(call(*tensors[:3]), expected[0])
    with torch.inference_mode():
        assert torch.equal(call(*tensors[:3]), expected[0])


@each_native_backend
def test_a_function_is_recorded_only_where_a_gradient_is_wanted(variant: Variant) -> None:
    call = Public(CASES[0], variant)
    q, k, v, _ = CASES[0].tensors(variant.device)
    assert call(q, k, v).grad_fn is None
    leaf = k.clone().requires_grad_()
    assert type(call(q, leaf, v).grad_fn).__name__ == "EagerAttentionBackward"
    with torch.no_grad():
        assert not call(q, leaf, v).requires_grad


@each_native_backend
@each_case
def test_transforms_and_compilers_take_the_general_way(variant: Variant, case: Case, no_short_way: None) -> None:
    torch._dynamo.reset()
    call = Public(case, variant)
    q, k, v, dout = case.tensors(variant.device)
    torch.func.grad(lambda x: (call(x, k, v) * dout).sum())(q)
    torch.func.vjp(call, q, k, v)[1](dout)
    compiled = torch.compile(call.__call__, fullgraph=True, backend="aot_eager")
    with_gradients(compiled, q, k, v, dout)
    with pytest.raises(RuntimeError, match="does not have vmap support"):
        torch.func.vmap(lambda x: call(x, k, v))(q[None])


@each_native_backend
@each_case
def test_a_second_derivative_is_refused_and_a_first_with_a_graph_is_not(variant: Variant, case: Case) -> None:
    call = Public(case, variant)
    q, k, v, dout = case.tensors(variant.device)
    leaf = q.clone().requires_grad_()
    (plain,) = torch.autograd.grad(call(leaf, k, v), leaf, dout)
    (gradient,) = torch.autograd.grad(call(leaf, k, v), leaf, dout, create_graph=True)
    assert torch.equal(plain, gradient)
    with pytest.raises(RuntimeError, match=f"backend='{variant.backend}' has no second derivative"):
        gradient.sum().backward()


@each_native_backend
@pytest.mark.parametrize("needs_grad", [True, False])
def test_forward_mode_is_refused_and_never_dropped(variant: Variant, needs_grad: bool) -> None:
    call = Public(CASES[0], variant)
    q, k, v, _ = CASES[0].tensors(variant.device)
    with forward_ad.dual_level(), torch.set_grad_enabled(needs_grad):
        dual = forward_ad.make_dual(q.clone().requires_grad_(needs_grad), torch.ones_like(q))
        with pytest.raises(NotImplementedError, match="jvp"):
            call(dual, k, v)


@each_native_backend
@each_case
def test_modes_see_the_operators(variant: Variant, case: Case) -> None:
    call = Public(case, variant)
    tensors = case.tensors(variant.device)
    name = "beat_attention" if case.form == "grid" else "packed_attention"
    with Seen() as seen:
        with_gradients(call, *tensors)
        assert seen.names == [name, f"{name}_backward"]
        call(*tensors[:3])
        assert seen.names[2:] == [name]


@each_native_backend
@pytest.mark.parametrize("tracing", ["real", "fake", "symbolic"])
def test_make_fx_sees_the_operators(variant: Variant, tracing: str) -> None:
    call = Public(Case("grid", 3, 4), variant)
    tensors = Case("grid", 3, 4).tensors(variant.device)
    graph = make_fx(lambda *x: with_gradients(call, *x), tracing_mode=tracing)(*tensors)
    assert "clear_kernels.beat_attention.default" in graph.code
    assert "clear_kernels.beat_attention_backward.default" in graph.code
    for ours, theirs in zip(graph(*tensors), with_gradients(call, *tensors), strict=True):
        assert torch.equal(ours, theirs)


@each_native_backend
def test_fake_tensors_stay_fake(variant: Variant) -> None:
    call = Public(Case("grid", 3, 4), variant)
    with FakeTensorMode() as mode:
        fakes = [mode.from_tensor(x) for x in Case("grid", 3, 4).tensors(variant.device)]
        made = with_gradients(call, *fakes)
    assert all(type(x).__name__ == "FakeTensor" for x in made)


@each_native_backend
@each_case
def test_checkpointing_and_batched_gradients(variant: Variant, case: Case) -> None:
    call = Public(case, variant)
    q, k, v, dout = case.tensors(variant.device)
    leaf = q.clone().requires_grad_()
    expected = torch.autograd.grad(call(leaf, k, v), leaf, dout)[0]
    again = checkpoint(call, leaf, k, v, use_reentrant=False)
    assert torch.equal(torch.autograd.grad(again, leaf, dout)[0], expected)
    several = torch.stack([dout, 2 * dout])
    batched = torch.autograd.grad(call(leaf, k, v), leaf, several, is_grads_batched=True)[0]
    torch.testing.assert_close(batched, torch.stack([expected, 2 * expected]))


@each_native_backend
def test_lazily_negated_and_dead_wrapped_inputs_are_resolved(variant: Variant) -> None:
    call = Public(Case("grid", 3, 4), variant)
    q, k, v, _ = Case("grid", 3, 4).tensors(variant.device)
    negated = torch.complex(q, q).conj().imag
    assert negated.is_neg()
    assert torch.equal(call(negated, k, v), call(-q, k, v))
    wrapped: list[Tensor] = []
    torch.func.grad(lambda x: (wrapped.append(x), x.sum())[1])(q)
    assert torch.equal(call(wrapped[0], k, v), call(q, k, v))


def test_without_pytorchs_private_name_every_call_takes_the_general_way(no_short_way: None) -> None:
    variant = Variant("gather")
    q, k, v, _ = Case("grid", 3, 4).tensors()
    call = checks.grid_call(
        q, k, v, leads=3, beats=4, visible=None, valid=None, dropout_p=0.0, scale=None, seed=None
    )  # fmt: skip
    with (
        mock.patch.object(function, "_transforms_active", lambda: True),
        mock.patch.object(BeatAttention, "apply", return_value=(q, v)) as general,
    ):
        assert function.attention(call, variant.backend) is q
    general.assert_called_once()
