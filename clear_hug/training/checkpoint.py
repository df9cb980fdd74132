"""Checkpoints: one safetensors file whose metadata says everything needed to use it.

The JSON manifest lies under the key `clear_hug` of the safetensors metadata. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from clear_hug.files import replacing

if TYPE_CHECKING:
    import torch  # takes seconds, in which a mistyped path would wait to be told

METADATA_KEY = "clear_hug"
FORMAT_VERSION = 1
KINDS = ("clear", "classifier", "training-state")
REQUIRED = ("format_version", "kind", "model", "leads", "fs", "beats", "beat_samples")
REMEDIES = {
    "leads": "prepare the data again with the checkpoint's leads, or pre-train on these",
    "fs": "prepare the data again at the checkpoint's rate (--fs)",
    "beats": "prepare the data again with the checkpoint's number of beats (--beats)",
    "beat_samples": "prepare the data again with the checkpoint's window (--beat-samples)",
}


class CheckpointError(ValueError):
    """A file that is no checkpoint of this package, or one that does not fit its use."""


def versions() -> dict[str, str]:
    """Versions of what made a result."""
    import numpy
    import torch

    try:
        from importlib.metadata import version

        own = version("clear-hug")
    except ImportError:
        own = "not installed"
    return {
        "clear_hug": own,
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
    }


def save_checkpoint(path: str | Path, tensors: Mapping[str, torch.Tensor], manifest: Mapping[str, Any]) -> Path:
    """Write tensors and manifest as one safetensors file, atomically.

    Args:
        path: ends in `.safetensors`.
        tensors: any device; each is stored on its own, contiguous.
        manifest: JSON-ready; needs the keys in `REQUIRED` but for `format_version`, which is added.

    Raises:
        CheckpointError: wrong suffix, or a key is missing.
    """
    from safetensors.torch import save_file

    path = Path(path)
    if path.suffix != ".safetensors":
        raise CheckpointError(f"a checkpoint ends in .safetensors, got {path.name!r}")
    full = {"format_version": FORMAT_VERSION, **manifest}
    _require(full, path)
    apart = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    text = json.dumps(full, sort_keys=True, allow_nan=False)
    with replacing(path) as temporary:
        save_file(apart, temporary, metadata={METADATA_KEY: text})
    return path


def read_manifest(path: str | Path) -> dict[str, Any]:
    """The manifest alone, without reading the tensors.

    Raises:
        CheckpointError: no such file, not safetensors, not written by this package, or of a newer format.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}; `clear-hug pretrain` and `clear-hug probe` write them")
    try:
        with safe_open(path, framework="pt") as handle:
            metadata = handle.metadata() or {}
    except SafetensorError as error:
        raise CheckpointError(_not_safetensors(path, error)) from error
    if METADATA_KEY not in metadata:
        raise CheckpointError(
            f"{path} is a safetensors file without a `{METADATA_KEY}` manifest: it was not written by clear-hug "
            f"and nothing says which model it holds"
        )
    try:
        manifest: dict[str, Any] = json.loads(metadata[METADATA_KEY])
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path}: the manifest is not valid JSON ({error}); the file is damaged") from error
    if not isinstance(manifest, dict):
        raise CheckpointError(
            f"{path}: the manifest is a {type(manifest).__name__}, not an object; the file is damaged"
        )
    _require(manifest, path)
    return manifest


def load_checkpoint(path: str | Path, kind: str | None = None) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Manifest and tensors (on the CPU).

    Args:
        path: the file.
        kind: `clear`, `classifier` or `training-state` if only that will do.

    Raises:
        CheckpointError: as `read_manifest`, or another kind, or a truncated file.
    """
    manifest = read_manifest(path)
    if kind is not None and manifest["kind"] != kind:
        makers = {
            "clear": "clear-hug pretrain",
            "classifier": "clear-hug probe",
            "training-state": "clear-hug pretrain",
        }
        raise CheckpointError(
            f"{path} holds a {manifest['kind']}, but a {kind} is needed here: `{makers[kind]}` writes one"
        )
    with safe_open(path, framework="pt") as handle:
        return manifest, {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 (not a dict)


def load_weights(module: torch.nn.Module, tensors: Mapping[str, torch.Tensor], where: str | Path) -> None:
    """Load `tensors` into `module`, every name and shape accounted for.

    Raises:
        CheckpointError: names the first missing, unexpected or differently shaped parameters.
    """
    own = module.state_dict()
    missing, extra = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    shapes = [
        f"{name} {tuple(tensors[name].shape)} for {tuple(own[name].shape)}"
        for name in sorted(own.keys() & tensors.keys())
        if tensors[name].shape != own[name].shape
    ]
    problems = [
        f"{what}: {', '.join(names[:3])}"
        for what, names in (("missing", missing), ("unexpected", extra), ("shape", shapes))
        if names
    ]
    if problems:
        raise CheckpointError(f"{where} does not fit the model its manifest describes ({'; '.join(problems)})")
    module.load_state_dict(dict(tensors))


def differences(manifest: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What differs in leads, fs, beats and beat_samples, one sentence each, with the remedy."""
    found = []
    for key, remedy in REMEDIES.items():
        ours, theirs = _plain(manifest[key]), _plain(other[key])
        if ours != theirs:
            found.append(f"{key}: the checkpoint has {_show(ours)}, the data {_show(theirs)} ({remedy})")
    return found


def check_compatible(manifest: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """Refuse to use a checkpoint on data of another shape or meaning.

    Args:
        manifest: of the checkpoint.
        other: manifest of a store (or anything with `leads`, `fs`, `beats`, `beat_samples`).

    Raises:
        CheckpointError: names every difference and its remedy.
    """
    found = differences(manifest, other)
    if found:
        raise CheckpointError("the checkpoint and the data disagree:\n  - " + "\n  - ".join(found))


def _require(manifest: Mapping[str, Any], path: Path) -> None:
    absent = [key for key in REQUIRED if key not in manifest]
    if absent:
        raise CheckpointError(f"{path}: the manifest lacks {', '.join(absent)}")
    if manifest["format_version"] != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has checkpoint format {manifest['format_version']}, this version of clear-hug reads "
            f"{FORMAT_VERSION}; "
            f"use the clear-hug that wrote it ({manifest.get('versions', {}).get('clear_hug', 'unknown')})"
        )
    if manifest["kind"] not in KINDS:
        raise CheckpointError(f"{path}: unknown kind {manifest['kind']!r}; expected one of {', '.join(KINDS)}")


def _not_safetensors(path: Path, error: Exception) -> str:
    with path.open("rb") as stream:
        head = stream.read(4)
    # A pickle starts with the PROTO opcode, a torch zip archive with PK: both are what `torch.save` makes.
    if head[:1] == b"\x80" or head[:2] == b"PK":
        return (
            f"{path} looks like a pickle (torch.save): it is refused, because unpickling runs any code inside it; "
            f"a checkpoint of clear-hug is a .safetensors file"
        )
    return f"{path} is not a readable safetensors file ({error}); it may be truncated: copy or make it again"


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [str(v) for v in value]
    return float(value)


def _show(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else f"{value:g}"
