"""Reading weights that the authors released, into the modules of this package.

Only names and shapes are translated. Read this way the weights run under the paper's masks, in natural token order and
without dropout, which is *not* what the authors' own script computes: it adds a float 0/1 mask to the logits (see
`docs/models.md`).
"""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clear_hug.leads import LEAD_GROUPS, STANDARD_LEADS
from clear_hug.models.classifier import ECGClassifier, HeadKind, build_head
from clear_hug.models.clear import CLEAR
from clear_hug.models.config import CLEARConfig
from clear_hug.models.encoder import CLEAREncoder
from clear_hug.models.hug import PAIRS

LEADS = len(STANDARD_LEADS)
KNOWN_HEADS = {768: (8, 16), 1024: (16, 16)}  # encoder width -> heads of encoder and decoder, as published

# the first name that matches the start of a parameter's name is replaced, then the parts within layers
_PARTS = {
    "token_embed.tokenConv.weight": "encoder.embedding.projection.weight",
    "spa_embed.embed.weight": "encoder.embedding.lead.weight",
    "tem_embed.embed.weight": "encoder.embedding.time.weight",
    "cls_token": "encoder.embedding.class_tokens",
    "encoder_transformer.layers.": "encoder.layers.",
    "norm_layer.": "encoder.norm.",
    "decoder_transformer.layers.": "decoder.layers.",
    "decoder_pos_embed": "decoder.position",
    "decoder_embed.": "decoder.embed.",
    "decoder_norm.": "decoder.norm.",
    "decoder_pred.": "decoder.predict.",
    "mask_token": "decoder.mask_token",
    "mlp_head.": "head.classifier.",
    "moe.level3_expert.net.0.": "head.heart_level.",
    **{f"moe.level1_experts.{n}.net.0.": f"head.lead_level.{name}." for n, name in enumerate(LEAD_GROUPS)},
    **{f"moe.level2_experts.{n}.net.0.": f"head.pair_level.{'_'.join(pair)}." for n, pair in enumerate(PAIRS)},
}
_IN_LAYER = {".self_attn.": ".attention.", ".norm1.": ".attention_norm.", ".norm2.": ".mlp_norm.", ".ff.": ".mlp."}


