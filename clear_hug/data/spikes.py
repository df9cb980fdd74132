"""Pacing spikes: one or two milliseconds wide and several mV high, they would pass for the steepest of beats."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from clear_hug.data.sample_checks import curvature, curvature_reach

__all__ = ["remove_spikes"]

_LOWEST_FS = 240.0  # below this the recorder's own filter has already smeared the spikes
_REPAIR_S = 0.012
_TOGETHER = 1 << 16  # windows at a time, so that noise all day long takes little memory


def remove_spikes(
    rows: NDArray[np.float32], fs: float, threshold_mv: float, largest: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Replace samples around pacing spikes by the local median.

    A spike is a sample that differs from the mean of its neighbours 4 ms before and after by more than the threshold
    (a 2 mV QRS differs by 0.1 mV).

    Args:
        rows: float32 [leads, n], mV, contiguous.
        fs: rate, Hz.
        threshold_mv: that difference, mV.
        largest: float32 [leads], the largest one of each row, where it is known.

    Returns:
        The rows themselves when there is no spike, else a repaired copy.
    """
    reach = curvature_reach(fs)
    if fs < _LOWEST_FS or rows.shape[1] <= 2 * reach:
        return rows
    if largest is None:
        largest = curvature(rows, reach).max(axis=1)
    spiky = largest > threshold_mv
    if not spiky.any():
        return rows
    out = rows.copy()
    width = 2 * round(_REPAIR_S * fs) + 1
    for lead in np.flatnonzero(spiky):
        spikes = (curvature(rows[lead : lead + 1], reach)[0] > threshold_mv).nonzero()[0] + reach
        near = np.zeros(rows.shape[1], dtype=bool)
        for offset in range(-reach, reach + 1):
            near[np.minimum(np.maximum(spikes + offset, 0), rows.shape[1] - 1)] = True
        windows = sliding_window_view(np.pad(rows[lead], width // 2, "edge"), width)  # [n, width]
        places = near.nonzero()[0]
        for start in range(0, len(places), _TOGETHER):
            some = places[start : start + _TOGETHER]
            out[lead, some] = np.sort(windows[some], axis=1)[:, width // 2]
    return out
