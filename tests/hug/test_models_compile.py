"""The model under torch.compile and torch.export, without a break in the graph."""

from __future__ import annotations

import pytest
import torch
from models_common import random_batch, small_clear
from torch import Tensor, nn


class Encode(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = small_clear().encoder

    def forward(self, tokens: Tensor, valid: Tensor, seconds: Tensor) -> Tensor:
        lead_tokens: Tensor = self.encoder(tokens, valid, seconds)
        return lead_tokens


@pytest.fixture(autouse=True)
def _fresh_compiler() -> None:
    torch.compiler.reset()


def test_a_pretraining_step_compiles_whole() -> None:
    model = small_clear(depth=1, decoder_depth=1).train()
    batch = random_batch(model.config)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    out = compiled(*batch)
    out.loss.backward()
    assert out.loss.isfinite()
    assert not (out.masked & ~batch.valid).any()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_compiled_lead_tokens_are_the_same() -> None:
    model = small_clear()
    batch = random_batch(model.config)
    compiled = torch.compile(model.encoder, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*batch), model.encode(*batch))


def test_the_encoder_exports() -> None:
    module = Encode().eval()
    batch = random_batch(module.encoder.config)
    exported = torch.export.export(module, tuple(batch)).module()
    torch.testing.assert_close(exported(*batch), module(*batch))
