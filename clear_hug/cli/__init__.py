"""The command line: `clear-hug COMMAND`, where COMMAND is one of

`download | tasks | prepare | inspect | pretrain | probe | predict | simulate | evaluate-beats | demo`.

Every command imports what it needs when it runs, so that `clear-hug --help` answers at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

from clear_hug.cli.common import NOT_A_DEVICE, FriendlyGroup, output
from clear_hug.cli.demo import demo
from clear_hug.cli.download import download
from clear_hug.cli.evaluate_beats import evaluate_beats
from clear_hug.cli.inspect import inspect
from clear_hug.cli.predict import predict
from clear_hug.cli.prepare import prepare_app
from clear_hug.cli.pretrain import pretrain
from clear_hug.cli.probe import probe
from clear_hug.cli.simulate import simulate
from clear_hug.cli.tasks import tasks

app = typer.Typer(
    name="clear-hug",
    cls=FriendlyGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
    epilog=NOT_A_DEVICE,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            own = version("clear-hug")
        except PackageNotFoundError:
            own = "not installed (running from its source folder)"
        output().print(f"clear-hug {own}")
        raise typer.Exit


@app.callback()
def main(
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """From ECG files to diagnoses: cut heartbeats, pre-train CLEAR on them, probe it with HUG, predict.

    The whole path on your own records:

    ```
    clear-hug prepare ptbxl --root path/to/ptbxl --out beats
    clear-hug pretrain --store beats --out run --size tiny --epochs 50
    clear-hug probe --store beats --checkpoint run/clear.safetensors --out probe
    clear-hug predict path/to/record --checkpoint probe/classifier.safetensors
    ```

    No records at hand? `clear-hug demo` simulates some and does all of this.
    """


app.command()(download)
app.command()(tasks)
app.command()(simulate)
app.command()(evaluate_beats)
app.add_typer(prepare_app, name="prepare")
app.command()(inspect)
app.command()(pretrain)
app.command()(probe)
app.command()(predict)
app.command()(demo)
