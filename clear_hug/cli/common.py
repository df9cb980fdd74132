"""What all commands share: consoles, errors as one line, progress bars."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from typer.core import TyperGroup

NOT_A_DEVICE = "Research software, not a medical device: no output may guide the care of a patient."
PLAIN_LINE_EVERY_S = 30.0
EXIT_ERROR, EXIT_INTERRUPTED = 2, 130

StoreOption = Annotated[
    Path, typer.Option("--store", help="Folder that `clear-hug prepare` wrote.", show_default=False)
]
DeviceOption = Annotated[str, typer.Option(help="auto (the GPU if there is one), cpu or cuda.")]
SeedOption = Annotated[int, typer.Option(help="Seed of everything random; the same seed gives the same run.", min=0)]


def output() -> Console:
    """Console for results (stdout)."""
    return Console(highlight=False)


def messages() -> Console:
    """Console for progress and errors (stderr)."""
    return Console(stderr=True, highlight=False)


def fail(message: str, code: int = EXIT_ERROR) -> typer.Exit:
    """Print one red line; returns the exit to raise."""
    label = "Stopped" if code == EXIT_INTERRUPTED else "Error"
    messages().print(f"[bold red]{label}:[/] {escape(message)}", soft_wrap=True)
    return typer.Exit(code)


class FriendlyGroup(TyperGroup):
    """Commands whose foreseen errors are one line without a traceback, unless `--debug` is given."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; `ValueError`, `OSError` and the errors of training become exit code 2, Ctrl-C 130."""
        if ctx.params.get("debug"):
            return super().invoke(ctx)
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # the reader of our output left; the caller ends quietly
        except (ValueError, OSError) as error:
            raise fail(_sentence(error)) from None
        except KeyboardInterrupt:
            raise fail("interrupted", EXIT_INTERRUPTED) from None
        except RuntimeError as error:
            known = _foreseen(error)
            if known is None:
                raise
            raise fail(*known) from None


def _foreseen(error: RuntimeError) -> tuple[str, int] | None:
    """Message and exit code of the runtime errors that users meet; before PyTorch is loaded none can have come."""
    if "clear_hug.training.pretrain" in sys.modules:
        from clear_hug.training.interrupt import InterruptedTrainingError
        from clear_hug.training.pretrain import TrainingError

        if isinstance(error, InterruptedTrainingError):
            return str(error), EXIT_INTERRUPTED
        if isinstance(error, TrainingError):
            return str(error), EXIT_ERROR
    if type(error).__name__ == "OutOfMemoryError":
        return "the GPU has too little memory for this; lower --batch-size", EXIT_ERROR
    return None


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror or type(error).__name__}: {error.filename}"
    return str(error) or type(error).__name__


class _Told(Progress):
    """Progress that a line tells now and then, where stderr is no terminal and a bar would be no bar."""

    told_at: float
    begun: dict[TaskID, int]

    def start(self) -> None:
        """Begin to count the time."""
        self.told_at, self.begun = self.get_time(), {}
        super().start()

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """Update a task, and print how far it is if that is due."""
        super().update(task_id, **changes)
        task = self._tasks[task_id]
        begun = self.begun.setdefault(task_id, int(task.completed))
        if not self.disable or self.get_time() - self.told_at < PLAIN_LINE_EVERY_S:
            return
        self.told_at = self.get_time()
        done, elapsed = task.completed - begun, task.elapsed or 0.0
        of = "" if task.total is None else f" of {task.total:,.0f}"
        note = f", {' '.join(task.fields['note'].split())}" if task.fields.get("note") else ""
        left = (
            timedelta(seconds=round(elapsed / done * task.remaining)) if done and task.remaining is not None else None
        )
        said = f"{task.description}: {task.completed:,.0f}{of}{note}" + (f", {left} left" if left is not None else "")
        self.console.print(said, soft_wrap=True, markup=False)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress bar on stderr; where that is no terminal, a line every `PLAIN_LINE_EVERY_S`."""
    console = messages()
    with _Told(
        TextColumn("{task.description}"),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        yield progress


def count(number: int, noun: str) -> str:
    """`1 record`, `2 records`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
