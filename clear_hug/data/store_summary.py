"""What is in a store, in figures: records, flags, findings, beats, heart rates, and how much of each cycle is kept."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.store import SPLITS, BeatStore

__all__ = ["Spread", "StoreSummary", "cycle_coverage", "heart_rates", "summarise"]

_BLOCK_ROWS = 1 << 16


@dataclass(frozen=True)
class Spread:
    """Smallest value, 5 %, median, 95 % and largest value."""

    low: float
    p05: float
    median: float
    p95: float
    high: float

    @classmethod
    def of(cls, values: NDArray[np.floating] | NDArray[np.integer]) -> Spread | None:
        """Of the finite values; None where there is none."""
        finite = np.asarray(values, dtype=np.float64)
        finite = finite[np.isfinite(finite)]
        return cls(*map(float, np.quantile(finite, (0, 0.05, 0.5, 0.95, 1)))) if len(finite) else None


@dataclass(frozen=True)
class StoreSummary:
    """Figures of a store.

    Attributes:
        records: rows, flagged ones included.
        flagged: rows that are not used.
        reasons: of the flagged rows, number by kind of reason.
        noted: rows with remarks.
        findings: rows with each finding of the quality checks, by its code (docs/formats.md).
        splits: usable rows in train, val, test and none.
        beats: kept beats.
        beats_found: beats in the recordings, kept or not.
        tokens: valid pairs of beat and lead.
        lead_share: by lead, the share of the kept beats that are valid in it.
        beats_per_record: of the usable rows.
        heart_rate: of the usable rows with two beats or more, per minute, from the first kept R peak to the last.
        cycle_covered: share of the time between the first and the last kept R peak that lies inside tokens; None where
            no row has two beats.
    """

    records: int
    flagged: int
    reasons: dict[str, int]
    noted: int
    findings: dict[str, int]
    splits: dict[str, int]
    beats: int
    beats_found: int
    tokens: int
    lead_share: dict[str, float]
    beats_per_record: Spread | None
    heart_rate: Spread | None
    cycle_covered: float | None

    @property
    def beats_kept(self) -> float | None:
        """Share of the beats found that has a slot; None without beats."""
        return self.beats / self.beats_found if self.beats_found else None

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {**asdict(self), "beats_kept": self.beats_kept}


def summarise(store: BeatStore) -> StoreSummary:
    """Read masks, R peaks and the table of records (not the tokens), a block of rows at a time."""
    counts = store.manifest["counts"]
    usable = np.asarray(store.usable)
    per_lead = np.zeros(len(store.leads), dtype=np.int64)
    rates, numbers = np.full(len(store), np.nan), np.zeros(len(store), dtype=np.int64)
    covered = between = 0
    for start in range(0, len(store), _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        r_index = np.asarray(store.r_index[rows])
        rates[rows], numbers[rows] = heart_rates(r_index, store.fs), (r_index >= 0).sum(axis=1)
        per_lead += np.asarray(store.valid[rows]).sum(axis=(0, 2))
        inside, length = cycle_coverage(r_index, store.manifest["beat_samples"])
        covered, between = covered + inside, between + length
    findings = Counter(code.split(":")[0] for codes in store.quality for code in codes.split())
    splits = {name: int((usable & (store.split == number)).sum()) for name, number in {**SPLITS, "none": -1}.items()}
    beats = int(counts["beats"])
    return StoreSummary(
        records=len(store),
        flagged=int(counts["flagged"]),
        reasons=dict(store.manifest["flags"]),
        noted=int(counts["noted"]),
        findings=dict(findings.most_common()),
        splits=splits,
        beats=beats,
        beats_found=int(counts["beats_found"]),
        tokens=int(per_lead.sum()),
        lead_share={lead: float(n) / max(beats, 1) for lead, n in zip(store.leads, per_lead, strict=True)},
        beats_per_record=Spread.of(numbers[usable]),
        heart_rate=Spread.of(rates),
        cycle_covered=covered / between if between else None,
    )


def heart_rates(r_index: NDArray[np.integer], fs: float) -> NDArray[np.float64]:
    """Beats per minute [R] from the first to the last R peak.

    Args:
        r_index: [R, T] samples, increasing, -1 in empty slots at the end.
        fs: their rate, Hz.

    Returns:
        float64 [R], NaN for rows with fewer than two beats.
    """
    number = (r_index >= 0).sum(axis=1)
    last = np.take_along_axis(r_index, np.maximum(number - 1, 0)[:, None], axis=1)[:, 0]
    span = (last - r_index[:, 0]) / fs  # s
    rates: NDArray[np.float64] = np.full(len(r_index), np.nan)
    np.divide(60.0 * (number - 1), span, out=rates, where=number > 1)
    return rates


def cycle_coverage(r_index: NDArray[np.integer], beat_samples: int) -> tuple[int, int]:
    """Samples between consecutive kept R peaks: those inside a token, and all of them.

    Each of the two tokens reaches half-way to the other R peak at most, and to its own end.

    Args:
        r_index: [R, T] samples, increasing, -1 in empty slots at the end.
        beat_samples: S.
    """
    both = r_index[:, 1:] >= 0
    interval = np.diff(r_index.astype(np.int64), axis=1)[both]
    after, before = interval // 2, interval - interval // 2
    inside = np.minimum(after, beat_samples - beat_samples // 2) + np.minimum(before, beat_samples // 2)
    return int(inside.sum()), int(interval.sum())
