"""Opening a checkpoint laid out like the authors': a pickle that must not be able to run anything."""

from __future__ import annotations

import argparse
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from models_common import random_batch
from torch import Tensor

from clear_hug.models import load_official_checkpoint
from clear_hug.models.official import convert_official_state, official_classifier, official_clear, official_config


def layer_state(prefix: str, width: int, mlp: int) -> dict[str, Tensor]:
    shapes = {
        "self_attn.in_proj_weight": (3 * width, width), "self_attn.in_proj_bias": (3 * width,),
        "self_attn.out_proj.weight": (width, width), "self_attn.out_proj.bias": (width,),
        "norm1.weight": (width,), "norm1.bias": (width,), "norm2.weight": (width,), "norm2.bias": (width,),
        "ff.0.weight": (mlp, width), "ff.0.bias": (mlp,), "ff.3.weight": (width, mlp), "ff.3.bias": (width,),
    }  # fmt: skip
    return {prefix + name: torch.randn(shape) for name, shape in shapes.items()}


def released_state(*, decoder: bool = True, width: int = 8, samples: int = 6, beats: int = 2) -> dict[str, Tensor]:
    """Random weights under the names that the authors' code gives them."""
    rows = 12 * (beats + 1)
    state = {
        "cls_token": torch.randn(12, width), "pos_embed": torch.randn(1, rows, width),
        "token_embed.tokenConv.weight": torch.randn(width, samples, 3),
        "spa_embed.embed.weight": torch.randn(16, width), "tem_embed.embed.weight": torch.randn(16, width),
        "norm_layer.weight": torch.ones(width), "norm_layer.bias": torch.zeros(width),
        **layer_state("encoder_transformer.layers.0.", width, 10),
        **layer_state("encoder_transformer.layers.1.", width, 10),
    }  # fmt: skip
    if decoder:
        state |= {
            "mask_token": torch.randn(1, 1, 4), "decoder_pos_embed": torch.randn(1, rows, 4),
            "decoder_embed.weight": torch.randn(4, width), "decoder_embed.bias": torch.randn(4),
            "decoder_norm.weight": torch.ones(4), "decoder_norm.bias": torch.zeros(4),
            "decoder_pred.weight": torch.randn(samples, 4), "decoder_pred.bias": torch.randn(samples),
            **layer_state("decoder_transformer.layers.0.", 4, 5),
        }  # fmt: skip
    return state


def test_a_file_like_the_released_one_loads(tmp_path: Path) -> None:
    state = released_state()
    path = tmp_path / "released_ckpt.pth"
    args = argparse.Namespace(model="CLEAR_base", lr=5e-4)
    torch.save({"model": OrderedDict(state), "args": args, "epoch": 99, "optimizer": {"state": {}}}, path)
    model = load_official_checkpoint(path, heads=2, decoder_heads=1)
    config = model.config
    assert (config.beats, config.beat_samples, config.seconds, config.depth, config.decoder_depth) == (2, 6, 16, 2, 1)
    assert (config.embed_dim, config.mlp_dim, config.decoder_dim, config.decoder_mlp_dim) == (8, 10, 4, 5)
    assert (config.compat, config.input_norm) == ("official", "token")
    assert not model.training
    embedding = model.encoder.embedding
    assert torch.equal(embedding.lead.weight, state["spa_embed.embed.weight"][1:13])
    assert torch.equal(embedding.class_position, state["pos_embed"][0, :12])
    batch = random_batch(config)
    assert torch.equal(model.encode(*batch), official_clear(state, heads=2, decoder_heads=1).encode(*batch))


class Trap:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return (Path.touch, (self.target,))


def test_code_in_the_file_is_refused_and_not_run(tmp_path: Path) -> None:
    path, target = tmp_path / "evil.pth", tmp_path / "touched"
    torch.save({"model": released_state(), "args": Trap(target)}, path)
    with pytest.raises(ValueError, match=r"evil\.pth cannot be read as tensors and an argparse\.Namespace"):
        load_official_checkpoint(path, heads=2, decoder_heads=1)
    assert not target.exists()


def test_allowing_a_namespace_does_not_outlast_the_call(tmp_path: Path) -> None:
    path = tmp_path / "released.pth"
    torch.save({"model": released_state(), "args": argparse.Namespace(lr=1.0)}, path)
    load_official_checkpoint(path, heads=2, decoder_heads=1)
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


@pytest.mark.parametrize("content", [{"weights": {}}, {"model": [1, 2]}, [torch.zeros(1)]])
def test_a_file_without_weights_under_model(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "other.pth"
    torch.save(content, path)
    with pytest.raises(ValueError, match="no weights under the key 'model'"):
        load_official_checkpoint(path)


def test_a_file_that_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "text.pth"
    path.write_text("not a checkpoint")
    with pytest.raises(ValueError, match=r"text\.pth cannot be read"):
        load_official_checkpoint(path)
    with pytest.raises(FileNotFoundError):
        load_official_checkpoint(tmp_path / "absent.pth")


def test_shapes_do_not_tell_the_number_of_heads() -> None:
    with pytest.raises(ValueError, match="width 8 is not known; give heads="):
        official_config(released_state())
    with pytest.raises(ValueError, match="width 8 are not known; give decoder_heads="):
        official_config(released_state(), heads=2)
    assert official_config(released_state(width=768, decoder=False)).heads == 8
    assert official_config(released_state(width=1024, decoder=False)).heads == 16


def test_foreign_weights_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'blocks\.0\.attn' is not one of the authors' model"):
        convert_official_state({"blocks.0.attn": torch.zeros(1)})
    with pytest.raises(ValueError, match="token_embed"):
        official_config({"pos_embed": torch.zeros(1, 192, 8)})


def test_classifier_weights_choose_the_head() -> None:
    linear = {f"backbone.{name}": value for name, value in released_state(decoder=False).items()}
    linear |= {"mlp_head.weight": torch.randn(2, 8), "mlp_head.bias": torch.zeros(2)}
    experts = {
        f"backbone.moe.{expert}.net.0.{kind}": torch.randn((8, 8) if kind == "weight" else 8)
        for expert in (*(f"level{level}_experts.{n}" for level in (1, 2) for n in range(3)), "level3_expert")
        for kind in ("weight", "bias")
    }
    assert type(official_classifier(linear, ("a", "b"), heads=2).head).__name__ == "LinearHead"
    hug = official_classifier({**linear, **experts}, ("a", "b"), heads=2)
    assert type(hug.head).__name__ == "HUG"
    assert hug(*random_batch(hug.config)).shape == (3, 2)
