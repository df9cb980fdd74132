"""`clear-hug prepare`: from recordings to a store of heartbeats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clear_hug.cli.common import count, messages, output, progress_bar

if TYPE_CHECKING:
    from clear_hug.data.prepare import PrepareResult
    from clear_hug.data.source import Source

prepare_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Cut heartbeats from ECG recordings: read, find the beats, cut one token per beat and lead, keep the labels.

    Every recording keeps its row; one that cannot be used is flagged with the reason. Interrupted (or killed), the same
    command goes on where it was.
    """,
)

OutOption = Annotated[Path, typer.Option(help="Folder of the store to make.", show_default=False)]
FsOption = Annotated[float | None, typer.Option(help="Rate of the tokens in Hz.  [default: 100]")]
BeatsOption = Annotated[
    int | None,
    typer.Option(help="Beats kept per recording, from its start.  [default: 30: all of 10 s at 180 bpm; official: 15]"),
]
SamplesOption = Annotated[
    int | None,
    typer.Option(help="Samples per token, R peak in the middle.  [default: 150: a whole beat at 40 bpm; official: 96]"),
]
LeadsOption = Annotated[
    str | None, typer.Option(help="Leads to keep, by name, separated by commas.  [default: the 12 standard ones]")
]
TokenizerOption = Annotated[
    str, typer.Option(help="beats, or official (the published one: for released weights, misses beats at 100 Hz).")
]
WorkersOption = Annotated[int, typer.Option(help="Processes; -1 for one per core.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Make the store anew, whatever store is in --out.")]


@prepare_app.command()
def ptbxl(
    root: Annotated[Path, typer.Option(help="Folder of PTB-XL, with ptbxl_database.csv.", show_default=False)],
    out: OutOption,
    rate: Annotated[int, typer.Option(help="Which copy of the recordings: 100 or 500 Hz.")] = 100,
    fs: FsOption = None,
    beats: BeatsOption = None,
    beat_samples: SamplesOption = None,
    leads: LeadsOption = None,
    tokenizer: TokenizerOption = "beats",
    workers: WorkersOption = 1,
    overwrite: OverwriteOption = False,
) -> None:
    """PTB-XL as distributed (physionet.org/content/ptb-xl), with its tasks super, sub, form, rhythm, all, diagnostic.

    Folds 1 to 8 are for training, 9 for validation, 10 for testing.

        clear-hug prepare ptbxl --root path/to/ptb-xl/1.0.3 --out beats --workers 4
    """
    from clear_hug.data.ptbxl import ptbxl_source

    _run(ptbxl_source(root, rate), out, _settings(fs, beats, beat_samples, leads, tokenizer), workers, overwrite)


@prepare_app.command()
def wfdb(
    root: Annotated[Path, typer.Option(help="Folder with .hea files, in subfolders too.", show_default=False)],
    out: OutOption,
    labels: Annotated[
        Path | None,
        typer.Option(help="CSV: record, optionally split (train, val, test), then a column of 0 and 1 per class."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the 70/15/15 split where the CSV has none.", min=0)] = 0,
    fs: FsOption = None,
    beats: BeatsOption = None,
    beat_samples: SamplesOption = None,
    leads: LeadsOption = None,
    tokenizer: TokenizerOption = "beats",
    workers: WorkersOption = 1,
    overwrite: OverwriteOption = False,
) -> None:
    """Any folder of WFDB records, with a table of labels (task "labels") or without (enough for pre-training).

    Leads are found by name, in any order; any sampling rate, any voltage unit. Missing limb leads are derived.

        clear-hug prepare wfdb --root my-ecgs --labels my-ecgs/labels.csv --out beats
    """
    from clear_hug.data.wfdb_folder import wfdb_source

    source = wfdb_source(root, labels, seed)
    _run(source, out, _settings(fs, beats, beat_samples, leads, tokenizer), workers, overwrite)


def _settings(fs: float | None, beats: int | None, beat_samples: int | None, leads: str | None, tokenizer: str) -> Any:
    from clear_hug.data.settings import PrepareSettings
    from clear_hug.leads import STANDARD_LEADS

    names = STANDARD_LEADS if leads is None else tuple(name.strip() for name in leads.split(","))
    return PrepareSettings(tokenizer=tokenizer, fs=fs, beats=beats, beat_samples=beat_samples, leads=names)


def _run(source: Source, out: Path, settings: Any, workers: int, overwrite: bool) -> None:
    from clear_hug.data.prepare import prepare

    if workers == 0 or workers < -1:
        raise ValueError(f"--workers {workers} must be 1 or more, or -1 for one process per core")
    with progress_bar() as bar:
        task = bar.add_task("preparing", total=len(source.names), note="")
        first: list[int] = []

        def on_chunk(done: int, flagged: int) -> None:
            first.append(done)
            elapsed = bar.tasks[task].elapsed or 0.0
            rate = (done - first[0]) / elapsed if elapsed > 0 else 0.0
            bar.update(task, completed=done, note=f"{rate:.0f}/s  {flagged} flagged")

        result = prepare(source, out, settings, workers=workers, overwrite=overwrite, on_chunk=on_chunk)
    if result.already_complete:
        said = f"{out} is complete already, with these settings; --overwrite makes it anew."
        messages().print(said, soft_wrap=True, markup=False)
    _summarise(result)


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
        lines.append(
            f"  not kept: {count(lost, 'beat')} beyond the first {manifest['beats']} of a record; raise --beats"
        )
    splits = {"train": 0, "val": 1, "test": 2, "none": -1}
    lines.append("  split: " + ", ".join(f"{(result.store.split == n).sum():,} {name}" for name, n in splits.items()))
    for name, task in manifest["tasks"].items():
        classes = " ".join(f"{label} {n}" for label, n in zip(task["classes"], task["positives"], strict=True))
        lines.append(f"  task {name}: {count(task['labelled'], 'record')}; {classes}")
    output().print("\n".join(lines), soft_wrap=True, markup=False)
