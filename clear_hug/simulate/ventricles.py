"""Ventricular activation: the QRS complex as a sequence of dipoles, for each way the impulse may spread.

The sequence and directions follow the classical vectorcardiogram (Chou, Helm & Kaplan 1974) and the criteria of the
AHA/ACCF/HRS recommendations (Surawicz et al. 2009, bundle branch blocks; Hancock et al. 2009, hypertrophy).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clear_hug.simulate.lead_field import twelve_leads
from clear_hug.simulate.parameters import Infarct, Vector, Ventricles
from clear_hug.simulate.waves import Wave, evaluate, rotated, scaled

__all__ = ["premature_qrs", "qrs_complex", "sokolow_lyon"]

# name, centre and Gaussian width as shares of the QRS duration, dipole (x left, y feet, z back) relative
Phase = tuple[str, float, float, Vector]

NORMAL: tuple[Phase, ...] = (
    ("septum", 0.20, 0.075, (-0.12, 0.02, -0.28)),
    ("apex", 0.42, 0.085, (0.75, 0.60, -0.10)),
    ("left wall", 0.56, 0.085, (0.60, 0.45, 0.65)),
    ("base", 0.76, 0.080, (-0.10, -0.12, 0.50)),
)
"""Septum to the right and front, apex to the left and feet, left wall to the left and back, base up and back."""

LEFT_BLOCK: tuple[Phase, ...] = (
    ("right wall", 0.20, 0.075, (0.18, 0.12, -0.02)),
    ("septum, right to left", 0.36, 0.095, (0.80, 0.30, 0.50)),
    ("left wall, late", 0.68, 0.120, (0.95, 0.10, 0.80)),
)
"""No septal q: the septum is crossed slowly from the right, then the left wall, with a notch between the two."""

RIGHT_BLOCK: tuple[Phase, ...] = (
    ("septum", 0.13, 0.050, (-0.14, 0.02, -0.32)),
    ("apex", 0.28, 0.055, (0.75, 0.60, -0.05)),
    ("left wall", 0.38, 0.060, (0.60, 0.40, 0.60)),
    ("right wall, late", 0.70, 0.110, (-0.42, 0.02, -0.52)),
)
"""The left side as usual, then the right wall late and slowly, to the right and front: R' in V1, wide S in I and V6."""

_BUNDLES = {"normal": NORMAL, "left block": LEFT_BLOCK, "right block": RIGHT_BLOCK}

_FOCI: dict[str, tuple[Phase, ...]] = {
    "right outflow tract": (
        ("near focus", 0.30, 0.110, (0.25, 0.80, 0.30)),
        ("far wall", 0.62, 0.140, (0.55, 1.00, 0.75)),
    ),
    "left apex": (
        ("near focus", 0.30, 0.110, (-0.20, -0.60, -0.20)),
        ("far wall", 0.62, 0.140, (-0.55, -0.90, -0.45)),
    ),
    "left free wall": (
        ("near focus", 0.30, 0.110, (-0.60, 0.10, -0.45)),
        ("far wall", 0.62, 0.140, (-0.85, 0.45, -0.55)),
    ),
}

_HYPERTROPHY = np.array([1.15, 0.75, 1.6])
_LOST_FORCES: dict[str, Vector] = {"anterior": (-0.28, 0.05, 1.0), "inferior": (0.10, -1.0, 0.0)}


def _waves(phases: Sequence[Phase], duration_s: float) -> list[Wave]:
    return [
        Wave(name, centre * duration_s, width * duration_s, width * duration_s, dipole)
        for name, centre, width, dipole in phases
    ]


