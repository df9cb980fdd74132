"""Parity with vectors made by running the authors' released code on small random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from clear_hug.models import HUG, CLEAREncoder, token_zscore
from clear_hug.models.layer import TransformerLayer
from clear_hug.models.loss import reconstruction_loss
from clear_hug.models.masking import pack
from clear_hug.models.official import convert_official_state, official_classifier, official_clear
from clear_hug.models.views import GridView
from clear_kernels import attention_mask

Vectors = dict[str, Tensor]


@pytest.fixture(scope="module")
def vectors(shared_dir: Path) -> Vectors:
    path = shared_dir / "reference" / "clear_small.npz"
    if not path.is_file():
        pytest.skip(f"{path.name} with the authors' outputs is not on this machine")
    with np.load(path) as arrays:
        return {name: torch.from_numpy(np.asarray(arrays[name])) for name in arrays.files}


def state_of(vectors: Vectors, part: str) -> Vectors:
    prefix = f"{part}.state."
    return {name.removeprefix(prefix): value for name, value in vectors.items() if name.startswith(prefix)}


def batch_of(vectors: Vectors) -> tuple[Tensor, Tensor, Tensor]:
    """Their batch in our layout; their code gives padding no special treatment, so everything counts as valid here."""
    tokens = vectors["pretrain.signals"].unflatten(1, (12, 15))
    seconds = vectors["pretrain.in_times"].unflatten(1, (12, 15))
    assert torch.equal(seconds, seconds[:, :1].expand(-1, 12, -1))
    return tokens, torch.ones(tokens.shape[:3], dtype=torch.bool), seconds[:, 0]


def visible_of(vectors: Vectors) -> Tensor:
    return (vectors["pretrain.masked"] == 0).view(12, 15)


def test_token_embedding(vectors: Vectors) -> None:
    model = official_clear(state_of(vectors, "pretrain"), heads=4, decoder_heads=4)
    tokens, _, seconds = batch_of(vectors)
    embedded = model.encoder.embedding(tokens, seconds)[:, 12:]
    torch.testing.assert_close(embedded, vectors["pretrain.token_embedding"], rtol=1e-5, atol=1e-5)


def test_kept_tokens_are_those_of_the_full_embedding(vectors: Vectors) -> None:
    model = official_clear(state_of(vectors, "pretrain"), heads=4, decoder_heads=4)
    tokens, _, seconds = batch_of(vectors)
    packing = pack(visible_of(vectors).expand(3, -1, -1), 35)
    packed = model.encoder.embedding(tokens, seconds, packing)[:, 12:]
    shuffled = vectors["pretrain.ids_restore"].argsort()[:35]
    order = shuffled.argsort()  # their tokens come in drawn order, ours in the order of the record
    torch.testing.assert_close(packed, vectors["pretrain.visible_tokens"][:, order], rtol=1e-5, atol=1e-5)


def test_conduction_view_mask(vectors: Vectors) -> None:
    mask = attention_mask(12, 15, visible=visible_of(vectors))
    assert torch.equal(~mask, vectors["pretrain.decoder_blocked"])


@pytest.mark.parametrize("backend", ["reference", "gather", None])
def test_one_layer_under_the_conduction_view(vectors: Vectors, backend: str | None) -> None:
    layer = TransformerLayer(48, 4, 64, leads=12, dropout=0.1, backend=backend).eval()
    state = state_of(vectors, "layer")
    prefix = "encoder_transformer.layers.0."
    converted = convert_official_state({prefix + name: value for name, value in state.items()})
    layer.load_state_dict({name.removeprefix("encoder.layers.0."): value for name, value in converted.items()})
    valid = torch.ones(3, 12, 15, dtype=torch.bool)
    y = layer(vectors["layer.x"], GridView(visible_of(vectors).expand(3, -1, -1), valid))
    torch.testing.assert_close(y, vectors["layer.y"], rtol=1e-5, atol=1e-5)


def test_decoder_and_loss(vectors: Vectors) -> None:
    """Their latent, put in the order of the record, gives their prediction and their loss."""
    model = official_clear(state_of(vectors, "pretrain"), heads=4, decoder_heads=4)
    tokens, valid, _ = batch_of(vectors)
    visible = visible_of(vectors).expand(3, -1, -1)
    order = vectors["pretrain.ids_restore"].argsort()[:35].argsort()
    latent = vectors["pretrain.latent"]
    latent = torch.cat([latent[:, :12], latent[:, 12:][:, order]], dim=1)
    prediction = model.decoder(latent, pack(visible, 35), visible, valid)
    torch.testing.assert_close(prediction.flatten(1, 2), vectors["pretrain.prediction"], rtol=1e-4, atol=1e-5)
    loss = reconstruction_loss(prediction, tokens, ~visible)
    torch.testing.assert_close(loss, vectors["pretrain.loss"], rtol=1e-5, atol=0)


def additive_encoder(encoder: CLEAREncoder, x: Tensor, bias: Tensor) -> Tensor:
    """Their pre-training encoder: the 0/1 mask is added to the logits, so that nothing is ever forbidden."""
    for layer in encoder.layers:
        attention = layer.attention
        qkv = F.linear(x, attention.in_proj_weight, attention.in_proj_bias)
        q, k, v = qkv.unflatten(2, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)  # [B, H, N, D] each
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).flatten(2)
        x = layer.attention_norm(x + attention.out_proj(out))
        x = layer.mlp_norm(x + layer.mlp(x))
    return encoder.norm(x)


def test_only_the_additive_mask_separates_the_encoders(vectors: Vectors) -> None:
    """With their additive mask our encoder gives their latent; under the paper's table it gives another one."""
    model = official_clear(state_of(vectors, "pretrain"), heads=4, decoder_heads=4)
    tokens, _, seconds = batch_of(vectors)
    embedded = model.encoder.embedding(tokens, seconds)
    x = torch.cat([embedded[:, :12], vectors["pretrain.visible_tokens"]], dim=1)
    latent = additive_encoder(model.encoder, x, vectors["pretrain.encoder_bias"])
    torch.testing.assert_close(latent, vectors["pretrain.latent"], rtol=1e-4, atol=1e-5)
    ours = model.encoder.encode_packed(tokens, seconds, pack(visible_of(vectors).expand(3, -1, -1), 35))
    assert not torch.allclose(ours[:, :12], vectors["pretrain.latent"][:, :12], atol=1e-2)


