"""`clear-hug download`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clear_hug.cli.common import count, output, progress_bar


def download(
    name: Annotated[
        str,
        typer.Argument(
            help="ptbxl, cpsc2018, csn, mimic-iv-ecg, ludb, cinc2021 (the Challenge 2021) or mitdb.", show_default=False
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Folder to put it in.  [default: ./NAME]")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Paths to fetch, e.g. `'records100/*'` or `'*.csv'`; may be given several times.  [default: all]"
        ),
    ] = None,
    server: Annotated[
        str | None, typer.Option(help="Mirror to use, with PhysioNet's paths below it.  [default: physionet.org]")
    ] = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Compare files that are there already too, and fetch those again that differ."),
    ] = False,
) -> None:
    """Fetch an open data set from PhysioNet, each file compared with its published checksum.

    Interrupted, the same command goes on where it was; files that are there are taken for whole, unless --verify. Two
    connections at a time, as PhysioNet asks.

    ```
    clear-hug download ludb --out ludb
    clear-hug download ludb --out ludb --verify
    clear-hug download ptbxl --out ptb-xl --only '*.csv' --only 'records100/*'
    ```
    """
    from clear_hug.data.remote_sets import remote_set

    remote = remote_set(name)
    from clear_hug.data.download import download as fetch  # brings wfdb, which takes seconds

    folder = out or Path(name)
    with progress_bar() as bar:
        task = bar.add_task(f"{name} (about {remote.size})", total=None, note="")

        def on_file(done: int, files: int, received: int) -> None:
            elapsed = bar.tasks[task].elapsed or 0.0
            rate = f"{received / 1e6 / elapsed:.1f} MB/s" if elapsed > 0 else ""
            bar.update(task, completed=done, total=files, note=rate)

        result = fetch(remote, folder, only=only or (), server=server, verify=verify, on_file=on_file)
    state = "there already, with the published checksum" if verify else "there already"
    there = f", {count(result.there, 'file')} {state}" if result.there else ""
    there += f"; {count(result.wrong, 'file')} differed and came anew" if result.wrong else ""
    output().print(
        f"{folder}: {count(result.fetched, 'file')} fetched ({result.received / 1e6:,.1f} MB){there}", soft_wrap=True
    )
