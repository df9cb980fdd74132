"""Pacing spikes: one or two milliseconds wide and several mV high, they would pass for the steepest of beats."""

from __future__ import annotations

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

__all__ = ["remove_spikes"]

_LOWEST_FS = 240.0  # below this the recorder's own filter has already smeared the spikes
_REACH_S = 0.004
_REPAIR_S = 0.012


def remove_spikes(rows: NDArray[np.floating], fs: float, threshold_mv: float) -> NDArray[np.floating]:
    """Replace samples around pacing spikes by the local median.

    A spike is a sample that differs from the mean of its neighbours 4 ms before and after by more than the threshold
    (a 2 mV QRS differs by 0.1 mV).

    Args:
        rows: float [leads, n], mV.
        fs: rate, Hz.
        threshold_mv: that difference, mV.

    Returns:
        The rows themselves when there is no spike, else a repaired copy.
    """
    reach = max(1, round(_REACH_S * fs))
    if fs < _LOWEST_FS or rows.shape[1] <= 2 * reach:
        return rows
    middle = rows[:, reach:-reach]
    curvature = rows[:, : -2 * reach] + rows[:, 2 * reach :]  # [leads, n - 2 reach]
    curvature *= 0.5
    curvature -= middle
    np.abs(curvature, out=curvature)
    spiky = curvature.max(axis=1) > threshold_mv
    if not spiky.any():
        return rows
    out = rows.copy()
    width = 2 * round(_REPAIR_S * fs) + 1
    for lead in np.flatnonzero(spiky):
        near = np.zeros(rows.shape[1], dtype=bool)
        near[reach:-reach] = curvature[lead] > threshold_mv
        near = scipy.ndimage.binary_dilation(near, iterations=reach)
        smooth = scipy.ndimage.median_filter(rows[lead], size=width, mode="nearest")
        out[lead, near] = smooth[near]
    return out
