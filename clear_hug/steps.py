"""Steps of a longer run that are not done twice: each is known by its settings and by the steps before it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clear_hug.files import read_json, settings_hash, write_json

FOLDER = "steps"


@dataclass(frozen=True)
class Step:
    """A finished step: how long it took, earlier interrupted tries included, and whether it was done just now."""

    name: str
    key: str
    seconds: float
    fresh: bool


class StepRunner:
    """Runs steps in a folder; a record of each lies in `steps/NAME.json`.

    A finished step with the same settings is kept. One that was interrupted is called again with its files in place, so
    that it can go on; with other settings its files are removed first.

    Args:
        folder: everything lies in it.
        on_step: called with each step when it is done or found done.

    Raises:
        ValueError: the folder holds something that no run of steps made.
    """

    def __init__(self, folder: str | Path, on_step: Callable[[Step], None] | None = None) -> None:
        self.folder = Path(folder)
        self.on_step = on_step
        self.done: list[Step] = []
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"{self.folder} is a file; choose a folder with --out")
        if self.folder.is_dir() and any(self.folder.iterdir()) and not (self.folder / FOLDER).is_dir():
            raise ValueError(
                f"{self.folder} is not empty and not from an earlier run; choose another folder with --out"
            )

    def run(
        self,
        name: str,
        settings: dict[str, Any],
        outputs: Sequence[str],
        action: Callable[[], None],
        after: Sequence[Step] = (),
        leftovers: Sequence[str] = (),
    ) -> Step:
        """Do a step unless it is done.

        Args:
            name: of the step, unique in the folder.
            settings: JSON-ready; all that the result depends on besides `after`.
            outputs: files and folders it makes, relative to the folder.
            action: does it.
            after: the steps it builds on.
            leftovers: what it leaves behind when interrupted, relative to the folder.
        """
        record = self.folder / FOLDER / f"{name}.json"
        key = settings_hash([settings, [step.key for step in after]])
        known = read_json(record) if record.is_file() else {}
        there = all((self.folder / output).exists() for output in outputs)
        if known.get("key") == key and known.get("finished") and there:
            return self._note(Step(name, key, float(known["seconds"]), fresh=False))
        if known.get("key") != key:
            for output in (*outputs, *leftovers):
                _remove(self.folder / output)
        spent = float(known.get("seconds", 0.0)) if known.get("key") == key and not known.get("finished") else 0.0
        about = {"key": key, "settings": settings}
        write_json(record, {**about, "finished": False, "seconds": spent})
        started = time.perf_counter()
        try:
            action()
        except BaseException:
            write_json(record, {**about, "finished": False, "seconds": spent + time.perf_counter() - started})
            raise
        seconds = round(spent + time.perf_counter() - started, 2)
        write_json(record, {**about, "finished": True, "seconds": seconds})
        return self._note(Step(name, key, seconds, fresh=True))

    def _note(self, step: Step) -> Step:
        self.done.append(step)
        if self.on_step is not None:
            self.on_step(step)
        return step


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
