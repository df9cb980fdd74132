"""`clear-hug tasks`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from clear_hug.cli.common import count, output

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from clear_hug.data.source import Source
    from clear_hug.data.store import BeatStore
    from clear_hug.data.task_list import TaskInfo


class _Counted(NamedTuple):
    """One task of R records: classes, labels [R, C], the records that count [R], their split [R], what is left out."""

    name: str
    classes: tuple[str, ...]
    labels: NDArray[np.uint8]
    known: NDArray[np.bool_]
    split: NDArray[np.int8]
    left_out: str = ""


def tasks(
    data_set: Annotated[
        str | None, typer.Argument(help="Only the tasks of this data set, as `clear-hug prepare` calls it.")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="Count in the labels of the data set in this folder, as for `prepare --root`.")
    ] = None,
    store: Annotated[Path | None, typer.Option(help="Count records and classes of this store.")] = None,
    task: Annotated[str | None, typer.Option(help="Only this task.")] = None,
) -> None:
    """List the tasks of all data sets with their classes, or count those of a data set or a store in every split.

    ```
    clear-hug tasks
    clear-hug tasks ptbxl --root path/to/ptb-xl/1.0.3 --task super
    clear-hug tasks --store beats --task super
    ```

    The list has the numbers that are published. With --root, only labels are read: recordings that will be flagged
    count too. With --store, they do not.
    """
    if store is not None:
        if root is not None or data_set is not None:
            raise ValueError("--store brings its own data set; leave out the data set's name and --root")
        from clear_hug.data.store import BeatStore

        print_counts(BeatStore.open(store), task)
    elif root is not None:
        _count_in_folder(root, data_set, task)
    else:
        _list_known(data_set, task)


def _list_known(data_set: str | None, wanted: str | None) -> None:
    from clear_hug.data.known_sources import KNOWN_SOURCES
    from clear_hug.data.task_list import TASK_LIST

    if data_set is not None and data_set not in KNOWN_SOURCES:
        raise ValueError(f"unknown data set {data_set!r}; choose one of {', '.join(KNOWN_SOURCES)}")
    of_set = [info for info in TASK_LIST if data_set in (None, info.data_set)]
    chosen = [info for info in of_set if wanted in (None, info.name)]
    if not chosen and wanted is None:
        output().print(f"{data_set} has no labels, so it has no tasks", soft_wrap=True, markup=False)
    elif not chosen:
        known = ", ".join(dict.fromkeys(info.name for info in of_set))
        who = "no data set has a" if data_set is None else f"{data_set} has no"
        raise ValueError(f"{who} task {wanted!r}; those known are {known}")
    for info in chosen:
        output().print(_described(info), soft_wrap=True, markup=False)


def _described(info: TaskInfo) -> str:
    sizes = "" if info.records is None else "; {:,} train, {:,} val, {:,} test".format(*info.records)
    classes = " ".join(info.classes) if info.classes else "as stated in that column"
    number = f", {len(info.classes)} classes" if len(info.classes) > 1 else ""
    lines = [f"{info.data_set}: task {info.name}{number}{sizes} ({info.about})", f"  {classes}"]
    for where, positives in info.positives.items():
        some = "" if set(positives) == set(info.classes) else ", of some classes"
        lines.append(f"  positives in {where}{some}: " + " ".join(f"{name} {n:,}" for name, n in positives.items()))
    return "\n".join(lines)


def _count_in_folder(root: Path, data_set: str | None, wanted: str | None) -> None:
    from clear_hug.data.known_sources import KNOWN_SOURCES

    if data_set not in KNOWN_SOURCES:
        known = ", ".join(KNOWN_SOURCES)
        raise ValueError(f"name the data set in {root}, as in `clear-hug tasks ptbxl --root {root}`: one of {known}")
    source = KNOWN_SOURCES[data_set](root)
    if wanted is not None and wanted not in source.tasks:
        raise ValueError(f"{data_set} in {root} has no task {wanted!r}; it has {', '.join(source.tasks) or 'none'}")
    for name in source.tasks if wanted is None else [wanted]:
        _print_table(_of_source(source, name))
    if not source.tasks:
        said = f"{root} has {count(len(source.names), 'record')} without labels, so it has no tasks"
        output().print(said, soft_wrap=True, markup=False)


def _of_source(source: Source, name: str) -> _Counted:
    task = source.tasks[name]
    return _Counted(name, task.classes, task.labels, task.labelled, source.split)


def print_counts(store: BeatStore, wanted: str | None) -> None:
    """Records of a store that can be used, by split, and the positives of each class among them."""
    chosen = store.tasks if wanted is None else [wanted]
    if not chosen:
        said = f"{store.path} was prepared without labels, so it has no tasks"
        output().print(said, soft_wrap=True, markup=False)
    for name in chosen:
        known = store.labelled(name)
        flagged = int((known & ~store.usable).sum())
        left_out = f"{count(flagged, 'flagged record')} left out" if flagged else ""
        classes, labels = store.classes(name), store.labels(name)
        _print_table(_Counted(name, tuple(classes), labels, known & store.usable, store.split, left_out))


def _print_table(task: _Counted) -> None:
    from rich.table import Table

    from clear_hug.data.store import SPLITS

    members = {split: task.known & (task.split == number) for split, number in SPLITS.items()}
    members["none"] = task.known & (task.split < 0)
    shown = {split: rows for split, rows in members.items() if split != "none" or rows.any()}
    title = f"task {task.name}" + (f" ({task.left_out})" if task.left_out else "")
    table = Table(title=title, title_justify="left")
    table.add_column("class")
    for split in shown:
        table.add_column(split, justify="right")
    table.add_row("records", *(f"{rows.sum():,}" for rows in shown.values()), style="bold", end_section=True)
    for column, label in enumerate(task.classes):
        table.add_row(label, *(f"{task.labels[rows, column].sum():,}" for rows in shown.values()))
    output().print(table, markup=False)
