"""File formats, one small reader each; `read_ecg` finds the one for a file."""

from clear_hug.data.formats.dispatch import ECG_SUFFIXES, holds_ecg, read_ecg
from clear_hug.data.formats.facts import SignalFacts

__all__ = ["ECG_SUFFIXES", "SignalFacts", "holds_ecg", "read_ecg"]
