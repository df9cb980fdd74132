"""A model that fits a store."""

from __future__ import annotations

from typing import Any

import numpy as np

from clear_hug.models.config import CLEARConfig
from clear_hug.models.factories import SIZES
from clear_hug.training.batches import BeatData


def config_for(size: str, store: BeatData, **overrides: Any) -> CLEARConfig:
    """Configuration of a named size with the store's leads, beats and beat_samples.

    The time table grows beyond its default where a record's R peaks reach further.

    Args:
        size: `tiny`, `base` or `large`.
        store: the beats.
        overrides: other fields of `CLEARConfig`.

    Raises:
        ValueError: unknown size, or values that no model can have.
    """
    if size not in SIZES:
        raise ValueError(f"unknown model size {size!r}; choose one of {', '.join(SIZES)}")
    seconds = np.asarray(store.seconds)
    last = int(seconds.max()) if seconds.size else 0
    shape = {
        "leads": tuple(store.manifest["leads"]),
        "beats": int(store.manifest["beats"]),
        "beat_samples": int(store.manifest["beat_samples"]),
        "seconds": max(CLEARConfig().seconds, last + 1),
    }
    return CLEARConfig(**{**SIZES[size], **shape, **overrides})
