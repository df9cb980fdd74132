"""The lead field of the mean torso: what a heart dipole makes in each lead.

Dower, Machado & Osborne 1980, as given by Edenbrandt & Pahlm 1988.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["DOWER", "INDEPENDENT_LEADS"]

INDEPENDENT_LEADS: tuple[str, ...] = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
"""The eight leads that are measured on their own; rows of ``DOWER``."""

DOWER: NDArray[np.float64] = np.array(
    [
        [0.632, -0.235, 0.059],
        [0.235, 1.066, -0.132],
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)
"""Lead field of the mean torso, [8 leads, 3 axes]."""
DOWER.flags.writeable = False
