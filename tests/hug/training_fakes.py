"""A store of beats in memory, small enough to train on in a test, with a pattern that can be learned."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from clear_hug.models.config import CLEARConfig


class FakeStore:
    """Beats whose amplitude says the class: up to 1.5 mV for `quiet`, three times that for `loud`; row 5 has none."""

    def __init__(self, records: int = 30, leads: int = 3, beats: int = 4, samples: int = 16, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        loud = rng.integers(0, 2, size=records)
        self.valid = np.ones((records, leads, beats), dtype=bool)
        self.valid[::3, :, -1] = False
        self.valid[5] = False
        shape = np.sin(np.linspace(0, 6, samples)) * (1 + 2 * loud[:, None, None, None])
        noise = 0.1 * rng.normal(size=(records, leads, beats, samples))
        beats_mv = shape * rng.uniform(0.5, 1.5, (records, leads, beats, 1)) + noise
        self.tokens = (beats_mv * self.valid[..., None]).astype(np.float32)
        self.seconds = (np.arange(1, beats + 1) * self.valid.any(axis=1)).astype(np.int64)
        self.split = np.repeat([0, 1, 2], [records - 2 * (records // 4), records // 4, records // 4]).astype(np.int8)
        self.flags = ["" if record.any() else "no heartbeat found" for record in self.valid]
        self.names = [f"r{k:03d}" for k in range(records)]
        self._shape = {"fs": 100.0, "leads": ["I", "II", "V1"][:leads], "beats": beats, "beat_samples": samples}
        self.tasks = ["size"]
        self._labels = np.stack([loud, 1 - loud], axis=1).astype(np.uint8)

    @property
    def manifest(self) -> dict[str, Any]:
        """As a store's: the shape, and a checksum of each array."""
        arrays = (self.tokens, self.valid, self.seconds, self.split)
        return {**self._shape, "files": [hashlib.sha256(array.tobytes()).hexdigest() for array in arrays]}

    def __len__(self) -> int:
        return len(self.split)

    def classes(self, task: str) -> list[str]:
        return ["loud", "quiet"]

    def labels(self, task: str) -> np.ndarray:
        return self._labels

    def labelled(self, task: str) -> np.ndarray:
        return np.ones(len(self), dtype=bool)


def micro_config(**overrides: Any) -> CLEARConfig:
    """The smallest CLEAR for a `FakeStore`."""
    fields: dict[str, Any] = {
        "leads": ("I", "II", "V1"), "beats": 4, "beat_samples": 16, "seconds": 8, "mask_ratio": 0.5,
        "embed_dim": 16, "depth": 1, "heads": 2, "mlp_dim": 16,
        "decoder_dim": 8, "decoder_depth": 1, "decoder_heads": 2, "decoder_mlp_dim": 8,
    }  # fmt: skip
    return CLEARConfig(**{**fields, **overrides})
