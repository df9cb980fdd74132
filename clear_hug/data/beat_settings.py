"""The numbers of the beat detector."""

from __future__ import annotations

from dataclasses import dataclass, field

from clear_hug.data.beat_evidence import EvidenceWeights

__all__ = ["BeatSettings"]


@dataclass(frozen=True)
class BeatSettings:
    """Settings of `detect_beats`; times in s, frequencies in Hz.

    Attributes:
        analysis_hz: the search runs at this rate, whatever the record's.
        band: pass band in which a QRS stands out from P and T waves, drift and muscle noise.
        integration_s: length of the window over which slope energy is averaged, a little more than a normal QRS.
        contrast_power: how strongly a lead with clear peaks outweighs a noisy one; a whole number, at least 1.
        noise_s: the floor of the energy, which noise lifts, is the median of minima over this time.
        largest: a lead's energy counts up to this multiple of its ordinary beats, so that one loose electrode cannot
            outvote the others.
        refractory_s: two beats are at least this far apart (300 bpm is one in 0.2 s).
        lowest: peaks of the energy from this share of the local beat height are candidates.
        likely: candidates from this share are what others are compared with.
        height_s: the local beat height is the median, over this time, of maxima in windows of `longest_rr_s`.
        longest_rr_s: every window of this length holds a beat (20 bpm is one in 3 s).
        least_contrast: a recording whose energy peaks nowhere exceed this multiple of its median is only believed to
            have beats if they are regular: noise reaches 2.6, the noisiest readable recordings seen start at 4.
        shape_band: pass band in which the shapes of beats are compared.
        weights: how the evidence for a beat is weighed.
        wide_band: pass band in which a wide ventricular beat is as high as a narrow one.
        wide_ratio: a weaker peak of the energy is a wide beat where the deflection in that band reaches this multiple
            of the ordinary beats'.
        wide_energy: and where its energy is at least this share of the local beat height.
        wide_clearness: and this multiple of the floor of the energy, that is, where there is no noise.
        wide_gap_s: and where it is this far from other beats.
        wide_t_wave_s: within this time after a beat, a deflection below `wide_t_wave_ratio` of its is its T wave.
        wide_t_wave_ratio: see `wide_t_wave_s`.
        locate_s: the R peak is looked for this far on either side of the energy peak.
        locate_band: pass band for that.
        spike_mv: curvature, in mV, from which a sample is taken for a pacing spike; a QRS stays below a third of it.
    """

    analysis_hz: float = 100.0
    band: tuple[float, float] = (8.0, 25.0)
    integration_s: float = 0.12
    contrast_power: int = 3
    noise_s: float = 1.8
    largest: float = 2.0
    refractory_s: float = 0.18
    lowest: float = 0.12
    likely: float = 0.6
    height_s: float = 8.0
    longest_rr_s: float = 3.0
    least_contrast: float = 3.0
    shape_band: tuple[float, float] = (3.0, 30.0)
    weights: EvidenceWeights = field(default_factory=EvidenceWeights)
    wide_band: tuple[float, float] = (3.0, 12.0)
    wide_ratio: float = 1.0
    wide_energy: float = 0.2
    wide_clearness: float = 8.0
    wide_gap_s: float = 0.25
    wide_t_wave_s: float = 0.5
    wide_t_wave_ratio: float = 0.7
    locate_s: float = 0.06
    locate_band: tuple[float, float] = (5.0, 40.0)
    spike_mv: float = 0.4
