"""Draw a patient: every parameter from a range that fits the wanted disorders.

Ranges follow the diagnostic criteria of the AHA/ACCF/HRS recommendations (Surawicz et al. 2009, Hancock et al. 2009,
Wagner et al. 2009); a label is always earned by the parameters, never only attached.
"""

from __future__ import annotations

from collections.abc import Set

import numpy as np

from clear_hug.simulate.parameters import Conduction, Infarct, Physiology, Repolarisation, Rhythm, Torso, Ventricles

__all__ = ["RATE_BPM", "draw_physiology", "rhythm_of"]

RATE_BPM: tuple[float, float] = (20.0, 300.0)
"""Slowest and fastest ventricular rate on request; 0 is asystole."""

_RATES: dict[str, tuple[float, float]] = {
    "SR": (62.0, 96.0),
    "AF": (60.0, 145.0),
    "STACH": (105.0, 150.0),
    "SBRAD": (38.0, 56.0),
}
_FOCI = ("right outflow tract", "left apex", "left free wall")


def rhythm_of(codes: Set[str], heart_rate: float | None) -> str | None:
    """The rhythm of a record, by the disorders named and the rate asked for.

    Sinus rhythm, named or implied, is called by its rate: SBRAD below 60 bpm, STACH above 100 bpm.

    Args:
        codes: disorder codes, at most one rhythm.
        heart_rate: wanted rate in bpm, 0 for asystole, None for any that fits.

    Returns:
        "SR", "AF", "STACH" or "SBRAD"; None for an asystole.

    Raises:
        ValueError: the rate is outside 20…300 bpm (and not 0), or contradicts the disorders.
    """
    named = next((code for code in ("AF", "STACH", "SBRAD") if code in codes), None)
    if heart_rate is None:
        return named or "SR"
    if heart_rate == 0:
        if codes - {"SR"}:
            raise ValueError(f"{', '.join(sorted(codes))} cannot show in a heart that stands still (heart_rate=0)")
        return None
    if not RATE_BPM[0] <= heart_rate <= RATE_BPM[1]:
        raise ValueError(
            f"heart_rate must be 0 (asystole) or from {RATE_BPM[0]:.0f} to {RATE_BPM[1]:.0f} bpm, got {heart_rate!r}"
        )
    if named == "AF":
        return named
    by_rate = "SBRAD" if heart_rate < 60 else "STACH" if heart_rate > 100 else "SR"
    if named is not None and named != by_rate:
        raise ValueError(
            f"{named} contradicts heart_rate={heart_rate!r} bpm, which is {by_rate}; leave one of them out"
        )
    return by_rate


def draw_physiology(codes: Set[str], heart_rate: float | None, rng: np.random.Generator) -> Physiology:
    """Draw the parameters of one patient.

    Args:
        codes: disorder codes, as `parse_disorders` gives them.
        heart_rate: wanted rate in bpm, 0 for asystole, None for any that fits.
        rng: source of the draws.

    Returns:
        The patient.

    Raises:
        ValueError: as `rhythm_of`.
    """
    rhythm = rhythm_of(codes, heart_rate)
    return Physiology(
        rhythm=_draw_rhythm(codes, rhythm, heart_rate, rng),
        conduction=_draw_conduction(codes, rng),
        ventricles=_draw_ventricles(codes, rng),
        repolarisation=Repolarisation(
            p_magnitude_mv=_between(rng, 0.07, 0.14),
            t_magnitude_mv=_between(rng, 0.22, 0.52),
            t_axis_deg=_around(rng, 28, 10),
            t_asymmetry=_between(rng, 1.3, 1.9),
            strain=_between(rng, 0.5, 1.0) if "LVH" in codes and not codes & {"LBBB", "AMI"} else 0.0,
        ),
        infarcts=tuple(
            _draw_infarct(wall, rng) for wall in ("anterior", "inferior") if wall[0].upper() + "MI" in codes
        ),
        torso=Torso(
            yaw_deg=_around(rng, 0, 6),
            pitch_deg=_around(rng, 0, 5),
            electrode_shift=tuple(rng.normal(0, 0.12, 6).clip(-0.3, 0.3).tolist()),
            lead_gain=tuple(np.exp(rng.normal(0, 0.10, 8).clip(-0.20, 0.20)).tolist()),
        ),
    )


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def _around(rng: np.random.Generator, mean: float, sd: float) -> float:
    """Normal draw, held within two standard deviations."""
    return float(mean + sd * np.clip(rng.standard_normal(), -2, 2))


