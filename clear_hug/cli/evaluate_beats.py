"""`clear-hug evaluate-beats`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clear_hug.cli.common import output, progress_bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clear_hug.data.beat_evaluation import RecordScore, Summary


def evaluate_beats(
    root: Annotated[Path, typer.Argument(help="Folder of annotated WFDB records.", show_default=False)],
    annotation: Annotated[
        str | None, typer.Option(help="Extension of the annotation files; atr, or ii for LUDB.", show_default=False)
    ] = None,
    leads: Annotated[
        str | None, typer.Option(help='Only these leads, as "I II V5"; all without it.', show_default=False)
    ] = None,
    tolerance: Annotated[float, typer.Option(help="How far from a mark a beat may be, ms.", min=1, max=500)] = 75.0,
    worst: Annotated[int, typer.Option(help="List so many records where clear-hug errs most.", min=0)] = 5,
    csv: Annotated[Path | None, typer.Option(help="Write every record's counts here.", show_default=False)] = None,
) -> None:
    """Compare beat detectors with the marks of an annotated WFDB set.

    Ours looks at all leads, the others (where installed) at lead II or the first. Beats are matched one to one, between
    the first and the last mark of a record; the interval is a bootstrap over records.

    ```
    clear-hug evaluate-beats path/to/mitdb
    clear-hug evaluate-beats path/to/ludb --annotation ii
    ```
    """
    from clear_hug.data.beat_detectors import available_detectors
    from clear_hug.data.beat_evaluation import annotated_records, evaluate, summarise

    chosen = None if leads is None else leads.replace(",", " ").split()
    records = annotated_records(root, annotation=annotation, leads=chosen)
    detectors, absent = available_detectors()
    with progress_bar() as bar:
        task = bar.add_task("records", total=None, note="")
        scores = evaluate(
            records,
            detectors,
            tolerance_s=tolerance / 1000,
            progress=lambda name: bar.update(task, advance=1, note=name),
        )
    if not scores:
        raise ValueError(f"no record below {root} has a beat among its marks; name the extension with --annotation")
    if csv is not None:
        _write(csv, scores)
    _print_table(summarise(scores), absent)
    _print_worst(scores, detectors[0].name, worst)


def _print_table(summaries: Sequence[Summary], absent: dict[str, str]) -> None:
    from rich.table import Table

    first = summaries[0]
    table = Table(title=f"{first.records:,} records, {first.beats:,} beats marked", title_justify="left")
    table.add_column("detector")
    for heading in ("Se", "PPV", "F1", "95 % interval", "offset ms", "ms/record"):
        table.add_column(heading, justify="right")
    for row in summaries:
        shares = (f"{row.sensitivity:.4f}", f"{row.precision:.4f}", f"{row.f1:.4f}")
        interval = f"{row.f1_low:.4f}-{row.f1_high:.4f}"
        table.add_row(row.detector, *shares, interval, f"{row.offset_ms:.1f}", f"{row.ms_per_record:.1f}")
    console = output()
    console.print(table, markup=False)
    for name, reason in absent.items():
        console.print(f"{name}: {reason}", soft_wrap=True, markup=False)


def _print_worst(scores: Sequence[RecordScore], detector: str, count: int) -> None:
    own = [score for score in scores if score.detector == detector and score.missed + score.wrong]
    own.sort(key=lambda score: score.f1)
    for score in own[:count]:
        output().print(
            f"record {score.record}: {detector} missed {score.missed:,}, wrong {score.wrong:,}, F1 {score.f1:.4f}",
            soft_wrap=True,
            markup=False,
        )


def _write(path: Path, scores: Sequence[RecordScore]) -> None:
    from clear_hug.files import write_text

    lines = ["record,detector,found,missed,wrong,f1,offset_ms,seconds"]
    for score in scores:
        offset = 1000 * score.offset_sum_s / score.found if score.found else float("nan")
        counts = f"{score.found},{score.missed},{score.wrong}"
        lines.append(f"{score.record},{score.detector},{counts},{score.f1:.6f},{offset:.3f},{score.seconds:.6f}")
    write_text(path, "\n".join(lines) + "\n")
