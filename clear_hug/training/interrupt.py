"""Ctrl-C that lets a step finish, so that what is saved can be continued."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


class InterruptedTrainingError(RuntimeError):
    """Training was stopped on request; its state is saved and can be continued."""


@dataclass
class StopRequest:
    """Set once a stop was asked for."""

    requested: bool = False


@contextmanager
def stop_on_sigint() -> Iterator[StopRequest]:
    """Turn the first SIGINT (Ctrl-C) into a request; the second one interrupts at once, as always.

    Outside the main thread, where Python allows no handlers, nothing changes.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = signal.getsignal(signal.SIGINT)

    def note(signum: int, frame: FrameType | None) -> None:
        request.requested = True
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield request
    finally:
        signal.signal(signal.SIGINT, before)
