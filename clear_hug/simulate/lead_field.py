"""From the heart dipole to the twelve leads.

The matrix is Dower's (Dower, Machado & Osborne 1980, as given by Edenbrandt & Pahlm 1988): the mV that a dipole on
Frank's axes makes in I, II and V1…V6. The other limb leads follow from I and II (Einthoven; Goldberger 1942).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clear_hug.dower import DOWER, INDEPENDENT_LEADS
from clear_hug.simulate.parameters import Torso

__all__ = ["DOWER", "INDEPENDENT_LEADS", "lead_field", "twelve_leads"]


def lead_field(torso: Torso) -> NDArray[np.float64]:
    """Lead field of one patient.

    Args:
        torso: heart position and electrode placement.

    Returns:
        Matrix [8, 3]: I, II, V1…V6 in mV for a dipole in mV.
    """
    field = DOWER.copy()
    shift = np.asarray(torso.electrode_shift)[:, None]
    beyond_v6 = 2 * DOWER[7] - DOWER[6]
    neighbour = np.vstack([DOWER[3:], beyond_v6])
    field[2:] += shift * (neighbour - DOWER[2:])
    yaw, pitch = np.deg2rad(torso.yaw_deg), np.deg2rad(torso.pitch_deg)
    about_vertical = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    about_left_right = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    return np.asarray(torso.lead_gain)[:, None] * (field @ about_vertical @ about_left_right)


def twelve_leads(independent: NDArray[np.float64]) -> NDArray[np.float64]:
    """The twelve standard leads from the eight independent ones.

    Args:
        independent: I, II, V1…V6, [..., 8].

    Returns:
        I II III aVR aVL aVF V1…V6, [..., 12], same unit.
    """
    i, ii = independent[..., 0], independent[..., 1]
    limb = np.stack([i, ii, ii - i, -(i + ii) / 2, i - ii / 2, ii - i / 2], axis=-1)
    return np.concatenate([limb, independent[..., 2:]], axis=-1)
