"""A record drawn as a clinician expects it: 3 × 4 leads and a rhythm strip on ECG paper, 25 mm/s and 10 mm/mV.

Everything is laid out in millimetres of paper, so that the picture printed at its own size is to scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

SPEED = 25.0  # mm per second
GAIN = 10.0  # mm per mV
COLUMNS = (("I", "II", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6"))
INK, BEAT, FAINT, QUIET = "#15171c", "#1d5fd1", "#a9c2ee", "#5a6070"
MINOR, MAJOR, PAPER = "#f9e0dc", "#efb9b1", "#fffbf9"
MARGIN, PULSE, HEADER, BAR, LETTER = 6.0, 8.0, 16.0, 6.0, 1.75  # mm
LOWEST_ROW, TALLEST_ROW, NARROWEST = 24.0, 46.0, 180.0  # mm
SECONDS_SHOWN = 10.0

Trace = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One line of paper: pieces (lead index, first sample, last sample + 1), left to right; `marks`: has the beats."""

    pieces: tuple[tuple[int, int, int], ...]
    marks: bool = False


@dataclass(frozen=True)
class Bar:
    """A probability 0 … 1 to draw; `present`: at or above its threshold, hence in bold."""

    name: str
    value: float
    present: bool = False


def layout(leads: Sequence[str], samples: int, fs: float) -> list[Row]:
    """Rows of at most 10 s: the standard 3 × 4 plus a rhythm strip of lead II for 12 leads, else one row per lead."""
    shown = min(samples, round(SECONDS_SHOWN * fs))
    index = {name: i for i, name in enumerate(leads)}
    if not all(name in index for column in COLUMNS for name in column):
        return [Row(((i, 0, shown),), marks=i == 0) for i in range(len(leads))]
    edges = np.linspace(0, shown, len(COLUMNS) + 1).round().astype(int)
    rows = [
        Row(tuple((index[column[r]], int(edges[c]), int(edges[c + 1])) for c, column in enumerate(COLUMNS)))
        for r in range(len(COLUMNS[0]))
    ]
    return [*rows, Row(((index["II"], 0, shown),), marks=True)]


def draw_ecg(
    signal: NDArray[np.floating],
    fs: float,
    leads: Sequence[str],
    r_index: Sequence[int] | NDArray[np.integer] = (),
    *,
    unread: int = 0,
    title: str = "",
    subtitle: str = "",
    probabilities: Sequence[Bar] = (),
    footer: str = "",
) -> Figure:
    """Draw the first 10 s of a record on ECG paper with its detected beats.

    Args:
        signal: float [n, L], mV; NaN leaves a gap. Each lead is shown minus its median, as a recorder's high-pass
            filter would.
        fs: Hz.
        leads: L names.
        r_index: samples of the R peaks at `fs`; negative ones are padding.
        unread: how many of the last beats the classifier did not read; their marks are hollow.
        title: bold first line.
        subtitle: second line.
        probabilities: bars below the paper, in this order.
        footer: small last line.

    Raises:
        ValueError: the signal is not [n, L] with L = len(leads), or empty.
    """
    signal = np.asarray(signal, dtype=np.float64)
    if signal.ndim != 2 or signal.shape[1] != len(leads) or signal.shape[0] == 0:
        raise ValueError(f"signal must be [samples > 0, {len(leads)} leads], got {signal.shape=}")
    signal = signal.T  # [L, n]
    middle = np.array([np.median(lead[np.isfinite(lead)]) if np.isfinite(lead).any() else 0.0 for lead in signal])
    millimetres = GAIN * (signal - middle[:, None])
    rows = layout(leads, signal.shape[1], fs)
    tall = [_row_height(millimetres, row) for row in rows]
    width = max(NARROWEST, 2 * MARGIN + PULSE + max(row.pieces[-1][2] for row in rows) / fs * SPEED)
    paper, bars = sum(tall) + MARGIN, _bars_height(probabilities)
    height = HEADER + paper + bars + MARGIN
    figure = Figure(figsize=(width / 25.4, height / 25.4), dpi=160, facecolor="white")
    axes = figure.add_axes((0, (bars + MARGIN) / height, 1, paper / height))
    _draw_grid(axes, width, paper)
    top = paper - MARGIN / 2
    for row, row_height in zip(rows, tall, strict=True):
        _draw_row(axes, millimetres, row, top, row_height, fs, leads)
        if row.marks:
            peaks = np.asarray(r_index, dtype=int)
            peaks = peaks[peaks >= 0]
            read = len(peaks) - unread
            _mark_beats(axes, peaks[:read], row, top, paper, fs, BEAT)
            _mark_beats(axes, peaks[read:], row, top, paper, fs, PAPER)
        top -= row_height
    left, right = MARGIN / width, 1 - MARGIN / width
    figure.text(left, 1 - 5.5 / height, title, fontsize=12, fontweight="bold", va="center", color=INK)
    figure.text(left, 1 - 11.5 / height, subtitle, fontsize=8.5, va="center", color=QUIET)
    legend = "25 mm/s   10 mm/mV   ▼ detected beat" + ("   ▽ not read by the model" if unread else "")
    figure.text(right, 1 - 11.5 / height, legend, fontsize=8.5, va="center", ha="right", color=QUIET)
    figure.text(left, 3.0 / height, footer, fontsize=7.5, va="center", color=QUIET)
    if probabilities:
        _draw_bars(figure, probabilities, (width, height), bars)
    return figure


