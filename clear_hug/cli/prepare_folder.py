"""`clear-hug prepare folder`: your own recordings, in whatever formats they are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from clear_hug.cli.prepare_options import data_set_command

FileFsOption = Annotated[
    float | None, typer.Option(help="Rate in Hz of tables and arrays (CSV, NPY, NPZ) that do not say it.")
]
FileLeadsOption = Annotated[
    str | None, typer.Option(help="Leads of the columns of tables and arrays that do not name them, by commas.")
]
FileUnitsOption = Annotated[
    str | None, typer.Option(help="Unit of tables and arrays that do not say it: mV, uV, nV or V.  [default: mV]")
]
FileGainOption = Annotated[
    float | None, typer.Option(help="Numbers per unit, where tables and arrays hold those of a converter.")
]


@data_set_command
def folder(
    root: Annotated[Path, typer.Option(help="Folder of recordings, in subfolders too.", show_default=False)],
    labels: Annotated[
        Path | None,
        typer.Option(help="CSV: record, optionally split (train, val, test), then a column of 0 and 1 per class."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the 70/15/15 split where the CSV has none.", min=0)] = 0,
    file_fs: FileFsOption = None,
    file_leads: FileLeadsOption = None,
    file_units: FileUnitsOption = None,
    file_gain: FileGainOption = None,
) -> Any:
    """Any folder of recordings: WFDB, CSV, NPY, NPZ, EDF, DICOM, SCP-ECG, GE MUSE, Philips and HL7 aECG XML, mixed.

    Every file keeps its row; one that cannot be read is flagged with the reason. EDF needs the extra [edf], DICOM the
    extra [dicom].

    ```
    clear-hug prepare folder --root my-ecgs --labels my-ecgs/labels.csv --out beats
    ```
    """
    from clear_hug.data.folder import folder_source

    return folder_source(root, labels, seed, file_facts(file_fs, file_leads, file_units, file_gain))


def file_facts(fs: float | None, leads: str | None, units: str | None, gain: float | None) -> Any:
    """The options about files that do not speak for themselves."""
    from clear_hug.data.formats import SignalFacts

    names = tuple(name.strip() for name in leads.split(",")) if leads else None
    return SignalFacts(fs, names, units, gain)
