"""From checkpoint files to models, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clear_hug.models.classifier import ECGClassifier, build_head
from clear_hug.models.clear import CLEAR
from clear_hug.models.config import CLEARConfig
from clear_hug.models.encoder import CLEAREncoder
from clear_hug.training.checkpoint import CheckpointError, load_checkpoint, load_weights, save_checkpoint


def load_clear(path: str | Path) -> tuple[CLEAR, dict[str, Any]]:
    """A pre-trained CLEAR in eval mode, and its manifest.

    Raises:
        CheckpointError: the file is not such a checkpoint.
    """
    manifest, tensors = load_checkpoint(path, kind="clear")
    model = CLEAR(_config(manifest, path))
    load_weights(model, tensors, path)
    return model.eval(), manifest


def load_encoder(path: str | Path) -> tuple[CLEAREncoder, dict[str, Any]]:
    """The encoder of a CLEAR or of a classifier, in eval mode, and the manifest.

    Raises:
        CheckpointError: the file is neither.
    """
    manifest, tensors = load_checkpoint(path)
    if manifest["kind"] not in ("clear", "classifier"):
        raise CheckpointError(f"{path} holds a {manifest['kind']}; take the clear.safetensors beside it")
    encoder = CLEAREncoder(_config(manifest, path))
    prefix = "encoder."
    load_weights(encoder, {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}, path)
    return encoder.eval(), manifest


def load_classifier(path: str | Path) -> tuple[ECGClassifier, dict[str, Any]]:
    """A classifier in eval mode, and its manifest (`classes`, `task`, `thresholds`, `head` …).

    Raises:
        CheckpointError: the file is not such a checkpoint.
    """
    manifest, tensors = load_checkpoint(path, kind="classifier")
    config = _config(manifest, path)
    try:
        head = build_head(config=config, num_classes=len(manifest["classes"]), **manifest["head"])
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: the manifest does not describe a head this version knows ({error})") from error
    model = ECGClassifier(CLEAREncoder(config), head, manifest["classes"])
    load_weights(model, tensors, path)
    return model.eval(), manifest


def save_classifier(path: str | Path, model: ECGClassifier, manifest: Mapping[str, Any]) -> Path:
    """Write a classifier; besides the usual `manifest` needs `head` (for `build_head`), `task` and `thresholds`."""
    missing = [key for key in ("head", "task", "thresholds") if key not in manifest]
    if missing:
        raise CheckpointError(f"a classifier's manifest lacks {', '.join(missing)}")
    return save_checkpoint(path, model.state_dict(), {**manifest, "kind": "classifier", "classes": list(model.classes)})


def _config(manifest: Mapping[str, Any], path: str | Path) -> CLEARConfig:
    try:
        return CLEARConfig.from_dict(manifest["model"])
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: the manifest does not describe a model this version knows ({error})") from error