def _range(millimetres: Trace, row: Row) -> tuple[float, float]:
    values = np.concatenate([millimetres[lead, first:last] for lead, first, last in row.pieces])
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)


def _row_height(millimetres: Trace, row: Row) -> float:
    low, high = _range(millimetres, row)
    return float(np.clip(high - low + 8.0, LOWEST_ROW, TALLEST_ROW)) + (4.0 if row.marks else 0.0)


def _draw_grid(axes: Axes, width: float, height: float) -> None:
    axes.set(xlim=(0, width), ylim=(0, height), xticks=[], yticks=[], facecolor=PAPER)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for step, colour, thick in ((1.0, MINOR, 0.35), (5.0, MAJOR, 0.6)):
        across = [[(x, 0.0), (x, height)] for x in np.arange(0, width, step)]
        down = [[(0.0, y), (width, y)] for y in np.arange(0, height, step)]
        axes.add_collection(LineCollection(across + down, colors=colour, linewidths=thick, zorder=0))


def _draw_row(
    axes: Axes, millimetres: Trace, row: Row, top: float, row_height: float, fs: float, leads: Sequence[str]
) -> None:
    """Calibration pulse (1 mV, 0.2 s is 5 mm), traces and lead names of one row."""
    low, high = _range(millimetres, row)
    centre = top - row_height / 2 - (2.0 if row.marks else 0.0)
    baseline = centre - float(np.clip((low + high) / 2, -row_height / 3, row_height / 3))
    x = MARGIN / 2 + np.array([0.0, 1.0, 1.0, 6.0, 6.0, 7.0])
    axes.plot(x, centre - GAIN / 2 + np.array([0, 0, GAIN, GAIN, 0, 0]), color=INK, lw=0.9, zorder=3)
    for lead, first, last in row.pieces:
        start = MARGIN + PULSE + first / fs * SPEED
        x = MARGIN + PULSE + np.arange(first, last) / fs * SPEED
        axes.plot(x, baseline + millimetres[lead, first:last], color=INK, lw=0.9, solid_joinstyle="round", zorder=3)
        label = axes.text(
            start + 1.0, top - 2.0, leads[lead], fontsize=9, fontweight="bold", va="center", color=INK, zorder=5
        )
        label.set_bbox({"facecolor": PAPER, "edgecolor": "none", "pad": 0.8, "alpha": 0.8})
        if first > 0:
            axes.vlines(start, centre - 4, centre + 4, color=INK, lw=0.7, alpha=0.5, zorder=2)


def _mark_beats(axes: Axes, peaks: NDArray[np.intp], row: Row, top: float, paper: float, fs: float, fill: str) -> None:
    shown = peaks[peaks < row.pieces[-1][2]]
    x = MARGIN + PULSE + shown / fs * SPEED
    axes.vlines(x, 1.0, paper - 1.0, color=BEAT, lw=0.7, alpha=0.2, zorder=1)
    axes.plot(x, np.full(len(x), top - 2.0), ls="", marker="v", ms=4.5, mfc=fill, mec=BEAT, zorder=6)


def _bars_height(probabilities: Sequence[Bar]) -> float:
    columns = 1 if len(probabilities) <= 6 else 2
    return BAR * -(-len(probabilities) // columns) + MARGIN if probabilities else 0.0


def _draw_bars(figure: Figure, probabilities: Sequence[Bar], size: tuple[float, float], bars_height: float) -> None:
    """Probability bars in one column, or two where there are more than six, first the left one."""
    width, height = size
    columns = 1 if len(probabilities) <= 6 else 2
    rows = -(-len(probabilities) // columns)
    column_width = (width - 2 * MARGIN) / columns
    longest = max(len(bar.name) for bar in probabilities)
    name_width = min(0.68 * column_width, LETTER * longest + 3.0)
    full = column_width - name_width - 14.0
    axes = figure.add_axes((0, MARGIN / height, 1, bars_height / height))
    axes.set(xlim=(0, width), ylim=(0, bars_height))
    axes.axis("off")
    for k, bar in enumerate(probabilities):
        x = MARGIN + (k // rows) * column_width
        y = bars_height - MARGIN / 2 - BAR * (k % rows + 0.5)
        weight = "bold" if bar.present else "normal"
        axes.text(x, y, bar.name, fontsize=8.5, fontweight=weight, va="center", color=INK)
        axes.barh(y, full, left=x + name_width, height=BAR * 0.5, color="#eceef2")
        axes.barh(y, full * bar.value, left=x + name_width, height=BAR * 0.5, color=BEAT if bar.present else FAINT)
        percent = f"{bar.value:.0%}"
        axes.text(x + name_width + full + 1.5, y, percent, fontsize=8.5, fontweight=weight, va="center", color=INK)
