"""Lead tokens of a frozen encoder, computed once per record and reused for every head, fraction and epoch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from clear_hug.files import map_array, replacing
from clear_hug.models.encoder import CLEAREncoder
from clear_hug.training.batches import BeatData, batches, usable_rows
from clear_hug.training.device import autocast
from clear_hug.training.manifest import store_fingerprint

Features = NDArray[np.float32]
OnRecords = Callable[[int, int], None]


@torch.no_grad()
def compute_features(
    encoder: CLEAREncoder,
    store: BeatData,
    *,
    batch_size: int = 64,
    device: torch.device | None = None,
    amp: str = "none",
    on_progress: OnRecords | None = None,
) -> Features:
    """Class tokens of every record: float32 [R, L, E], zeros for records without beats.

    The encoder runs in eval mode (no dropout) and is left in the mode it came in.

    Args:
        encoder: on any device; moved to `device`.
        store: R records that fit the encoder.
        batch_size: records at a time.
        device: CPU if None.
        amp: `none` or `bf16`.
        on_progress: called as (records done, records in all).
    """
    device = device or torch.device("cpu")
    was_training = encoder.training
    encoder.to(device).eval()
    rows = np.flatnonzero(usable_rows(store))
    shape = (len(store.split), encoder.config.lead_count, encoder.config.embed_dim)
    features = np.zeros(shape, dtype=np.float32)
    done = 0
    for batch in batches(store, rows, batch_size, device):
        with autocast(amp, device):
            lead_tokens = encoder(*batch)  # [B, L, E]
        features[rows[done : done + len(lead_tokens)]] = lead_tokens.float().cpu().numpy()
        done += len(lead_tokens)
        if on_progress is not None:
            on_progress(done, len(rows))
    encoder.train(was_training)
    return features


def cached_features(
    encoder: CLEAREncoder,
    store: BeatData,
    folder: str | Path,
    *,
    batch_size: int = 64,
    device: torch.device | None = None,
    amp: str = "none",
    on_progress: OnRecords | None = None,
) -> Features:
    """`compute_features`, kept in `folder` under a name made of the encoder's weights, the store and the precision."""
    path = Path(folder) / f"features-{features_key(encoder, store, amp)[:16]}.npy"
    with suppress(OSError, ValueError):  # not there, or damaged
        return map_array(path)
    features = compute_features(encoder, store, batch_size=batch_size, device=device, amp=amp, on_progress=on_progress)
    with replacing(path) as temporary:
        np.save(temporary, features, allow_pickle=False)
    return features


def features_key(encoder: CLEAREncoder, store: BeatData, amp: str = "none") -> str:
    """SHA-256 of what the features depend on: configuration and weights of the encoder, data, precision."""
    digest = hashlib.sha256(json.dumps([encoder.config.to_dict(), amp], sort_keys=True).encode())
    for name, tensor in encoder.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    digest.update(store_fingerprint(store).encode())
    return digest.hexdigest()
