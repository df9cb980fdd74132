"""Figures of a run: loss curve, reconstruction of masked beats, AUROC with intervals. (`ecg_paper` draws whole
records.)

Figures are made without pyplot, so that importing or calling this module changes no global state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from clear_hug.files import replacing

INK, QUIET, TRAIN, VALIDATION, GUESS, HIDDEN = "#15171c", "#5a6070", "#8fb1e8", "#1d5fd1", "#d9480f", "#eef1f6"
PALETTE = {"pre-trained": "#1d5fd1", "untrained": "#9aa3b2"}


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write the figure as PNG (or by the suffix of `path`), atomically."""
    with replacing(path) as temporary:
        figure.savefig(temporary)
    return Path(path)


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#b8bec9")
    axes.tick_params(colors=QUIET, labelsize=9)
    axes.grid(axis="y", color="#e6e9ee", lw=0.8)
    axes.set_axisbelow(True)


def loss_curve(train: Sequence[float], validation: Sequence[float], *, title: str) -> Figure:
    """Masked reconstruction loss per epoch; 1.0 is what predicting each beat's mean would give, since targets are
    z-scored.

    Args:
        train: one value per epoch.
        validation: as many, or none.
        title: first line.
    """
    epochs = np.arange(1, len(train) + 1)
    figure = Figure(figsize=(7.2, 4.2), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    _tidy(axes)
    marker = "o" if len(train) <= 60 else None
    axes.plot(epochs, train, color=TRAIN, marker=marker, ms=3, lw=1.6, label="training (new masks each step)")
    if len(validation):
        axes.plot(epochs, validation, color=VALIDATION, marker=marker, ms=3, lw=1.8, label="validation (fixed masks)")
    axes.axhline(1.0, color=QUIET, lw=1, ls=(0, (4, 3)))
    axes.text(epochs[-1], 1.0, "a flat line through each beat", fontsize=8, color=QUIET, va="bottom", ha="right")
    axes.set_xlabel("epoch", color=INK)
    axes.set_ylabel("mean squared error of masked beats\n(each beat z-scored)", color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)
    axes.legend(frameon=False, fontsize=8.5, loc="best")
    return figure


def reconstruction(
    tokens: NDArray[np.floating],
    predicted: NDArray[np.floating],
    masked: NDArray[np.bool_],
    valid: NDArray[np.bool_],
    leads: Sequence[str],
    *,
    title: str,
    beats: int = 6,
) -> Figure:
    """Beats of one record, lead by lead: shown ones in black, masked ones in grey with what the decoder drew in colour.

    Args:
        tokens: [L, T, S] mV.
        predicted: [L, T, S] mV, read where `masked`.
        masked: bool [L, T], hidden from the encoder.
        valid: bool [L, T].
        leads: L names.
        title: first line.
        beats: how many beats to draw, from the first.
    """
    samples = tokens.shape[-1]
    drawn = min(beats, tokens.shape[1])
    rows = max(1, math.ceil(len(leads) / 2))
    figure = Figure(figsize=(11.0, 0.85 * rows + 1.0), dpi=150, layout="constrained")
    panels = figure.subplots(rows, 2 if len(leads) > 1 else 1, sharex=True, squeeze=False)
    for k, panel in enumerate(panels.T.ravel()):
        panel.axis("off")
        if k >= len(leads):
            continue
        for j in range(drawn):
            if not valid[k, j]:
                continue
            x = np.arange(samples) + j * samples * 1.06
            if masked[k, j]:
                panel.axvspan(x[0], x[-1], color=HIDDEN, lw=0, zorder=0)
                panel.plot(x, tokens[k, j], color="#9aa3b2", lw=1.0)
                panel.plot(x, predicted[k, j], color=GUESS, lw=1.3)
            else:
                panel.plot(x, tokens[k, j], color=INK, lw=1.2)
        panel.set_xlim(-0.08 * samples * drawn, drawn * samples * 1.06)
        panel.text(
            0.0, 0.5, leads[k], transform=panel.transAxes, fontsize=10, fontweight="bold", va="center", color=INK
        )
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK)
    for colour, text in (
        (INK, "shown to the encoder"),
        ("#9aa3b2", "masked: the truth"),
        (GUESS, "masked: reconstructed"),
    ):
        panels[0, 0].plot([], [], color=colour, lw=1.6, label=text)
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(), loc="outside lower left", ncols=3, frameon=False, fontsize=9
    )
    return figure


def auroc_bars(rows: Sequence[tuple[str, float, float, float, str]], *, title: str, note: str = "") -> Figure:
    """Test macro AUROC per model with its interval.

    Args:
        rows: (name, value, low, high, `pre-trained` or `untrained`), drawn from the top.
        title: first line.
        note: goes on after it, e.g. how many test records there were.
    """
    figure = Figure(figsize=(9.0, 0.5 * len(rows) + 1.4), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    _tidy(axes)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color="#e6e9ee", lw=0.8)
    y = np.arange(len(rows))[::-1]
    for at, (_, value, low, high, kind) in zip(y, rows, strict=True):
        colour = PALETTE[kind]
        axes.plot([low, high], [at, at], color=colour, lw=6, alpha=0.35, solid_capstyle="round")
        axes.plot(value, at, "o", color=colour, ms=8)
        axes.text(value, at + 0.2, f"{value:.3f}", ha="center", va="bottom", fontsize=9, color=INK)
    axes.set_yticks(y, [row[0] for row in rows], fontsize=9.5, color=INK)
    axes.set_ylim(-0.6, len(rows) - 0.25)
    lowest = min(0.5, *(row[2] for row in rows))
    axes.set_xlim(math.floor(lowest * 20) / 20 - 0.01, 1.005)
    axes.axvline(0.5, color=QUIET, lw=1, ls=(0, (4, 3)))
    axes.set_xlabel("macro AUROC, 95 % bootstrap interval (0.5 = chance)", color=INK, fontsize=9.5)
    figure.suptitle(f"{title}: {note}", x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK)
    return figure
