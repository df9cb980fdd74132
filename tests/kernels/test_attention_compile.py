"""torch.compile(fullgraph=True), torch.export and torch.func on every backend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from attention_cases import Case
from helpers import PUBLIC, Variant, each_backend, each_variant, with_gradients
from torch import Tensor, nn

from clear_kernels import BeatSparseAttention, backends, beat_sparse_attention

GRID = Case("grid", 3, 4, visible="batch", valid="shared")
PACKED = Case("packed", 3, 5, valid="batch")
each_case = pytest.mark.parametrize("case", [GRID, PACKED], ids=["grid", "packed"])


@pytest.fixture(autouse=True)
def _fresh_compiler() -> None:
    torch._dynamo.reset()


class Call(nn.Module):
    """The public function with its options fixed."""

    def __init__(self, form: str, options: dict[str, Any], backend: str | None) -> None:
        super().__init__()
        self.form, self.options, self.backend = form, options, backend

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return PUBLIC[self.form](q, k, v, **self.options, backend=self.backend)


def assert_same_with_gradients(ours: Callable[..., Tensor], theirs: Callable[..., Tensor], tensors: Any) -> None:
    for a, b in zip(with_gradients(ours, *tensors), with_gradients(theirs, *tensors), strict=True):
        torch.testing.assert_close(a, b)


@each_backend
@each_case
def test_compile(variant: Variant, case: Case) -> None:
    with variant.active() as backend:
        call = Call(case.form, case.options(variant.device), backend)
        compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
        tensors = case.tensors(variant.device)
        assert_same_with_gradients(compiled, call, tensors)
        with torch.no_grad():
            torch.testing.assert_close(compiled(*tensors[:3]), call(*tensors[:3]))


@each_case
def test_compile_with_dynamic_shapes(case: Case) -> None:
    call = Call(case.form, case.options(), None)
    compiled = torch.compile(call, fullgraph=True, backend="aot_eager", dynamic=True)
    for heads in (2, 5):
        assert_same_with_gradients(compiled, call, replace(case, heads=heads).tensors())


def test_compile_chooses_the_backend_and_reuses_the_graph() -> None:
    graphs = []

    def count(graph: torch.fx.GraphModule, _: list[Tensor]) -> Any:
        graphs.append(graph)
        return graph

    compiled = torch.compile(Call("grid", {"leads": 3, "beats": 4}, None), fullgraph=True, backend=count)
    q, k, v, _ = Case("grid", 3, 4).tensors()
    expected = beat_sparse_attention(q, k, v, leads=3, beats=4)
    for _ in range(3):
        assert torch.equal(compiled(q, k, v), expected)
    assert len(graphs) == 1
    if backends()["cpu"] is None:
        assert "beat_attention" in graphs[0].code


def test_compile_under_autocast() -> None:
    call = Call("grid", GRID.options(), None)
    q, k, v, _ = GRID.tensors()
    with torch.autocast("cpu", torch.bfloat16):
        out = torch.compile(call, fullgraph=True, backend="aot_eager")(q, k, v)
        assert out.dtype == torch.bfloat16
        assert torch.equal(out, call(q, k, v))


def test_compiled_dropout_follows_the_generator() -> None:
    call = Call("grid", {"leads": 3, "beats": 4, "dropout_p": 0.5}, None)
    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    q, k, v, _ = Case("grid", 3, 4).tensors()
    torch.manual_seed(3)
    first, second = compiled(q, k, v), compiled(q, k, v)
    torch.manual_seed(3)
    assert torch.equal(call(q, k, v), first)
    assert not torch.equal(first, second)


def test_the_layer_trains_compiled_with_inductor() -> None:
    layer = BeatSparseAttention(24, 3, leads=3, dropout=0.3)
    compiled = torch.compile(layer, fullgraph=True)
    x, valid = torch.randn(2, 15, 24), torch.rand(2, 3, 4) < 0.7
    results = []
    with torch._inductor.config.patch(fallback_random=True):  # the generator of eager mode
        for run in (compiled, layer):
            torch.manual_seed(1)
            layer.zero_grad()
            out = run(x, valid=valid)
            out.square().sum().backward()
            results.append([out.detach(), *(p.grad for p in layer.parameters())])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


def test_one_graph_serves_any_number_of_beats() -> None:
    graphs = []

    def count(graph: torch.fx.GraphModule, _: list[Tensor]) -> Any:
        graphs.append(graph)
        return graph

    layer = BeatSparseAttention(24, 3, leads=3)
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend=count)
    for beats in (4, 7, 30):
        x = torch.randn(2, 3 * (beats + 1), 24)
        torch.testing.assert_close(compiled(x), layer(x))
    assert len(graphs) == 1


@each_backend
@each_case
@pytest.mark.parametrize("strict", [False, True])
def test_export(variant: Variant, case: Case, strict: bool) -> None:
    with variant.active() as backend:
        call = Call(case.form, case.options(variant.device), backend)
        tensors = case.tensors(variant.device)[:3]
        program = torch.export.export(call, tensors, strict=strict)
        torch.testing.assert_close(program.module()(*tensors), call(*tensors))


@each_variant
@each_case
def test_func_grad(variant: Variant, case: Case) -> None:
    q, k, v, dout = case.tensors(variant.device)
    with variant.active() as backend:
        call = Call(case.form, case.options(variant.device), backend)
        gradients = torch.func.grad(lambda *x: (call(*x) * dout).sum(), argnums=(0, 1, 2))(q, k, v)
        expected = with_gradients(call, q, k, v, dout)[1:]
        _, pullback = torch.func.vjp(call, q, k, v)
        for a, b, c in zip(gradients, expected, pullback(dout), strict=True):
            torch.testing.assert_close(a, b)
            torch.testing.assert_close(c, b)


def test_func_functional_call_of_the_layer() -> None:
    layer = BeatSparseAttention(24, 3, leads=3)
    x = torch.randn(2, 15, 24)
    parameters = dict(layer.named_parameters())

    def loss(values: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(layer, values, (x,)).square().sum()

    gradients = torch.func.grad(loss)(parameters)
    loss(parameters).backward()
    for name, parameter in parameters.items():
        torch.testing.assert_close(gradients[name], parameter.grad)
