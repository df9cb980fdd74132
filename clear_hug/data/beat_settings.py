"""The numbers of the beat detector."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BeatSettings"]


@dataclass(frozen=True)
class BeatSettings:
    """Settings of `detect_beats`; times in s, frequencies in Hz.

    Attributes:
        analysis_hz: the search runs at about this rate, whatever the record's.
        band: pass band in which a QRS stands out from P and T waves, drift and muscle noise.
        integration_s: length of the window over which slope energy is averaged, a little more than a normal QRS.
        block_s: leads are weighed anew in blocks of this length, since electrodes get loose and better again.
        contrast_power: how strongly a lead with clear peaks outweighs a noisy one.
        threshold: a peak of the energy is a beat from this share of the local beat height.
        search_back: lower share that suffices in a pause longer than 1.6 usual RR intervals.
        refractory_s: two beats are at least this far apart (300 bpm is one in 0.2 s).
        t_wave_s: within this time after a beat, a peak below `t_wave_ratio` of it is its T wave.
        t_wave_ratio: see `t_wave_s`.
        height_s: the local beat height is the median, over this time, of maxima in windows of `longest_rr_s`.
        longest_rr_s: every window of this length holds a beat (20 bpm is one in 3 s).
        least_contrast: a recording whose energy peaks nowhere exceed this multiple of its median is only believed to
            have beats if they are regular: noise reaches 2.6, the noisiest readable recordings seen start at 4.
        wide_band: pass band in which a wide ventricular beat is as high as a narrow one.
        wide_ratio: a weaker peak of the energy is a wide beat where the deflection in that band reaches this multiple
            of the ordinary beats'.
        wide_energy: and where its energy is at least this share of the local beat height.
        wide_gap_s: and where it is this far from other beats.
        wide_t_wave_s: within this time after a beat, a deflection below `wide_t_wave_ratio` of its is its T wave.
        wide_t_wave_ratio: see `wide_t_wave_s`.
        locate_s: the R peak is looked for this far on either side of the energy peak.
        locate_band: pass band for that.
        spike_mv: curvature, in mV, from which a sample is taken for a pacing spike; a QRS stays below a third of it.
    """

    analysis_hz: float = 125.0
    band: tuple[float, float] = (8.0, 25.0)
    integration_s: float = 0.12
    block_s: float = 10.0
    contrast_power: float = 3.0
    threshold: float = 0.38
    search_back: float = 0.18
    refractory_s: float = 0.18
    t_wave_s: float = 0.36
    t_wave_ratio: float = 0.5
    height_s: float = 8.0
    longest_rr_s: float = 3.0
    least_contrast: float = 3.0
    wide_band: tuple[float, float] = (3.0, 12.0)
    wide_ratio: float = 1.0
    wide_energy: float = 0.2
    wide_gap_s: float = 0.25
    wide_t_wave_s: float = 0.5
    wide_t_wave_ratio: float = 0.7
    locate_s: float = 0.06
    locate_band: tuple[float, float] = (5.0, 40.0)
    spike_mv: float = 0.4
