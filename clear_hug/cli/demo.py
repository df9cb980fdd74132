"""`clear-hug demo`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clear_hug.cli.common import NOT_A_DEVICE, DeviceOption, SeedOption, messages, output, progress_bar

if TYPE_CHECKING:
    from clear_hug.steps import Step


def demo(
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of PTB-XL, with ptbxl_database.csv.  [default: simulate records]", show_default=False
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of everything it makes.")] = Path("demo"),
    task: Annotated[
        str | None, typer.Option(help="With --data: super, sub, form, rhythm …  [default: super]", show_default=False)
    ] = None,
    records: Annotated[
        int | None, typer.Option(help="How many records to simulate.", min=40, show_default=False)
    ] = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
) -> None:
    """The whole path once through, in a few minutes on two CPU cores.

    Simulates records (or reads PTB-XL), cuts heartbeats, pre-trains CLEAR, probes it with HUG and a linear head, does
    the same on an untrained encoder, diagnoses one record, and writes a report with pictures. Run again, it keeps what
    is done already.

    ```
    clear-hug demo
    clear-hug demo --data path/to/ptbxl --out demo-ptbxl
    ```
    """
    say = messages()
    say.print("Loading PyTorch …")
    from rich.table import Table

    from clear_hug.demo import Demo, DemoConfig
    from clear_hug.demo_report import gain, results, write_demo_report
    from clear_hug.files import write_json

    config = replace(DemoConfig(), seed=seed, device=device)
    if records is not None:
        config = replace(config, records=records)

    with progress_bar() as bar:
        tasks: dict[str, int] = {}

        def on_progress(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(step, total=total, note="")
            bar.update(tasks[step], completed=done, total=total)  # type: ignore[arg-type]

        def on_step(step: Step) -> None:
            bar.console.print(f"{step.name:24} {f'{step.seconds:.1f} s' if step.fresh else 'kept'}")

        run = Demo(out, data=data, config=config, task=task, on_step=on_step, on_progress=on_progress)
        bar.console.print("Real records (PTB-XL)" if data else "Simulated records: no patient was recorded")
        steps = run.run()
    write_json(out / "settings.json", run.settings())
    markdown, page = write_demo_report(run, steps)
    console = output()
    table = Table(title="Macro AUROC on the test records [95 % interval]", title_justify="left")
    for column in ("head", "encoder", "labels", "macro AUROC", "gain by pre-training"):
        table.add_column(column)
    for kind, summary in results(run).items():
        macro = summary["test"]["macro_auroc"]
        figures = f"{macro['value']:.3f} [{macro['low']:.3f}, {macro['high']:.3f}]" if macro else "undefined"
        added = str(gain(run, kind)) if macro and kind.origin == "pre-trained" else ""
        table.add_row(kind.head, kind.origin, f"{100 * kind.fraction:g} %", figures, added)
    console.print(table)
    console.print(f"Report {page} (and {markdown.name})", soft_wrap=True)
    console.print(NOT_A_DEVICE)
