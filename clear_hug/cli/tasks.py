"""`clear-hug tasks`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clear_hug.cli.common import output

if TYPE_CHECKING:
    from clear_hug.data.store import BeatStore
    from clear_hug.data.task_list import TaskInfo


def tasks(
    store: Annotated[Path | None, typer.Option(help="Count records and classes of this store.")] = None,
    task: Annotated[str | None, typer.Option(help="Only this task.")] = None,
) -> None:
    """List the tasks of all data sets with their classes, or count those of a store in every split.

    ```
    clear-hug tasks
    clear-hug tasks --store beats --task super
    ```
    """
    if store is None:
        _list_known(task)
    else:
        from clear_hug.data.store import BeatStore

        print_counts(BeatStore.open(store), task)


def _list_known(wanted: str | None) -> None:
    from clear_hug.data.task_list import TASK_LIST

    chosen = [info for info in TASK_LIST if wanted in (None, info.name)]
    if not chosen:
        known = ", ".join(info.name for info in TASK_LIST)
        raise ValueError(f"no data set has a task {wanted!r}; those known are {known}")
    for info in chosen:
        output().print(_described(info), soft_wrap=True, markup=False)


def _described(info: TaskInfo) -> str:
    sizes = "" if info.records is None else "; {:,} train, {:,} val, {:,} test".format(*info.records)
    classes = " ".join(info.classes) if info.classes else "as stated in that column"
    number = f", {len(info.classes)} classes" if len(info.classes) > 1 else ""
    return f"{info.data_set}: task {info.name}{number}{sizes} ({info.about})\n  {classes}"


def print_counts(store: BeatStore, wanted: str | None) -> None:
    """Records that can be used, by split, and the positives of each class among them."""
    from rich.table import Table

    from clear_hug.data.store import SPLITS

    chosen = store.tasks if wanted is None else [wanted]
    console = output()
    if not chosen:
        console.print(f"{store.path} was prepared without labels, so it has no tasks", soft_wrap=True, markup=False)
    for name in chosen:
        known = store.labelled(name) & store.usable
        labels = store.labels(name)
        members = {split: known & (store.split == number) for split, number in SPLITS.items()}
        members["none"] = known & (store.split < 0)
        shown = {split: rows for split, rows in members.items() if split != "none" or rows.any()}
        flagged = int((store.labelled(name) & ~store.usable).sum())
        title = f"task {name}" + (f" ({flagged:,} flagged records left out)" if flagged else "")
        table = Table(title=title, title_justify="left")
        table.add_column("class")
        for split in shown:
            table.add_column(split, justify="right")
        table.add_row("records", *(f"{rows.sum():,}" for rows in shown.values()), style="bold", end_section=True)
        for column, label in enumerate(store.classes(name)):
            table.add_row(label, *(f"{labels[rows, column].sum():,}" for rows in shown.values()))
        console.print(table, markup=False)
