"""What all `clear-hug prepare` commands share: options, the run with its progress bar, and the summary."""

from __future__ import annotations

import errno
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from clear_hug.cli.common import count, messages, output, progress_bar

if TYPE_CHECKING:
    from clear_hug.data.prepare import PrepareResult
    from clear_hug.data.source import Source

OutOption = Annotated[Path, typer.Option(help="Folder of the store to make.", show_default=False)]
FsOption = Annotated[float | None, typer.Option(help="Rate of the tokens in Hz.  [default: 100]")]
BeatsOption = Annotated[
    int | None,
    typer.Option(help="Beats kept per recording, from its start.  [default: 30: all of 10 s at 180 bpm; official: 15]"),
]
SamplesOption = Annotated[
    int | None,
    typer.Option(
        help="Samples per token, R peak in the middle.  [default: 1.5 s, 150 at 100 Hz: a whole beat at 40 bpm; "
        "official: 96]"
    ),
]
LeadsOption = Annotated[
    str | None, typer.Option(help="Leads to keep, by name, separated by commas.  [default: the 12 standard ones]")
]
TokenizerOption = Annotated[
    str, typer.Option(help="beats, or official (the published one: for released weights, misses beats at 100 Hz).")
]
StoreModeOption = Annotated[
    str,
    typer.Option(
        help="What to keep: tokens (ready-made), or signals (int16; small, the tokens are cut when they are read)."
    ),
]
WorkersOption = Annotated[int, typer.Option(help="Processes; -1 for one per core.")]
SchedulerOption = Annotated[
    str | None,
    typer.Option(
        help="Address of a Dask scheduler, as tcp://host:8786: its workers do the work. They must see --root and --out "
        "under the same paths. Needs the extra [dask]."
    ),
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Make the store anew, whatever store is in --out.")]


def data_set_command(make_source: Callable[..., Source]) -> Callable[..., None]:
    """A command from a function that makes a data set of its own options; the shared options are added to them.

    The function's first option, `root`, comes first, then the shared `--out`, then its others, then the other shared.
    """

    @wraps(make_source)
    def command(**given: Any) -> None:
        own = {name: given.pop(name) for name in inspect.signature(make_source).parameters}
        how = {name: given.pop(name) for name in ("out", "store", "workers", "scheduler", "overwrite")}
        _run(make_source(**own), settings=_settings(**given), **how)

    root, *others = _parameters(make_source)
    out, *shared = _parameters(_shared)
    parameters = [root, out, *others, *shared]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _shared(
    out: OutOption,
    fs: FsOption = None,
    beats: BeatsOption = None,
    beat_samples: SamplesOption = None,
    leads: LeadsOption = None,
    tokenizer: TokenizerOption = "beats",
    store: StoreModeOption = "tokens",
    workers: WorkersOption = 1,
    scheduler: SchedulerOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """The options of every data set, for their names, types and defaults."""


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(function, include_extras=True)
    return [
        parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(function).parameters.items()
    ]


def _settings(fs: float | None, beats: int | None, beat_samples: int | None, leads: str | None, tokenizer: str) -> Any:
    from clear_hug.data.settings import PrepareSettings
    from clear_hug.leads import STANDARD_LEADS

    names = STANDARD_LEADS if leads is None else tuple(name.strip() for name in leads.split(","))
    return PrepareSettings(tokenizer=tokenizer, fs=fs, beats=beats, beat_samples=beat_samples, leads=names)


def _run(
    source: Source, out: Path, settings: Any, store: str, workers: int, scheduler: str | None, overwrite: bool
) -> None:
    from clear_hug.data.prepare import prepare

    if workers == 0 or workers < -1:
        raise ValueError(f"--workers {workers} must be 1 or more, or -1 for one process per core")
    with _cluster(scheduler) as threads, progress_bar() as bar:
        if threads:
            workers, out = threads, out.absolute()  # the workers run in other folders
            source = replace(source, root=source.root.absolute())
        task = bar.add_task("preparing", total=len(source.names), note="")
        first: list[int] = []

        def on_chunk(done: int, flagged: int) -> None:
            first.append(done)
            elapsed = bar.tasks[task].elapsed or 0.0
            rate = (done - first[0]) / elapsed if elapsed > 0 else 0.0
            bar.update(task, completed=done, note=f"{rate:.0f}/s  {flagged} flagged")

        try:
            result = prepare(
                source, out, settings, store=store, workers=workers, overwrite=overwrite, on_chunk=on_chunk
            )
        except OSError as error:  # of writing: a recording that cannot be read is a flagged row
            reason = error.strerror or type(error).__name__
            full = errno.errorcode.get(error.errno or 0) in ("ENOSPC", "EDQUOT", "EFBIG")
            remedy = "make room or name another --out" if full else "name another --out"
            raise ValueError(
                f"{out}.partial cannot be written ({reason}); {remedy}; the same command then goes on where it was"
            ) from error
    if result.already_complete:
        said = f"{out} is complete already, with these settings; --overwrite makes it anew."
        messages().print(said, soft_wrap=True, markup=False)
    _summarise(result)


@contextmanager
def _cluster(address: str | None) -> Iterator[int]:
    """Yields the tasks at a time of a cluster; 0 without one."""
    if address is None:
        yield 0
        return
    from clear_hug.data.scheduler import on_scheduler

    with on_scheduler(address) as threads:
        yield threads


def _summarise(result: PrepareResult) -> None:
    manifest = result.store.manifest
    counts = manifest["counts"]
    lines = [f"Store {result.store.path}: {count(counts['records'], 'record')}, {count(counts['beats'], 'beat')}"]
    if not result.already_complete:
        rate = result.made / result.elapsed if result.elapsed > 0 else 0.0
        lines.append(
            f"  prepared now: {count(result.made, 'record')} in {result.elapsed:.1f} s ({rate:.0f} per second)"
        )
    lines.append(f"  flagged: {counts['flagged']:,}")
    lines += [f"    {number:,} {reason}" for reason, number in manifest["flags"].items()]
    lines.append(f"  with notes: {counts['noted']:,} (records.csv has them)")
    lost = counts["beats_found"] - counts["beats"]
    if lost:
        remedy = "" if manifest["tokenizer"] == "official" else "; raise --beats"
        lines.append(f"  not kept: {count(lost, 'beat')} beyond the first {manifest['beats']} of a record{remedy}")
    splits = {"train": 0, "val": 1, "test": 2, "none": -1}
    lines.append("  split: " + ", ".join(f"{(result.store.split == n).sum():,} {name}" for name, n in splits.items()))
    for name, task in manifest["tasks"].items():
        classes = " ".join(f"{label} {n}" for label, n in zip(task["classes"], task["positives"], strict=True))
        lines.append(f"  task {name}: {count(task['labelled'], 'record')}; {classes}")
    output().print("\n".join(lines), soft_wrap=True, markup=False)
