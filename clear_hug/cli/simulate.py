"""`clear-hug simulate`."""

from __future__ import annotations

from collections import Counter
from csv import DictReader
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from clear_hug.cli.common import SeedOption, count, output, progress_bar


def simulate(
    out: Annotated[Path, typer.Option(help="Folder to make, or to go on with.", show_default=False)],
    records: Annotated[int, typer.Option(help="How many records, each of its own patient.", min=1)] = 400,
    seed: SeedOption = 0,
    fs: Annotated[int, typer.Option(help="Sampling rate, Hz.", min=50)] = 500,
    seconds: Annotated[float, typer.Option(help="Length of each record, s.", min=5.0)] = 10.0,
) -> None:
    """Make simulated 12-lead ECGs with labels: nothing to download, good for a first try and for tests.

    Each record is a moving heart dipole seen by twelve leads, with the noise of a resting ECG. Of eleven labels one or
    more hold: sinus rhythm, tachycardia, bradycardia, atrial fibrillation, left and right bundle branch block,
    first-degree AV block, left ventricular hypertrophy, anterior and inferior infarction, premature ventricular beats.
    None is a recording, and a result on them says nothing about patients.

    ```
    clear-hug simulate --out sim --records 400
    clear-hug prepare wfdb --root sim --labels sim/labels.csv --out beats
    ```

    Writes WFDB records (`.hea`, `.dat`, true R peaks in `.atr`), `labels.csv` and `simulator.json` into --out. A run
    that was cut short goes on where it stopped; a larger --records adds to what is there.
    """
    from clear_hug.simulate import write_dataset

    with progress_bar() as bar:
        task = bar.add_task("simulating", total=records, note="")

        def on_record(done: int, _total: int) -> None:
            bar.update(task, completed=done)

        labels = write_dataset(out, records, seed=seed, fs=fs, seconds=seconds, progress=on_record)
    output().print(_by_label_and_split(labels))
    output().print(f"{count(records, 'simulated record')} (not real ECGs) in {out}, labels in {labels}", soft_wrap=True)


def _by_label_and_split(labels: Path) -> Table:
    from clear_hug.simulate import DISORDER_NAMES

    counts: Counter[tuple[str, str]] = Counter()
    with labels.open(newline="", encoding="utf-8") as file:
        for row in DictReader(file):
            counts.update((code, row["split"]) for code in DISORDER_NAMES if row[code] == "1")
    table = Table("label", "disorder")
    for split in ("train", "val", "test"):
        table.add_column(split, justify="right")
    for code, name in DISORDER_NAMES.items():
        table.add_row(code, name, *(str(counts[code, split]) for split in ("train", "val", "test")))
    return table
