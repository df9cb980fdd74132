"""The ways to cut a recording into tokens, by name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.arm_leg import arm_leg_score
from clear_hug.data.beat_settings import BeatSettings
from clear_hug.data.beats import DETECTOR, beats_in_rows
from clear_hug.data.official import (
    OFFICIAL_BEAT_SAMPLES,
    OFFICIAL_BEATS,
    OFFICIAL_FS,
    official_r_peaks,
    official_tokens,
    to_official_rate,
)
from clear_hug.data.quality import ARM_LEG_NOTE, COARSE_HZ, LeadQuality, QualityLimits, check_leads, quality_codes
from clear_hug.data.resample import map_indices, resample
from clear_hug.data.tokens import BeatGrid, token_grid
from clear_hug.leads import STANDARD_LEADS

__all__ = ["TOKENIZERS", "CutSettings", "Tokenizer", "tokenizer_named"]


class CutSettings(Protocol):
    """What a tokenizer reads of `PrepareSettings`."""

    @property
    def rate(self) -> float:
        """Hz."""

    @property
    def slots(self) -> int:
        """T."""

    @property
    def samples(self) -> int:
        """S."""

    @property
    def leads(self) -> tuple[str, ...]:
        """Names of the columns."""

    @property
    def quality(self) -> QualityLimits:
        """Thresholds."""

    @property
    def detector(self) -> BeatSettings:
        """Settings of the detector."""


class Tokenizer(Protocol):
    """One way to cut tokens.

    Attributes:
        detector: name and version of its beat detector, for the manifest.
        precision: type of the signals that it works with.
    """

    @property
    def detector(self) -> str:
        """Name and version of the beat detector."""

    def defaults(self, fs: float | None) -> dict[str, float | int]:
        """Own `fs`, `beats`, and `beat_samples` for tokens at the rate asked for (None: the own one)."""

    @property
    def precision(self) -> type[np.floating]:
        """float32 or float64."""

    def check(self, fs: float, beats: int, beat_samples: int, leads: tuple[str, ...]) -> None:
        """Raise ValueError for settings that this tokenizer does not have."""

    def cut(self, signal: NDArray[np.floating], fs: float, settings: CutSettings) -> tuple[BeatGrid, tuple[str, ...]]:
        """Cut a recording.

        Args:
            signal: float [n, L], mV, at its native rate; NaN for samples or leads that are missing.
            fs: that rate, Hz.
            settings: sizes, leads and thresholds.

        Returns:
            The grid (no beats: nothing was found) and notes about leads and beats.
        """


@dataclass(frozen=True)
class BeatsTokenizer:
    """Ours: bad leads left out, beats found on all others at the native rate, every sample in one beat."""

    detector: str = DETECTOR
    precision: type[np.floating] = np.float32

    def defaults(self, fs: float | None) -> dict[str, float | int]:
        """100 Hz, 30 beats of 1.5 s."""
        rate = 100.0 if fs is None else fs
        return {"fs": rate, "beats": 30, "beat_samples": round(1.5 * rate) if math.isfinite(rate) else 0}

    def check(self, fs: float, beats: int, beat_samples: int, leads: tuple[str, ...]) -> None:
        """Any sizes will do."""

    def cut(self, signal: NDArray[np.floating], fs: float, settings: CutSettings) -> tuple[BeatGrid, tuple[str, ...]]:
        """See `Tokenizer.cut`."""
        checked = check_leads(signal, settings.leads, fs, settings.quality)
        rows, coarse, curvature = checked.signal.T, checked.coarse.T, checked.curvature  # [L, n], [L, m], [L]
        if not checked.valid.all():
            rows, coarse, curvature = rows[checked.valid], coarse[checked.valid], curvature[checked.valid]
        known = coarse if settings.detector.analysis_hz == COARSE_HZ else None
        peaks = beats_in_rows(rows, fs, settings.detector, known, curvature)
        # [m, L]
        resampled = checked.coarse if settings.rate == COARSE_HZ else resample(checked.signal, fs, settings.rate)
        peaks = map_indices(peaks, fs, settings.rate, len(resampled))
        if not (peaks[1:] > peaks[:-1]).all():
            peaks = np.unique(peaks)
        grid = token_grid(resampled, peaks, settings.rate, settings.slots, settings.samples, settings.quality.flat_mv)
        notes = checked.notes + _arm_and_leg(resampled, peaks, checked, settings)
        return grid, notes + _leave_out_bad(grid, checked, settings)


@dataclass(frozen=True)
class OfficialTokenizer:
    """The published one, bit for bit: no quality checks, XQRS at 100 Hz, equally spaced windows where it fails."""

    detector: str = "wfdb XQRS at 100 Hz"
    precision: type[np.floating] = np.float64

    def defaults(self, fs: float | None) -> dict[str, float | int]:
        """100 Hz, 15 beats of 0.96 s, whatever is asked for."""
        return {"fs": OFFICIAL_FS, "beats": OFFICIAL_BEATS, "beat_samples": OFFICIAL_BEAT_SAMPLES}

    def check(self, fs: float, beats: int, beat_samples: int, leads: tuple[str, ...]) -> None:
        """Only the published sizes and leads."""
        asked, own = (fs, beats, beat_samples), tuple(self.defaults(fs).values())
        if asked != own or leads != STANDARD_LEADS:
            raise ValueError(
                f"the official tokenizer cuts (fs, beats, beat_samples) = {own} from the twelve standard leads, not "
                f"{asked} from {' '.join(leads)}; leave these settings out, or use --tokenizer beats"
            )

    def cut(self, signal: NDArray[np.floating], fs: float, settings: CutSettings) -> tuple[BeatGrid, tuple[str, ...]]:
        """See `Tokenizer.cut`."""
        present = np.isfinite(signal).any(axis=0)  # [L]
        at_rate = to_official_rate(np.nan_to_num(signal, nan=0.0, posinf=0.0, neginf=0.0), fs)
        peaks, real = official_r_peaks(at_rate)
        grid = official_tokens(at_rate, peaks)
        grid.valid[~present] = False
        notes = () if real else (f"no beats found, {len(peaks)} equally spaced windows instead",)
        return grid, notes


TOKENIZERS: dict[str, Tokenizer] = {"beats": BeatsTokenizer(), "official": OfficialTokenizer()}
"""All tokenizers by the name that `--tokenizer` takes."""


def tokenizer_named(name: str) -> Tokenizer:
    """The tokenizer of that name.

    Raises:
        ValueError: there is none; the message lists those known.
    """
    if name not in TOKENIZERS:
        raise ValueError(f"unknown tokenizer {name!r}; choose one of {', '.join(TOKENIZERS)}")
    return TOKENIZERS[name]


def _arm_and_leg(
    signal: NDArray[np.floating], peaks: NDArray[np.integer], checked: LeadQuality, settings: CutSettings
) -> tuple[str, ...]:
    """A note where left arm and left leg may be exchanged, and nothing else about the limb leads is odd."""
    known = {code.split(":")[0] for code in quality_codes(checked.notes).split()} if checked.notes else set()
    if known & {"exchanged", "right-leg", "contradicting"}:
        return ()
    score = arm_leg_score(signal, peaks, settings.leads, settings.rate)
    return (ARM_LEG_NOTE,) if score > settings.quality.arm_leg_score else ()


def _leave_out_bad(grid: BeatGrid, checked: LeadQuality, settings: CutSettings) -> tuple[str, ...]:
    """Make bad leads padding, in place; a note about good ones that are flat for some beats."""
    kept = min(grid.beats_found, len(grid.r_index))
    if grid.valid[:, :kept].all() and checked.valid.all():
        return ()
    lost = checked.valid & ~grid.valid[:, :kept].all(axis=1)  # [L]
    grid.valid[~checked.valid] = False
    grid.tokens[~checked.valid] = 0.0
    if not lost.any():
        return ()
    leads = " ".join(lead for lead, some in zip(settings.leads, lost, strict=True) if some)
    return (f"{leads} flat for some beats, which are left out there",)
