"""The memory layouts of what native kernels read and write."""

from __future__ import annotations

import pytest
import torch

from clear_kernels.backends.memory import gradients_like, rows_of, token_major, token_major_like

SHAPES = [(2, 3, 4, 5), (1, 1, 1, 1), (0, 3, 4, 5), (2, 0, 4, 5), (2, 3, 0, 5), (2, 1, 4, 8)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_results_are_token_major(shape: tuple[int, ...]) -> None:
    x = torch.empty(shape, dtype=torch.float16)
    batch, heads, tokens, head_dim = shape
    expected = torch.empty((batch, tokens, heads, head_dim)).transpose(1, 2)
    for made in (token_major_like(x), *gradients_like(x)):
        assert (made.shape, made.stride(), made.dtype) == (x.shape, expected.stride(), x.dtype)
        assert made.transpose(1, 2).is_contiguous()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_token_major_copies_only_what_is_not(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    made = token_major(x)
    assert torch.equal(made, x)
    assert made.transpose(1, 2).is_contiguous()
    assert token_major(made).data_ptr() == made.data_ptr()


def test_rows_are_copied_only_where_their_elements_are_apart() -> None:
    x = torch.randn(2, 3, 4, 6).transpose(1, 2)
    same, strides = rows_of(x)
    assert same is x
    assert strides == x.stride()[:3]
    apart, strides = rows_of(x[..., ::2])
    assert torch.equal(apart, x[..., ::2])
    assert apart.stride() == (*strides, 1)
