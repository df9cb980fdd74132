"""Calls captured as a CUDA graph, forward and backward, and replayed on other inputs: the numbers of an eager call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from attention_cases import Case
from helpers import Variant, run
from torch import Tensor

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")

FORMS = {
    "local": Case("grid", 12, 15, dim=64, valid="batch", dropout_p=0.2),
    "some_visible": Case("grid", 12, 15, dim=32, visible="batch", valid="batch", dropout_p=0.2),
    "all_visible": Case("grid", 12, 15, dim=96, visible=True, valid="shared"),
    "packed": Case("packed", 12, 36, dim=96, valid="batch", dropout_p=0.2),
    "chunks": Case("grid", 12, 700, batch=1, heads=1, dim=64),
}


def inputs(case: Case) -> tuple[list[Tensor], dict[str, Any]]:
    """q, k, v, dout and the keyword arguments of a call on the GPU, with the seed of dropout as a tensor there."""
    options = case.options("cuda")
    if "seed" in options:
        options["seed"] = torch.tensor([options["seed"]], device="cuda")
    return list(case.tensors("cuda")), options


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("backend", ["triton", "cuda"])
def test_a_replayed_graph_computes_what_an_eager_call_does(backend: str, form: str) -> None:
    case, variant = replace(FORMS[form], dtype=torch.float16), Variant(backend, device="cuda")
    tensors, options = inputs(case)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # what compiles or chooses does so before the capture
        run(variant, case.form, tensors, options)
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        captured = run(variant, case.form, tensors, options)
    for seed in (1, 2):
        others, other_options = inputs(replace(case, seed=seed))
        expected = run(variant, case.form, others, other_options)
        for x, other in zip(tensors, others, strict=True):
            x.copy_(other)
        for name, other in other_options.items():
            if isinstance(other, Tensor):
                options[name].copy_(other)
        graph.replay()
        torch.cuda.synchronize()
        assert all(torch.equal(x, y) for x, y in zip(captured, expected, strict=True))
