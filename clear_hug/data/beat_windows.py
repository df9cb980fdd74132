"""Windows around beats, each lead in units of its usual deflection: none counts for more for being taller."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clear_hug.data import native

__all__ = ["beat_pieces", "strongest_places"]

_LEAST_MV = 1e-6  # a lead that stays below has no deflection


def strongest_places(windows: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.int64]:
    """Where the leads together are farthest from zero.

    Args:
        windows: float32 [leads, windows, size], mV, contiguous.
        weight: float32 [leads, windows], of the squares of a lead.

    Returns:
        int64 [windows], the first such sample of each.
    """
    if native.KERNELS is not None:
        found: NDArray[np.int64] = native.KERNELS.strongest(windows, weight)
        return found
    usual = _usual_sizes(windows)
    total = np.zeros(windows.shape[1:], dtype=np.float32)
    for lead, of_lead in enumerate(windows):
        total += np.square(of_lead / usual[lead]) * weight[lead, :, None]
    return total.argmax(axis=1).astype(np.int64)


def beat_pieces(
    windows: NDArray[np.float32], likely: NDArray[np.int64], weight: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The windows one after another, scaled by the roots of the weights.

    Args:
        windows: float32 [leads, windows, size], mV, contiguous.
        likely: int64 [some], windows whose deflection is the usual one.
        weight: float32 [leads, windows].

    Returns:
        float32 [windows, leads, size].
    """
    if native.KERNELS is not None:
        found: NDArray[np.float32] = native.KERNELS.pieces(windows, likely, weight)
        return found
    scale = np.sqrt(weight) / _usual_sizes(windows[:, likely])[:, None]
    return np.ascontiguousarray((windows * scale[:, :, None]).transpose(1, 0, 2))


def _usual_sizes(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Median [leads] over windows [leads, windows, size] of the largest size; infinity where that is nothing."""
    ordered = np.sort(np.abs(windows).max(axis=2), axis=1)
    count = ordered.shape[1]
    usual = ordered[:, count // 2]
    if count % 2 == 0:
        usual = (ordered[:, count // 2 - 1] + usual) * np.float32(0.5)
    return np.where(usual > _LEAST_MV, usual, np.float32(np.inf))
