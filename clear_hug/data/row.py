"""One recording → one row of a store: its beats, or the reason why it has none."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.lead_select import select_leads
from clear_hug.data.record import Record, RecordError
from clear_hug.data.settings import PrepareSettings
from clear_hug.data.signal_rows import StoredSignal, quantise
from clear_hug.data.tokenizers import tokenizer_named

__all__ = ["PreparedRow", "prepare_file", "prepare_record"]

RecordReader = Callable[[Path], Record]
"""Reads one recording from a path; raises `RecordError` when it cannot."""


class PreparedRow(NamedTuple):
    """What a store keeps of a recording: L leads, T beat slots, S samples per token.

    Attributes:
        tokens: float32 [L, T, S], mV, R peak at S//2; zeros wherever `valid` is False.
        valid: bool [L, T].
        seconds: int32 [T], 1 + the second of the R peak, 0 in empty slots.
        r_index: int32 [T], R peaks in samples at the tokens' rate, -1 in empty slots.
        flag: "" or why the recording is not used; its first words, up to a colon, name the kind of reason.
        notes: remarks that do not prevent use.
        beats_found: beats in the recording, kept or not.
        fs: the recording's own rate, Hz, 0 where unknown.
        duration: its length, s, 0 where unknown.
        signal: what the tokens were cut from, int16 [n, L] at their rate up to the end of the last kept beat; None
            where it was not asked for.
    """

    tokens: NDArray[np.float32]
    valid: NDArray[np.bool_]
    seconds: NDArray[np.int32]
    r_index: NDArray[np.int32]
    flag: str = ""
    notes: tuple[str, ...] = ()
    beats_found: int = 0
    fs: float = 0.0
    duration: float = 0.0
    signal: StoredSignal | None = None


def prepare_record(record: Record, settings: PrepareSettings, keep_signal: bool = False) -> PreparedRow:
    """Select leads, check their quality, find the beats, cut the tokens.

    Args:
        record: any recording.
        settings: sizes, leads, tokenizer, thresholds.
        keep_signal: keep what the tokens were cut from as well.

    Returns:
        The row; flagged when the recording is too short, none of the leads is usable, or no beat is found.
    """
    flagged = partial(flagged_row, settings, fs=record.fs, duration=record.duration, keep_signal=keep_signal)
    if record.duration < settings.quality.shortest_s:
        reason = f"too short: {record.duration:.3g} s, at least {settings.quality.shortest_s:g} s are needed"
        return flagged(reason, record.notes)
    signal, lead_notes = select_leads(record, settings.leads)
    if not np.isfinite(signal[0, 0]) and not np.isfinite(signal).any():
        return flagged("no usable lead: " + "; ".join(lead_notes), record.notes)
    try:
        grid, notes = tokenizer_named(settings.tokenizer).cut(signal, record.fs, settings)
    except ValueError as error:
        return flagged(f"cannot be cut: {error}", record.notes + lead_notes)
    notes = record.notes + lead_notes + notes
    if not grid.beats_found:
        return flagged(": ".join(filter(None, ("no beats found", "; ".join(notes)))), notes)
    if not grid.valid.any():
        return flagged("no usable lead: flat wherever there are beats", notes)
    if grid.beats_found > settings.slots:
        notes += (f"{grid.beats_found} beats, first {settings.slots} kept",)
    kept = None
    if keep_signal and grid.signal is not None:
        used = grid.valid.any(axis=1)  # [L]
        kept = quantise(grid.signal if used.all() else grid.signal * used)
    return PreparedRow(
        *grid[:4], notes=notes, beats_found=grid.beats_found, fs=record.fs, duration=record.duration, signal=kept
    )


def prepare_file(path: Path, settings: PrepareSettings, read: RecordReader, keep_signal: bool = False) -> PreparedRow:
    """Read and prepare one file; whatever is wrong with it becomes the row's flag, so that no row is ever lost.

    Args:
        path: the recording.
        settings: see `prepare_record`.
        read: the reader of its format.
        keep_signal: see `prepare_record`.
    """
    try:
        return prepare_record(read(path), settings, keep_signal)
    except RecordError as error:
        return flagged_row(settings, f"unreadable: {error}", keep_signal=keep_signal)
    except Exception as error:  # one bad file among a million must not stop the others
        return flagged_row(settings, f"internal error: {type(error).__name__}: {error}", keep_signal=keep_signal)


def flagged_row(
    settings: PrepareSettings,
    reason: str,
    notes: tuple[str, ...] = (),
    fs: float = 0.0,
    duration: float = 0.0,
    keep_signal: bool = False,
) -> PreparedRow:
    """A row without a single beat, and the reason."""
    leads, beats = len(settings.leads), settings.slots
    return PreparedRow(
        tokens=np.zeros((leads, beats, settings.samples), dtype=np.float32),
        valid=np.zeros((leads, beats), dtype=bool),
        seconds=np.zeros(beats, dtype=np.int32),
        r_index=np.full(beats, -1, dtype=np.int32),
        flag=" ".join(reason.split()),
        notes=notes,
        fs=fs,
        duration=duration,
        signal=quantise(np.zeros((0, leads))) if keep_signal else None,
    )
