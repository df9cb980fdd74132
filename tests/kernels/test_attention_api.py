"""The public names and signatures, the registry of backends, and ``python -m clear_kernels``."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
import torch

import clear_kernels
from clear_kernels.backends import NATIVE, choose, load

SIGNATURES = {
    "beat_sparse_attention": "(q, k, v, *, leads, beats, visible=None, valid=None, dropout_p=0.0, scale=None, "
    "seed=None, backend=None)",
    "packed_view_attention": "(q, k, v, *, lead, leads, valid=None, dropout_p=0.0, scale=None, "
    "seed=None, backend=None)",
    "attention_mask": "(leads, beats, visible=None, valid=None)",
    "BeatSparseAttention": "(embed_dim, num_heads, *, leads=12, dropout=0.0, bias=True, backend=None)",
    "backends": "()",
}
PARTS_OF_A_BACKEND = ("available", "can_run", "forward", "backward", "packed_forward", "packed_backward")


def bare_signature(function: object) -> str:
    signature = inspect.signature(function)  # type: ignore[arg-type]
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def test_public_names() -> None:
    assert sorted(clear_kernels.__all__) == sorted(SIGNATURES)


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_and_docstrings(name: str) -> None:
    public = getattr(clear_kernels, name)
    assert bare_signature(public) == SIGNATURES[name]
    assert inspect.getdoc(public)
    assert all(p.annotation is not inspect.Parameter.empty for p in inspect.signature(public).parameters.values())


def test_forward_and_conversion_signatures() -> None:
    layer = clear_kernels.BeatSparseAttention
    assert bare_signature(layer.forward) == "(self, x, *, visible=None, valid=None)"
    assert bare_signature(layer.from_multihead_attention) == "(mha, leads=12, backend=None)"


def test_backends_names_every_backend_with_a_reason_or_none() -> None:
    reasons = clear_kernels.backends()
    assert list(reasons) == ["cpu", "triton", "cuda", "gather", "reference"]
    assert reasons["gather"] is None
    assert reasons["reference"] is None
    assert all(reason is None or len(reason) > 20 for reason in reasons.values())


@pytest.mark.parametrize("name", NATIVE)
def test_native_backends_have_all_parts(name: str) -> None:
    try:
        native = load(name)
    except RuntimeError as error:
        pytest.skip(str(error))
    assert all(callable(getattr(native, part)) for part in PARTS_OF_A_BACKEND)


def test_the_fastest_is_chosen_and_the_reference_never() -> None:
    q = torch.randn(1, 1, 4, 16)
    assert choose(q, 2, None) == ("cpu" if clear_kernels.backends()["cpu"] is None else "gather")
    assert choose(q[..., :4], 2, None) == "gather"
    assert choose(q, 65, None) == "gather"
    assert choose(q.to("meta"), 2, None) == "gather"
    assert choose(q, 2, "reference") == "reference"


def test_import_is_light_and_the_module_prints_backends_and_build() -> None:
    code = (
        "import runpy, sys, torch\n"
        "before = set(sys.modules)\n"
        "import clear_kernels\n"
        "heavy = ('triton', 'torch._dynamo', 'clear_kernels._cpu', 'clear_kernels._cuda')\n"
        "new = [n for n in set(sys.modules) - before if n in heavy or n.startswith('clear_kernels.backends.')]\n"
        "assert not new, new\n"
        "runpy.run_module('clear_kernels', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for name, reason in clear_kernels.backends().items():
        assert name in done.stdout
        assert reason is None or reason in done.stdout
    assert torch.__version__ in done.stdout
