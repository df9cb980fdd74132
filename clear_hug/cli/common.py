"""What all commands share: consoles, errors as one line, progress bars."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from typer.core import TyperGroup

NOT_A_DEVICE = "Research software, not a medical device: no output may guide the care of a patient."
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


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress bar on stderr; silent where stderr is no terminal."""
    console = messages()
    with Progress(
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
