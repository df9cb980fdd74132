"""R peaks of an ECG, from all its leads together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.beat_candidates import search_beats
from clear_hug.data.beat_evidence import choose_beats, is_regular
from clear_hug.data.beat_settings import BeatSettings
from clear_hug.data.qrs_locate import locate_r_peaks
from clear_hug.data.resample import map_indices, resample
from clear_hug.data.sample_checks import finite_range
from clear_hug.data.spikes import remove_spikes
from clear_hug.data.wide_beats import add_wide_beats
from clear_hug.leads import canonical_leads

__all__ = ["DETECTOR", "LOWEST_FS", "beats_in_rows", "detect_beats"]

DETECTOR = "multi-lead QRS energy 4"
"""Name and version of the detector, for manifests."""

LOWEST_FS = 50.0
"""Below this rate, in Hz, a QRS complex is a handful of samples and cannot be told from a T wave."""


def detect_beats(
    signal: NDArray[np.floating], fs: float, leads: Sequence[str], *, settings: BeatSettings | None = None
) -> NDArray[np.int64]:
    """Find the R peak of every heartbeat.

    The slope energy of the QRS band (Pan and Tompkins 1985, doi.org/10.1109/TBME.1985.325532) is averaged over the
    leads, each weighed from moment to moment by how clearly its peaks stand out, so that a loose electrode does not
    spoil the search. Each peak is then judged by its height, its clearness, its resemblance to others in all leads, and
    where it falls in the rhythm: a pause asks for less, a place between two regular beats for more. Wide beats with
    gentle slopes are told by their deflection. The R peak is the largest deflection over all leads near the energy
    peak, at the signal's own rate. docs/beats.md has the method, its sources, figures and limits.

    Args:
        signal: float [n, leads], mV, at its native rate. NaN or infinite samples are bridged.
        fs: rate, Hz, at least 50.
        leads: standard lead names of the columns.
        settings: thresholds; None for the defaults.

    Returns:
        int64 [beats], strictly increasing sample indices; empty for flat, very short or beatless signals.

    Raises:
        ValueError: a signal that is no [n, leads] array, names that are unknown or not as many as the columns, or a
            rate below 50 Hz.
    """
    settings = settings or BeatSettings()
    signal = np.asarray(signal)
    if signal.ndim != 2:
        raise ValueError(f"the signal has shape {signal.shape}, but must be [samples, leads]")
    names = canonical_leads(leads)
    if len(names) != signal.shape[1]:
        raise ValueError(f"{len(names)} lead names ({' '.join(names)}) for {signal.shape[1]} columns")
    return beats_in_rows(_finite_rows(signal), fs, settings)


def beats_in_rows(
    rows: NDArray[np.float32],
    fs: float,
    settings: BeatSettings,
    coarse: NDArray[np.float32] | None = None,
    curvature: NDArray[np.float32] | None = None,
) -> NDArray[np.int64]:
    """`detect_beats` in rows that need no check.

    Args:
        rows: float32 [leads, n], mV, finite, contiguous.
        fs: rate, Hz.
        settings: thresholds.
        coarse: float32 [leads, m], the same at `settings.analysis_hz`, where it is known.
        curvature: float32 [leads], of `LeadFacts`, where it is known.

    Raises:
        ValueError: a rate below 50 Hz.
    """
    if not (math.isfinite(fs) and fs >= LOWEST_FS):
        raise ValueError(f"beats cannot be found at {fs} Hz: record at {LOWEST_FS:g} Hz or more")
    if rows.size == 0 or rows.shape[1] < 2 * settings.integration_s * fs:
        return np.zeros(0, dtype=np.int64)
    repaired = remove_spikes(rows, fs, settings.spike_mv, curvature)
    if coarse is None or repaired is not rows:
        coarse = np.ascontiguousarray(resample(repaired.T, fs, settings.analysis_hz).T)
    rows = repaired
    found = search_beats(coarse, settings)
    if found is None:
        return np.zeros(0, dtype=np.int64)
    chosen = choose_beats(found.candidates, found.similar, settings.weights)
    chosen = add_wide_beats(found.bands, found.candidates, chosen, settings)
    beats = found.candidates.place[chosen]
    if found.contrast < settings.least_contrast and not is_regular(beats):
        return np.zeros(0, dtype=np.int64)
    rough = map_indices(beats, settings.analysis_hz, fs, rows.shape[1])
    return locate_r_peaks(rows, fs, rough, np.cbrt(found.weight[:, chosen]), settings)


def _finite_rows(signal: NDArray[np.floating]) -> NDArray[np.float32]:
    """[leads, n] without NaN; leads of which less than half is there are left out."""
    rows = np.ascontiguousarray(signal.T, dtype=np.float32)
    if rows.size and finite_range(rows) is None:
        there = np.isfinite(rows)
        rows = rows[there.mean(axis=1) > 0.5]
        grid = np.arange(rows.shape[1])
        for row in rows:
            known = np.isfinite(row)
            row[~known] = np.interp(grid[~known], grid[known], row[known])
    return rows
