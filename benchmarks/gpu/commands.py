"""Runs a command with a time limit, its output shown and kept."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """How a stage ended: ``passed``, ``failed`` or ``skipped``, and the last words of its output or the reason."""

    status: str
    detail: str = ""


@dataclass(frozen=True)
class Shell:
    """Where commands run: the folder, which Python also imports from, the file that keeps their output, the seconds
    each may take, whether the output is shown as well, and how many stages share the machine.
    """

    folder: Path
    log: Path
    limit: float
    shown: bool = True
    stages: int = 1

    def run(self, *command: str, **environment: str) -> Outcome:
        """Run a command; its exit status decides. Past the limit it is killed with all that it started."""
        line = " ".join((*(f"{name}={value}" for name, value in environment.items()), *command))
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a") as log:
            self._show(f"$ {line}\n")
            print(f"$ {line}", file=log, flush=True)
            try:
                process = subprocess.Popen(
                    command,
                    cwd=self.folder,
                    env=os.environ | {"PYTHONPATH": str(self.folder)} | environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                    start_new_session=True,
                )
            except OSError as error:
                return Outcome("failed", str(error))
            late = threading.Event()

            def end() -> None:
                late.set()
                os.killpg(process.pid, signal.SIGKILL)

            timer = threading.Timer(self.limit, end)
            timer.start()
            last: deque[str] = deque(maxlen=3)
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    self._show(line)
                    log.write(line)
                    log.flush()
                    last.extend([line.strip()] if line.strip() else [])
                status = process.wait()
            finally:
                timer.cancel()
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        words = " / ".join(last)[-300:]
        if late.is_set():
            return Outcome("failed", f"longer than {self.limit:.0f} s; last: {words}")
        return Outcome("passed", words) if status == 0 else Outcome("failed", f"exit status {status}: {words}")

    def _show(self, line: str) -> None:
        if self.shown:
            print(line, end="", flush=True)