def qrs_complex(
    ventricles: Ventricles,
    bundle: str,
    duration_s: float,
    infarcts: Sequence[Infarct],
    field: NDArray[np.float64],
) -> list[Wave]:
    """Waves of a conducted QRS complex.

    Args:
        ventricles: strength, axis, hypertrophy.
        bundle: "normal", "left block" or "right block".
        duration_s: QRS duration, s.
        infarcts: walls whose forces are lost.
        field: lead field [8, 3], for the axis and the voltage bounds.

    Returns:
        Waves, times in s from QRS onset, dipoles in mV.
    """
    waves = _waves(_BUNDLES[bundle], duration_s)
    waves[0] = scaled(waves[:1], ventricles.septal_share)[0]
    if ventricles.left_hypertrophy:
        x, y, z = _HYPERTROPHY
        waves[1:] = [
            Wave(w.name, w.centre_s, w.rise_s, w.fall_s, (x * w.dipole_mv[0], y * w.dipole_mv[1], z * w.dipole_mv[2]))
            for w in waves[1:]
        ]
    # The axis of a right bundle branch block is that of the left ventricle, before the late right wall.
    judged = slice(0, 3) if bundle == "right block" else slice(None)
    for _ in range(3):
        waves = rotated(waves, ventricles.qrs_axis_deg - _frontal_axis(waves[judged], duration_s, field))
    waves = _with_infarcts(waves, infarcts, bundle, duration_s)
    waves = scaled(waves, ventricles.qrs_magnitude_mv / _magnitude(waves, duration_s))
    voltage = sokolow_lyon(waves, duration_s, field)
    return scaled(waves, float(np.clip(voltage, *ventricles.sokolow_lyon_mv)) / voltage)


def _with_infarcts(waves: list[Wave], infarcts: Sequence[Infarct], bundle: str, duration_s: float) -> list[Wave]:
    # Dead muscle is a missing force: what its wall gave shrinks, and the opposite wall pulls the start of QRS away.
    size = _magnitude(waves, duration_s)
    early = 0.6 if bundle == "right block" else 1.0
    for infarct in infarcts:
        if infarct.wall == "anterior":
            waves[0] = scaled(waves[:1], max(0.0, 1 - 2.5 * infarct.q_wave))[0]
            waves[1] = scaled(waves[1:2], 1 - 0.8 * infarct.q_wave)[0]
        x, y, z = (size * infarct.q_wave * v for v in _LOST_FORCES[infarct.wall])
        rise, fall = 0.10 * early * duration_s, 0.13 * early * duration_s
        waves.append(Wave("lost forces", 0.27 * early * duration_s, rise, fall, (x, y, z)))
    return waves


def premature_qrs(ventricles: Ventricles) -> list[Wave]:
    """Waves of a premature ventricular complex, slow from muscle to muscle; times in s from QRS onset, mV."""
    waves = _waves(_FOCI[ventricles.premature_focus], ventricles.premature_qrs_s)
    wanted = 1.25 * ventricles.qrs_magnitude_mv
    return scaled(waves, wanted / _magnitude(waves, ventricles.premature_qrs_s))


def sokolow_lyon(qrs: Sequence[Wave], duration_s: float, field: NDArray[np.float64]) -> float:
    """Voltage of Sokolow & Lyon (1949): S in V1 + the larger R of V5 and V6, mV."""
    leads = field @ evaluate(qrs, _grid(duration_s))
    return float(max(0.0, -leads[2].min()) + max(leads[6].max(), leads[7].max(), 1e-3))


def _grid(duration_s: float) -> NDArray[np.float64]:
    return np.linspace(0.0, duration_s, 200)


def _magnitude(waves: Sequence[Wave], duration_s: float) -> float:
    return float(np.linalg.norm(evaluate(waves, _grid(duration_s)), axis=0).max())


def _frontal_axis(waves: Sequence[Wave], duration_s: float, field: NDArray[np.float64]) -> float:
    # Net areas in I and aVF; aVF is 2/sqrt(3) too small by Goldberger's terminal.
    area = twelve_leads((field @ evaluate(waves, _grid(duration_s))).T).sum(axis=0)
    return float(np.rad2deg(np.arctan2(2 / np.sqrt(3) * area[5], area[0])))
