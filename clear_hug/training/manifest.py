"""What a checkpoint says about its model and its data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clear_hug.files import settings_hash
from clear_hug.models.config import CLEARConfig
from clear_hug.training.batches import BeatData
from clear_hug.training.checkpoint import check_compatible

PREPARATION = ("tokenizer", "fs", "beats", "beat_samples", "leads", "quality", "detector", "detector_settings")
"""Entries of a store's manifest that say how a record becomes beats; `predict` prepares new records by them."""

WHERE_AND_WITH_WHAT = ("source", "packages")
"""Entries that change when the same data are prepared elsewhere."""


def model_manifest(kind: str, config: CLEARConfig, store: BeatData) -> dict[str, Any]:
    """The parts of a manifest that follow from model and store.

    Raises:
        CheckpointError: leads, beats or beat_samples of the model are not those of the store.
    """
    shape = {
        "leads": list(config.leads),
        "fs": float(store.manifest["fs"]),
        "beats": config.beats,
        "beat_samples": config.beat_samples,
    }
    check_compatible(shape, store.manifest)
    return {
        "kind": kind,
        "model": config.to_dict(),
        **shape,
        "data": {"records": len(store.split), "fingerprint": store_fingerprint(store)},
        "source": source_of(store),
        "preparation": {key: store.manifest[key] for key in PREPARATION if key in store.manifest},
    }


def store_fingerprint(store: BeatData) -> str:
    """SHA-256 of the store's manifest (every setting, the checksum of every file), wherever the store lies."""
    return settings_hash({key: value for key, value in store.manifest.items() if key not in WHERE_AND_WITH_WHAT})


def source_of(store: BeatData) -> dict[str, Any]:
    """`kind` of data set (`ptbxl`, `wfdb` …), and whether it was `simulated` by this package."""
    about = store.manifest.get("source", {})
    return {
        "kind": about.get("kind", "unknown"),
        "simulated": "root" in about and (Path(about["root"]) / "simulator.json").is_file(),
    }