def _draw_rhythm(codes: Set[str], rhythm: str | None, heart_rate: float | None, rng: np.random.Generator) -> Rhythm:
    drawn = _between(rng, *_RATES[rhythm or "SR"])
    rate = drawn if heart_rate is None else float(heart_rate)
    sinus_variability = _between(rng, 0.015, 0.05) * (0.5 if rhythm == "STACH" else 1.0)
    return Rhythm(
        mechanism="asystole" if rhythm is None else "fibrillation" if rhythm == "AF" else "sinus",
        heart_rate_bpm=rate,
        rr_variability=_between(rng, 0.18, 0.28) if rhythm == "AF" else sinus_variability,
        lf_hf_ratio=_between(rng, 0.3, 2.0),
        mayer_hz=_between(rng, 0.08, 0.12),
        respiration_hz=_between(rng, 0.18, 0.35),
        premature_share=_between(rng, 0.12, 0.35) if "PVC" in codes else 0.0,
        premature_coupling=_between(rng, 0.55, 0.70),
        f_wave_hz=_between(rng, 4.5, 8.5),
        f_wave_mv=_between(rng, 0.05, 0.14),
    )


def _draw_conduction(codes: Set[str], rng: np.random.Generator) -> Conduction:
    blocked = codes & {"LBBB", "RBBB"}
    qrs = _between(rng, 0.080, 0.102)
    if "LVH" in codes:
        qrs += 0.008
    if blocked:
        qrs = _between(rng, 0.135, 0.165) if "LBBB" in blocked else _between(rng, 0.130, 0.155)
    return Conduction(
        bundle="left block" if "LBBB" in blocked else "right block" if "RBBB" in blocked else "normal",
        p_duration_s=_between(rng, 0.085, 0.110),
        pr_interval_s=_between(rng, 0.225, 0.320) if "1AVB" in codes else _between(rng, 0.130, 0.185),
        qrs_duration_s=qrs,
        qt_interval_s=_between(rng, 0.37, 0.42),
    )


def _draw_ventricles(codes: Set[str], rng: np.random.Generator) -> Ventricles:
    axis = _around(rng, 48, 20)
    if "LBBB" in codes:
        axis = _around(rng, 0, 18)
    elif "LVH" in codes or "IMI" in codes:
        axis = _around(rng, 20, 15)
    lowest = _between(rng, 3.7, 5.0) if "LVH" in codes else 0.0
    return Ventricles(
        qrs_axis_deg=axis,
        qrs_magnitude_mv=_between(rng, 0.9, 1.9),
        sokolow_lyon_mv=(lowest, np.inf if "LVH" in codes else 3.1),
        left_hypertrophy="LVH" in codes,
        septal_share=_between(rng, 0.5, 1.3),
        premature_focus=_FOCI[int(rng.integers(3))],  # type: ignore[arg-type]
        premature_qrs_s=_between(rng, 0.14, 0.175),
        beat_variation=_between(rng, 0.01, 0.04),
    )


def _draw_infarct(wall: str, rng: np.random.Generator) -> Infarct:
    # From the first hours (high ST, upright T) to weeks later (low ST, inverted T); the Q wave stays.
    age = _between(rng, 0.0, 1.0)
    return Infarct(
        wall="anterior" if wall == "anterior" else "inferior",
        q_wave=_between(rng, 0.35, 0.55),
        st_elevation_mv=(1 - age) * _between(rng, 0.35, 0.50) + age * _between(rng, 0.20, 0.28),
        t_inversion=max(0.0, 1.6 * (age - 0.4)),
    )
