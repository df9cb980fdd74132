"""What a store knows about one record, as values for JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

from clear_hug.data.store import SPLITS, BeatStore
from clear_hug.data.store_summary import heart_rates

__all__ = ["record_summary"]


def record_summary(store: BeatStore, row: int) -> dict[str, Any]:
    """One record of a store.

    Args:
        store: an open one.
        row: of the record.

    Returns:
        Name, row, split ("none" without one), flag ("" for a record in use), notes, rate of the tokens in Hz, kept R
        peaks in seconds, heart rate per minute (None with fewer than two beats), valid beats by lead, and the classes
        it has in each task that knows it.
    """
    r_index = np.asarray(store.r_index[row])
    peaks = r_index[r_index >= 0]
    rate = heart_rates(r_index[None], store.fs)[0]
    beats = np.asarray(store.valid[row]).sum(axis=1).tolist()
    sides = {number: name for name, number in SPLITS.items()}
    return {
        "record": store.names[row],
        "row": row,
        "split": sides.get(int(store.split[row]), "none"),
        "flag": store.flags[row],
        "notes": store.notes[row],
        "fs": store.fs,
        "r_peaks_s": [round(float(peak) / store.fs, 6) for peak in peaks],
        "heart_rate": float(rate) if np.isfinite(rate) else None,
        "valid_beats": dict(zip(store.leads, beats, strict=True)),
        "classes": _classes(store, row),
    }


def _classes(store: BeatStore, row: int) -> dict[str, list[str]]:
    """Classes of the record in every task that knows it."""
    return {
        task: [name for name, yes in zip(store.classes(task), store.labels(task)[row], strict=True) if yes]
        for task in store.tasks
        if store.labelled(task)[row]
    }
