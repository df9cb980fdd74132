"""Parameters of a simulated heart, named after the physiology that they stand for.

Vectors are heart dipoles in mV on the axes of Frank's orthogonal leads: x to the left, y to the feet, z to the back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Conduction", "Infarct", "NoiseConfig", "Physiology", "Repolarisation", "Rhythm", "Torso", "Ventricles"]

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Rhythm:
    """When the heart beats.

    The RR intervals of a sinus rhythm have the two-peaked spectrum of McSharry et al. (2003): Mayer waves near 0.1 Hz
    and respiratory sinus arrhythmia at the breathing rate. In atrial fibrillation they are independent draws.

    Attributes:
        mechanism: "sinus", "fibrillation" or "asystole" (no beat at all).
        heart_rate_bpm: mean ventricular rate, beats per minute; 0 in asystole.
        rr_variability: standard deviation of the RR intervals over their mean.
        lf_hf_ratio: power of the Mayer waves over that of the respiratory arrhythmia.
        mayer_hz: centre of the low-frequency peak, Hz.
        respiration_hz: breathing rate, Hz; baseline wander and beat amplitude follow it too.
        premature_share: wanted share of sinus beats replaced by premature ventricular ones (0: none).
        premature_coupling: interval from the beat before to the premature beat, over the mean RR interval.
        f_wave_hz: dominant frequency of the fibrillatory waves, Hz.
        f_wave_mv: their amplitude (dipole), mV.
    """

    mechanism: Literal["sinus", "fibrillation", "asystole"] = "sinus"
    heart_rate_bpm: float = 70.0
    rr_variability: float = 0.04
    lf_hf_ratio: float = 0.5
    mayer_hz: float = 0.1
    respiration_hz: float = 0.25
    premature_share: float = 0.0
    premature_coupling: float = 0.62
    f_wave_hz: float = 6.0
    f_wave_mv: float = 0.10


@dataclass(frozen=True)
class Conduction:
    """How the impulse travels: intervals in seconds, and the bundle branch that is blocked.

    Attributes:
        bundle: "normal", "left block" or "right block".
        p_duration_s: duration of the P wave.
        pr_interval_s: from P onset to QRS onset.
        qrs_duration_s: from the first to the last ventricular activation.
        qt_interval_s: from QRS onset to the end of T at 60 bpm; the rate correction is Fridericia's (RR^(1/3)).
    """

    bundle: Literal["normal", "left block", "right block"] = "normal"
    p_duration_s: float = 0.10
    pr_interval_s: float = 0.16
    qrs_duration_s: float = 0.09
    qt_interval_s: float = 0.40


@dataclass(frozen=True)
class Ventricles:
    """How strong the ventricles are, and where they point.

    Attributes:
        qrs_axis_deg: axis of the QRS complex in the frontal plane, degrees (0 to the left, 90 to the feet).
        qrs_magnitude_mv: largest magnitude of the heart dipole in the QRS complex, mV.
        sokolow_lyon_mv: bounds (lowest, highest) of S in V1 + R in V5 or V6 in mV, which the magnitude yields to.
        left_hypertrophy: thick left ventricle: forces to the left and back outgrow the others.
        septal_share: strength of the first, septal activation (r in V1, q in V6); 1 is typical.
        premature_focus: where premature ventricular beats start.
        premature_qrs_s: QRS duration of the premature beats, s.
        beat_variation: relative standard deviation of the amplitude from beat to beat.
    """

    qrs_axis_deg: float = 50.0
    qrs_magnitude_mv: float = 1.3
    sokolow_lyon_mv: tuple[float, float] = (0.0, 3.2)
    left_hypertrophy: bool = False
    septal_share: float = 1.0
    premature_focus: Literal["right outflow tract", "left apex", "left free wall"] = "right outflow tract"
    premature_qrs_s: float = 0.15
    beat_variation: float = 0.02


@dataclass(frozen=True)
class Repolarisation:
    """P and T waves and the strain of a hypertrophied wall.

    Attributes:
        p_magnitude_mv: magnitude of the P wave's dipole, mV.
        t_magnitude_mv: magnitude of the T wave's dipole in the frontal plane, mV.
        t_axis_deg: axis of the undisturbed T wave in the frontal plane, degrees.
        t_asymmetry: rise time of T over its fall time.
        strain: share (0 to 1) of the strain pattern: ST depression and T inversion opposite to the left ventricle.
    """

    p_magnitude_mv: float = 0.10
    t_magnitude_mv: float = 0.35
    t_axis_deg: float = 28.0
    t_asymmetry: float = 1.6
    strain: float = 0.0


@dataclass(frozen=True)
class Infarct:
    """A myocardial infarction.

    Attributes:
        wall: "anterior" (V1–V4) or "inferior" (II, III, aVF).
        q_wave: size of the lost forces over the QRS magnitude: 0 none, 0.35 a clear Q wave.
        st_elevation_mv: ST elevation in the leads that face the wall best, mV.
        t_inversion: 0 upright T, 1 fully inverted over the infarct.
    """

    wall: Literal["anterior", "inferior"]
    q_wave: float = 0.35
    st_elevation_mv: float = 0.25
    t_inversion: float = 0.0


@dataclass(frozen=True)
class Torso:
    """Where the heart lies and where the electrodes stick, as departures from Dower's mean torso.

    Attributes:
        yaw_deg: turn of the heart about the vertical axis, degrees (positive: towards the back on the left side).
        pitch_deg: turn about the left–right axis, degrees.
        electrode_shift: how far each of V1…V6 has slipped towards the next position, as a share of the distance.
        lead_gain: gain of I, II, V1…V6.
    """

    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    electrode_shift: tuple[float, ...] = (0.0,) * 6
    lead_gain: tuple[float, ...] = (1.0,) * 8


@dataclass(frozen=True)
class Physiology:
    """Everything about one simulated patient at one moment."""

    rhythm: Rhythm = field(default_factory=Rhythm)
    conduction: Conduction = field(default_factory=Conduction)
    ventricles: Ventricles = field(default_factory=Ventricles)
    repolarisation: Repolarisation = field(default_factory=Repolarisation)
    infarcts: tuple[Infarct, ...] = ()
    torso: Torso = field(default_factory=Torso)


@dataclass(frozen=True)
class NoiseConfig:
    """Typical noise at the electrodes; each record draws its own amounts around these.

    Noise enters at the electrodes, so it keeps I + III = II, as in a real recording. The kinds are those of the
    MIT-BIH noise stress test (Moody, Muldrow & Mark 1984): baseline wander, electrode motion, muscle; plus the mains.

    Attributes:
        powerline_mv: amplitude of the mains hum, mV.
        powerline_hz: mains frequency, 50 or 60 Hz (any positive value; left out where fs cannot carry it).
        emg_mv: root mean square of the muscle noise (20 to 150 Hz), mV.
        baseline_mv: amplitude of the respiratory baseline wander, mV; slower drift comes on top.
        motion_mv: amplitude of electrode motion artefacts (1 to 8 Hz bursts), mV.
        motion_per_minute: mean number of such artefacts in a minute.
        variation: spread of the amounts between records: each is multiplied by exp(variation * normal).

    Raises:
        ValueError: a value is negative or not finite, or the mains frequency is 0.
    """

    powerline_mv: float = 0.006
    powerline_hz: float = 50.0
    emg_mv: float = 0.012
    baseline_mv: float = 0.08
    motion_mv: float = 0.12
    motion_per_minute: float = 1.5
    variation: float = 0.5

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not math.isfinite(value) or value < 0:
                raise ValueError(f"NoiseConfig.{name} must be a finite number of at least 0, got {value!r}")
        if self.powerline_hz == 0:
            raise ValueError("NoiseConfig.powerline_hz must be positive, got 0; set powerline_mv=0 for no hum")