def test_hug_groups(vectors: Vectors) -> None:
    head = HUG(48, num_classes=5, combine="mean")
    converted = convert_official_state({f"backbone.moe.{name}": v for name, v in state_of(vectors, "hug").items()})
    weights = {name.removeprefix("head."): value for name, value in converted.items()}
    missing, unexpected = head.load_state_dict(weights, strict=False)
    assert (sorted(missing), unexpected) == (["classifier.bias", "classifier.weight"], [])
    torch.testing.assert_close(head.groups(vectors["hug.lead_tokens"]), vectors["hug.groups"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("part", ["classifier1", "classifier2"])
@pytest.mark.parametrize("backend", ["reference", None])
def test_classifier_logits(vectors: Vectors, part: str, backend: str | None) -> None:
    classes = ("CD", "HYP", "MI", "NORM", "STTC")
    model = official_classifier(state_of(vectors, part), classes, heads=4, backend=backend)
    logits = model(*batch_of(vectors))
    torch.testing.assert_close(logits, vectors[f"{part}.logits_view"], rtol=1e-4, atol=1e-5)


def test_target_normalisation_and_input_normalisation_are_one(vectors: Vectors) -> None:
    """Their input z-score erases voltage: the embedding of raw and of z-scored beats is the same."""
    model = official_clear(state_of(vectors, "pretrain"), heads=4, decoder_heads=4)
    tokens, _, seconds = batch_of(vectors)
    once = model.encoder.embedding(tokens, seconds)
    torch.testing.assert_close(model.encoder.embedding(token_zscore(tokens), seconds), once, rtol=1e-3, atol=1e-3)
