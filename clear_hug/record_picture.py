"""One record of a store as a picture: each lead over time with R peaks and tokens, and its beats over each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

INK, BEAT, QUIET, EVEN, ODD = "#15171c", "#1d5fd1", "#5a6070", "#e3ecfb", "#f4f7fd"
SPACING_MV, ROW_INCHES = 2.0, 0.72
SECONDS_SHOWN = 12.0


def draw_tokens(
    tokens: NDArray[np.floating],
    valid: NDArray[np.bool_],
    r_index: NDArray[np.integer],
    fs: float,
    leads: Sequence[str],
    *,
    title: str = "",
    subtitle: str = "",
    footer: str = "",
) -> Figure:
    """Draw the tokens of one record, where they lie in time and laid over each other.

    What lies in no token is not in the picture: gaps in a trace are parts of the recording that the store leaves out.

    Args:
        tokens: float [L, T, S], mV, R peak at sample S//2.
        valid: bool [L, T].
        r_index: [T] R peaks in samples at `fs`, -1 in empty slots.
        fs: Hz.
        leads: L names.
        title: bold first line.
        subtitle: second line.
        footer: small last line.
    """
    leads_shown, (_, _, samples) = len(leads), tokens.shape
    height = ROW_INCHES * leads_shown + 1.5
    figure = Figure(figsize=(13.0, height), dpi=130, facecolor="white")
    top, bottom = 1 - 0.75 / height, 0.62 / height
    over_time = figure.add_axes((0.05, bottom, 0.73, top - bottom))
    laid_over = figure.add_axes((0.80, bottom, 0.18, top - bottom))
    kept = [slot for slot in np.flatnonzero(r_index >= 0) if r_index[slot] < SECONDS_SHOWN * fs]
    offsets = SPACING_MV * np.arange(leads_shown)[::-1]
    extents = [_extent(tokens, r_index, slot) for slot in range(len(r_index))]
    for slot in kept:
        first, last = extents[slot]
        over_time.axvspan((first - 0.5) / fs, (last - 0.5) / fs, color=EVEN if slot % 2 else ODD, lw=0, zorder=0)
    for lead, offset in enumerate(offsets):
        middle = _middle(tokens[lead], valid[lead])
        for slot in kept:
            if not valid[lead, slot]:
                continue
            first, last = extents[slot]
            at = np.arange(first, last)
            trace = np.clip(tokens[lead, slot, at - r_index[slot] + samples // 2] - middle, -1.6, 1.9) + offset
            over_time.plot(at / fs, trace, color=INK, lw=0.8, zorder=3)
            laid_over.plot((at - r_index[slot]) / fs, trace, color=BEAT, lw=0.6, alpha=0.45, zorder=3)
        over_time.text(-0.012, offset, leads[lead], transform=over_time.get_yaxis_transform(), **_LEAD_NAME)
        if not valid[lead].any():
            over_time.text(0.01, offset, "no valid beat", transform=over_time.get_yaxis_transform(), **_MISSING)
    peaks = np.asarray([r_index[slot] / fs for slot in kept])
    ceiling = offsets[0] + 1.75
    over_time.vlines(peaks, -1.5, ceiling, color=BEAT, lw=0.6, alpha=0.35, zorder=1)
    over_time.plot(peaks, np.full(len(peaks), ceiling), ls="", marker="v", ms=5, color=BEAT, zorder=5, clip_on=False)
    for x, slot in zip(peaks, kept, strict=True):
        over_time.text(x, ceiling + 0.22, str(slot + 1), fontsize=7, ha="center", va="bottom", color=QUIET)
    _scale(over_time, offsets, "s")
    _scale(laid_over, offsets, "s from the R peak")
    over_time.set_xlim(0, max(1.0, extents[kept[-1]][1] / fs if kept else 1.0))
    laid_over.set_xlim(-(samples // 2) / fs, (samples - samples // 2) / fs)
    laid_over.axvline(0, color=BEAT, lw=0.6, alpha=0.35)
    laid_over.set_title("the tokens, R peak in the middle", fontsize=8.5, color=QUIET)
    figure.text(0.02, 1 - 0.22 / height, title, fontsize=12, fontweight="bold", va="center", color=INK)
    figure.text(0.02, 1 - 0.43 / height, subtitle, fontsize=8.5, va="center", color=QUIET)
    figure.text(0.02, 0.13 / height, footer, fontsize=7.5, va="center", color=QUIET)
    return figure


_LEAD_NAME: dict[str, Any] = {"fontsize": 9, "fontweight": "bold", "ha": "right", "va": "center", "color": INK}
_MISSING: dict[str, Any] = {"fontsize": 8, "va": "center", "color": QUIET}


def _extent(tokens: NDArray[np.floating], r_index: NDArray[np.integer], slot: int) -> tuple[int, int]:
    """First sample of the beat and one past its last, in the recording; what is zero in all leads is padding."""
    samples = tokens.shape[-1]
    written = np.flatnonzero(tokens[:, slot].any(axis=0))
    first, last = (int(written[0]), int(written[-1]) + 1) if len(written) else (samples // 2, samples // 2 + 1)
    start = int(r_index[slot]) - samples // 2
    return start + first, start + last


def _middle(tokens: NDArray[np.floating], valid: NDArray[np.bool_]) -> float:
    """What is drawn at the lead's line, as a recorder's high-pass filter would."""
    shown = tokens[valid]
    shown = shown[shown != 0]
    return float(np.median(shown)) if shown.size else 0.0


def _scale(axes: Axes, offsets: NDArray[np.floating], label: str) -> None:
    axes.set_ylim(-1.7, offsets[0] + 1.75)
    axes.set_yticks([])
    axes.tick_params(colors=QUIET, labelsize=8)
    axes.set_xlabel(label, fontsize=8.5, color=QUIET)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#b8bec9")
