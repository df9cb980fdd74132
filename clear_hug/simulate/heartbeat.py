"""Whole heartbeats: P, QRS, ST and T of a conducted and of a premature beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clear_hug.simulate.parameters import Physiology, Vector
from clear_hug.simulate.ventricles import premature_qrs, qrs_complex
from clear_hug.simulate.waves import Beat, Wave, evaluate, shifted

__all__ = ["conducted_beat", "premature_beat"]

_T_STRAIN = np.array([-0.80, -0.10, -0.60])
_ST_STRAIN = np.array([-0.16, -0.05, -0.10])
# Unit: mV of ST in the best lead per unit; anterior is best seen in V2–V3, inferior in III.
_ST_INFARCT = {"anterior": np.array([0.10, -0.02, -0.70]), "inferior": np.array([-0.12, 0.75, 0.0])}
_T_INFARCT = {"anterior": np.array([-0.45, 0.0, 0.85]), "inferior": np.array([0.25, -0.95, 0.0])}
_P_RIGHT = np.array([0.50, 0.75, -0.40])
_P_LEFT = np.array([0.85, 0.45, 0.30])
_T_FRONT = 0.42


def conducted_beat(patient: Physiology, field: NDArray[np.float64]) -> Beat:
    """Waves of a beat that came through the AV node, from P (none in atrial fibrillation) to T.

    Args:
        patient: the patient.
        field: lead field [8, 3].

    Returns:
        Waves, times in s from the R peak (the largest magnitude of the heart dipole).
    """
    rhythm, conduction = patient.rhythm, patient.conduction
    duration = conduction.qrs_duration_s
    qrs = qrs_complex(patient.ventricles, conduction.bundle, duration, patient.infarcts, field)
    waves = qrs + _repolarisation(patient, qrs)
    if rhythm.mechanism == "sinus":
        waves = _p_wave(patient) + waves
    return tuple(shifted(waves, -_peak_time(qrs, duration)))


def premature_beat(patient: Physiology) -> Beat:
    """Waves of a premature ventricular beat: no P, wide QRS, ST and T opposite to it; times as in `conducted_beat`."""
    duration = patient.ventricles.premature_qrs_s
    qrs = premature_qrs(patient.ventricles)
    mean = _mean_vector(qrs, duration)
    t_wave = _t_wave(patient, -0.75 * patient.ventricles.qrs_magnitude_mv * mean / np.linalg.norm(mean), duration, 1.25)
    return tuple(shifted([*qrs, t_wave], -_peak_time(qrs, duration)))


def _p_wave(patient: Physiology) -> list[Wave]:
    # Two atria, right before left, overlapping; 2.5 widths at either end are the P duration.
    duration, onset = patient.conduction.p_duration_s, -patient.conduction.pr_interval_s
    width = duration * 0.145
    size = patient.repolarisation.p_magnitude_mv
    right, left = (_vector(size * 0.75 * v) for v in (_P_RIGHT, _P_LEFT))
    return [
        Wave("P, right atrium", onset + 2.5 * width, width, width, right),
        Wave("P, left atrium", onset + duration - 2.5 * width, width, width, left),
    ]


def _repolarisation(patient: Physiology, qrs: Sequence[Wave]) -> list[Wave]:
    duration, bundle = patient.conduction.qrs_duration_s, patient.conduction.bundle
    repolarisation = patient.repolarisation
    size = repolarisation.t_magnitude_mv
    axis = np.deg2rad(repolarisation.t_axis_deg)
    t_vector = size * np.array([np.cos(axis), np.sin(axis), -_T_FRONT])
    st_vector = np.zeros(3)
    if bundle == "left block":
        mean = _mean_vector(qrs, duration)
        t_vector = -1.1 * size * mean / np.linalg.norm(mean)
        st_vector = 0.35 * t_vector
    elif bundle == "right block":
        late = np.asarray(qrs[3].dipole_mv)
        t_vector = t_vector - 0.9 * size * late / np.linalg.norm(late)
    if repolarisation.strain:
        t_vector = (1 - repolarisation.strain) * t_vector + repolarisation.strain * size * _T_STRAIN
        st_vector = st_vector + repolarisation.strain * _ST_STRAIN
    for infarct in patient.infarcts:
        st_vector = st_vector + infarct.st_elevation_mv * _ST_INFARCT[infarct.wall]
        t_vector = t_vector + (0.9 * infarct.t_inversion) * size * _T_INFARCT[infarct.wall]
    t_wave = _t_wave(patient, t_vector, duration, 1.0)
    if not st_vector.any():
        return [t_wave]
    # A plateau from the J point, going over into T.
    plateau = Wave("ST", duration + 0.045, 0.028, 0.5 * (t_wave.centre_s - duration), _vector(st_vector), True)
    return [plateau, t_wave]


def _t_wave(patient: Physiology, vector: NDArray[np.float64], qrs_duration_s: float, breadth: float) -> Wave:
    rr = 60.0 / patient.rhythm.heart_rate_bpm
    # A wide QRS delays the end of T by what it exceeds a normal one.
    qt = patient.conduction.qt_interval_s * rr ** (1 / 3) + max(0.0, qrs_duration_s - 0.10)
    fall = 0.085 * breadth * patient.conduction.qt_interval_s * rr ** (1 / 3)
    rise = patient.repolarisation.t_asymmetry * fall
    centre = max(qt - 2.5 * fall, qrs_duration_s + 1.2 * rise)
    return Wave("T", centre, rise, fall, _vector(vector), True)


def _mean_vector(qrs: Sequence[Wave], duration_s: float) -> NDArray[np.float64]:
    return np.asarray(evaluate(qrs, np.linspace(0, duration_s, 200)).mean(axis=1))


def _peak_time(qrs: Sequence[Wave], duration_s: float) -> float:
    grid = np.linspace(0, duration_s, 2000)
    return float(grid[np.linalg.norm(evaluate(qrs, grid), axis=0).argmax()])


def _vector(values: NDArray[np.float64]) -> Vector:
    x, y, z = (float(v) for v in values)
    return x, y, z
