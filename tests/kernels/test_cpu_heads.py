"""The C++ kernel takes several heads at a time through a heartbeat, where they are neighbours in memory.

How many depends on the batch and the threads, so small cases never get there. One head alone is the other path: the
results have to agree bit for bit, and with the dense reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from helpers import with_gradients
from torch import Tensor

from clear_kernels import beat_sparse_attention
from clear_kernels.backends import cpu

pytestmark = pytest.mark.skipif(cpu.available() is not None, reason=f"no C++ kernel: {cpu.available()}")

LEADS = 12
DTYPES = [torch.float32, torch.float64, torch.bfloat16]
# (batch, heads, beats, head dimension): all heads of a token at once; 3 of 7 blocks are uneven; chunks of a long record
SHAPES = [(2, 8, 5, 96), (3, 7, 4, 64), (1, 16, 40, 32), (4, 5, 3, 24), (2, 16, 2, 128)]


def packed_projection(batch: int, heads: int, beats: int, dim: int, dtype: torch.dtype) -> list[Tensor]:
    """q, k, v [B, H, N, D] as views of [B, N, 3, H, D], and dout over memory in the order [B, N, H, D]."""
    tokens = LEADS * (beats + 1)
    qkv = torch.randn(batch, tokens, 3, heads, dim, dtype=torch.float64).to(dtype)
    dout = torch.randn(batch, tokens, heads, dim, dtype=torch.float64).to(dtype)
    return [*qkv.permute(2, 0, 3, 1, 4).unbind(0), dout.transpose(1, 2)]


def attend(tensors: list[Tensor], **options: Any) -> list[Tensor]:
    q, k, v, dout = tensors
    return with_gradients(lambda *qkv: beat_sparse_attention(*qkv, backend="cpu", **options), q, k, v, dout)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """The fewer threads, the more heads a task takes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=[False, True], ids=["all beats", "padding"])
def valid(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def options_of(batch: int, beats: int, padding: bool) -> dict[str, Any]:
    mask = torch.rand(batch, LEADS, beats) > 0.3 if padding else None
    return {"leads": LEADS, "beats": beats, "valid": mask}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_heads_together_equal_heads_alone(shape: tuple[int, int, int, int], dtype: torch.dtype, valid: bool) -> None:
    batch, heads, beats, _ = shape
    tensors, options = packed_projection(*shape, dtype), options_of(batch, beats, valid)
    together = attend(tensors, **options)
    for head in range(heads):
        alone = attend([x[:, head : head + 1].contiguous() for x in tensors], **options)
        for ours, its in zip(together, alone, strict=True):
            assert torch.equal(ours[:, head], its[:, 0])


@pytest.mark.parametrize("dropout_p", [0.0, 0.2])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_heads_together_equal_the_dense_reference(
    shape: tuple[int, int, int, int], dropout_p: float, valid: bool
) -> None:
    batch, _, beats, _ = shape
    options = options_of(batch, beats, valid) | {"dropout_p": dropout_p, "seed": 3}
    tensors = packed_projection(*shape, torch.float32)
    exact = [x.double() for x in tensors]
    reference = with_gradients(
        lambda *qkv: beat_sparse_attention(*qkv, backend="reference", **options), *exact[:3], exact[3]
    )
    for ours, theirs in zip(attend(tensors, **options), reference, strict=True):
        # The worst seen was 2e-6.
        torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=1e-5)
