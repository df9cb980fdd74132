"""Options about what the encoder sees of a heartbeat, of the commands that make an encoder."""

from __future__ import annotations

from typing import Annotated

import typer

InputNormOption = Annotated[
    str, typer.Option(help="Tokens that the encoder sees: none (mV) or token (z-scored one by one, as published).")
]
AmplitudeOption = Annotated[
    bool,
    typer.Option("--amplitude", help="Beside each token its mean, standard deviation and peak-to-peak voltage in mV."),
]