def convert_official_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Parameters under the authors' names → the same parameters under ours.

    Takes the pre-training model (names for `CLEAR`) as well as the downstream one, whose ``backbone.`` prefix is
    dropped (names for `ECGClassifier`).

    Raises:
        ValueError: for a parameter name that the authors' code does not have.
    """
    converted: dict[str, Tensor] = {}
    for name, value in state.items():
        plain = name.removeprefix("backbone.")
        if plain == "pos_embed":
            converted["encoder.embedding.class_position"] = value[0, :LEADS]
            converted["encoder.embedding.beat_position"] = value[0, LEADS:]
            continue
        converted[_renamed(plain, name)] = _reshaped(plain, value)
    return converted


def official_config(
    state: Mapping[str, Tensor], *, heads: int | None = None, decoder_heads: int | None = None
) -> CLEARConfig:
    """Configuration of a model from the shapes in its parameters (authors' names).

    Args:
        state: pre-training or downstream parameters; the latter leave the decoder at its defaults.
        heads: attention heads of the encoder, which shapes do not tell; None for the published widths 768 and 1024.
        decoder_heads: the same for the decoder.

    Raises:
        ValueError: when parameters are missing, or for a width whose number of heads is not known.
    """
    plain = {name.removeprefix("backbone."): value for name, value in state.items()}
    missing = sorted({"token_embed.tokenConv.weight", "tem_embed.embed.weight", "pos_embed"} - set(plain))
    if missing:
        raise ValueError(f"these are not the authors' weights: {missing} are absent; give the mapping under 'model'")
    width, samples, _ = plain["token_embed.tokenConv.weight"].shape
    if heads is None and width not in KNOWN_HEADS:
        raise ValueError(f"the number of heads of an encoder of width {width} is not known; give heads=…")
    decoder: dict[str, Any] = {}
    if "decoder_embed.weight" in plain:
        if decoder_heads is None and width not in KNOWN_HEADS:
            raise ValueError(
                f"the decoder heads beside an encoder of width {width} are not known; give decoder_heads=…"
            )
        decoder = {
            "decoder_dim": plain["decoder_embed.weight"].shape[0],
            "decoder_depth": _depth(plain, "decoder_transformer"),
            "decoder_heads": decoder_heads or KNOWN_HEADS[width][1],
            "decoder_mlp_dim": plain["decoder_transformer.layers.0.ff.0.weight"].shape[0],
        }
    return CLEARConfig(
        beats=plain["pos_embed"].shape[1] // LEADS - 1,
        beat_samples=samples,
        seconds=plain["tem_embed.embed.weight"].shape[0],
        embed_dim=width,
        depth=_depth(plain, "encoder_transformer"),
        heads=heads or KNOWN_HEADS[width][0],
        mlp_dim=plain["encoder_transformer.layers.0.ff.0.weight"].shape[0],
        input_norm="token",
        compat="official",
        **decoder,
    )


def official_clear(
    state: Mapping[str, Tensor],
    *,
    heads: int | None = None,
    decoder_heads: int | None = None,
    backend: str | None = None,
) -> CLEAR:
    """`CLEAR` with pre-trained weights given under the authors' names; arguments as in `official_config`."""
    model = CLEAR(official_config(state, heads=heads, decoder_heads=decoder_heads), backend=backend)
    model.load_state_dict(convert_official_state(state))
    return model.eval()


def official_classifier(
    state: Mapping[str, Tensor], classes: Sequence[str], *, heads: int | None = None, backend: str | None = None
) -> ECGClassifier:
    """Encoder with linear or HUG head (mean of seven) from downstream weights given under the authors' names."""
    config = official_config(state, heads=heads)
    kind: HeadKind = "hug" if any(".moe." in name for name in state) else "linear"
    head = build_head(kind, config, len(classes), combine="mean")
    classifier = ECGClassifier(CLEAREncoder(config, backend=backend), head, classes)
    classifier.load_state_dict(convert_official_state(state))
    return classifier.eval()


def load_official_checkpoint(
    path: str | Path, *, heads: int | None = None, decoder_heads: int | None = None, backend: str | None = None
) -> CLEAR:
    """Read the authors' released pre-training checkpoint.

    The file is a pickle. It is read with ``weights_only=True``, and `argparse.Namespace` (which lies beside the
    weights) is the only class allowed in it besides tensors: nothing in the file is executed.

    Args:
        path: a file such as ``released_ckpt.pth``, with the weights under the key ``model``.
        heads: see `official_config`; not needed for the released sizes.
        decoder_heads: likewise.
        backend: attention backend of `clear_kernels`; None picks the fastest that can run.

    Returns:
        `CLEAR` in eval mode.

    Raises:
        ValueError: for a file that holds anything else.
    """
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} cannot be read as tensors and an argparse.Namespace ({str(error).splitlines()[0]}); anything else "
            "could run code. Get the file from its authors again, or convert it to safetensors where it is trusted"
        ) from error
    state = content.get("model") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        keys = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{path} has no weights under the key 'model', only {keys}; give the authors' released file")
    return official_clear(state, heads=heads, decoder_heads=decoder_heads, backend=backend)


def _renamed(plain: str, name: str) -> str:
    for old, new in _PARTS.items():
        if plain.startswith(old):
            renamed = new + plain.removeprefix(old)
            for part, ours in _IN_LAYER.items():
                renamed = renamed.replace(part, ours)
            return renamed
    raise ValueError(f"parameter {name!r} is not one of the authors' model; give the mapping under the key 'model'")


def _reshaped(plain: str, value: Tensor) -> Tensor:
    if plain == "token_embed.tokenConv.weight":
        return value.permute(0, 2, 1).flatten(1)  # [E, S, 3] -> [E, 3S]: token before, itself, token after
    if plain == "spa_embed.embed.weight":
        return value[1 : LEADS + 1]  # row 0 and the rows beyond the leads are not used
    if plain == "decoder_pos_embed":
        return value[0]  # [N, Ed]
    if plain == "mask_token":
        return value[0, 0]  # [Ed]
    return value


def _depth(plain: Mapping[str, Tensor], part: str) -> int:
    return 1 + max(int(name.split(".")[2]) for name in plain if name.startswith(f"{part}.layers."))
