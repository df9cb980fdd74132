"""When the beats fall: sinus rhythm with its variability, atrial fibrillation, premature beats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clear_hug.simulate.parameters import Rhythm

__all__ = ["BeatTrain", "beat_train", "rr_tachogram"]

_GRID_HZ = 4.0
_SPECTRAL_WIDTH_HZ = 0.01
_EDGE_S = 0.3
_RR_BOUNDS = (0.5, 1.8)


@dataclass(frozen=True)
class BeatTrain:
    """Beats in and around a record.

    Attributes:
        r_times: R peaks, s, ascending; some lie before or after the record, for their tails.
        premature: which beats are premature ventricular ones.
        rr_before: interval from the beat before, s.
    """

    r_times: NDArray[np.float64]
    premature: NDArray[np.bool_]
    rr_before: NDArray[np.float64]


def rr_tachogram(rhythm: Rhythm, seconds: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Relative RR interval over time, by the spectrum of McSharry et al. (2003), eq. 5–6.

    Two Gaussian peaks (Mayer waves, breathing) with random phases, turned to time by an inverse Fourier transform.

    Args:
        rhythm: variability, its two frequencies and their power ratio.
        seconds: span wanted, s.
        rng: source of the phases.

    Returns:
        RR over its mean, at 4 Hz, mean 1, standard deviation ``rr_variability``.
    """
    # A span of at least two minutes resolves the peaks however short the record is.
    points = int(np.ceil(max(seconds, 120.0) * _GRID_HZ))
    frequency = np.fft.rfftfreq(points, 1 / _GRID_HZ)

    def peak(centre: float) -> NDArray[np.float64]:
        return np.asarray(np.exp(-0.5 * ((frequency - centre) / _SPECTRAL_WIDTH_HZ) ** 2))

    power = rhythm.lf_hf_ratio * peak(rhythm.mayer_hz) + peak(rhythm.respiration_hz)
    phase = rng.uniform(0, 2 * np.pi, frequency.size)
    series = np.fft.irfft(np.sqrt(power) * np.exp(1j * phase), points)
    series -= series.mean()
    return np.asarray(1 + rhythm.rr_variability * series / series.std())


def beat_train(rhythm: Rhythm, seconds: float, rng: np.random.Generator) -> BeatTrain:
    """Draw the beats of a record.

    Args:
        rhythm: mechanism, rate, variability and premature beats.
        seconds: length of the record, s.
        rng: source of the draws.

    Returns:
        Beats from about two intervals before the record to one after it.

    Raises:
        ValueError: premature beats are wanted, but the record holds no place for one.
    """
    if rhythm.mechanism == "asystole":
        none = np.zeros(0)
        return BeatTrain(none, none.astype(np.bool_), none)
    mean = 60.0 / rhythm.heart_rate_bpm
    times = (
        _fibrillating(rhythm, mean, seconds, rng)
        if rhythm.mechanism == "fibrillation"
        else _sinus(rhythm, mean, seconds, rng)
    )
    premature = np.zeros(times.size, dtype=np.bool_)
    if rhythm.premature_share > 0:
        times, premature = _with_premature(rhythm, mean, seconds, times, rng)
    return BeatTrain(times[1:], premature[1:], np.diff(times))


def _sinus(rhythm: Rhythm, mean: float, seconds: float, rng: np.random.Generator) -> NDArray[np.float64]:
    start = -mean * rng.uniform(2.0, 3.0)
    relative = rr_tachogram(rhythm, seconds + 5 * mean, rng)
    times = [start]
    while times[-1] < seconds + mean:
        at = min(int((times[-1] - start) * _GRID_HZ), relative.size - 1)
        times.append(times[-1] + mean * float(np.clip(relative[at], *_RR_BOUNDS)))
    return np.array(times)


def _fibrillating(rhythm: Rhythm, mean: float, seconds: float, rng: np.random.Generator) -> NDArray[np.float64]:
    count = int(np.ceil((seconds + 5 * mean) / (_RR_BOUNDS[0] * mean))) + 2
    sigma = np.sqrt(np.log1p(rhythm.rr_variability**2))
    relative = np.clip(rng.lognormal(-0.5 * sigma**2, sigma, count), *_RR_BOUNDS)
    times = -mean * rng.uniform(2.0, 3.0) + np.concatenate([[0.0], np.cumsum(mean * relative)])
    return np.asarray(times[: int(np.searchsorted(times, seconds + mean)) + 1])


def _with_premature(
    rhythm: Rhythm, mean: float, seconds: float, times: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    # The premature beat takes the place of the next sinus beat, whose impulse meets refractory ventricles; the sinus
    # node keeps its pace, so the two intervals around the premature beat add up to two cycles: a compensatory pause.
    coupled = times[:-2] + rhythm.premature_coupling * np.diff(times)[:-1]
    edge = min(_EDGE_S, 0.1 * seconds)
    places = np.flatnonzero((times[:-2] >= edge / 3) & (coupled < seconds - edge)) + 1
    if places.size == 0:
        raise ValueError(
            f"a record of {seconds} s at {rhythm.heart_rate_bpm:.0f} bpm has no place for a premature beat after a "
            "normal one; raise seconds or heart_rate, or leave PVC out"
        )
    wanted = max(1, round(rhythm.premature_share * places.size))
    chosen: list[int] = []
    for place in rng.permutation(places):
        if len(chosen) < wanted and all(abs(place - other) > 1 for other in chosen):
            chosen.append(int(place))
    premature = np.zeros(times.size, dtype=np.bool_)
    premature[chosen] = True
    moved = times.copy()
    moved[chosen] = coupled[np.array(chosen) - 1]
    return moved, premature
