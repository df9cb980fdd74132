"""`clear-hug predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clear_hug.cli.common import NOT_A_DEVICE, output
from clear_hug.cli.prepare_folder import FileFsOption, FileGainOption, FileLeadsOption, FileUnitsOption, file_facts


def predict(
    record: Annotated[
        Path,
        typer.Argument(
            help="A recording: WFDB (with or without suffix), CSV, NPY, NPZ, EDF, DICOM, SCP-ECG, or XML of GE MUSE, "
            "Philips or HL7 aECG.",
            show_default=False,
        ),
    ],
    checkpoint: Annotated[
        Path, typer.Option(help="classifier.safetensors that `clear-hug probe` wrote.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Folder for RECORD.png and RECORD.json.")] = Path("prediction"),
    file_fs: FileFsOption = None,
    file_leads: FileLeadsOption = None,
    file_units: FileUnitsOption = None,
    file_gain: FileGainOption = None,
) -> None:
    """Diagnose one record: probabilities by class name, and the 12-lead ECG with the beats that were found.

    Any sampling rate, leads by name in any order. The record is prepared exactly as the classifier's training records
    were; a record without beats, or without any of the classifier's leads, is refused with the reason.

    ```
    clear-hug predict path/to/records100/00000/00001_lr --checkpoint probe/classifier.safetensors
    ```
    """
    from clear_hug.training.checkpoint import read_manifest

    read_manifest(checkpoint)  # before PyTorch, which takes seconds, so that a mistyped path is told at once
    from rich.table import Table

    from clear_hug.files import write_json
    from clear_hug.plots import save_figure
    from clear_hug.predict import draw_prediction, predict_file

    found = predict_file(record, checkpoint, file_facts(file_fs, file_leads, file_units, file_gain))
    table = Table(
        title=f"{'simulated record ' if found.simulated else ''}{found.record}, task {found.task!r}",
        title_justify="left",
    )
    table.add_column("class")
    table.add_column("probability", justify="right")
    table.add_column("threshold", justify="right")
    for name, probability in found.probabilities.items():
        style = "bold" if name in found.present else ""
        table.add_row(found.class_names[name], f"{probability:.3f}", f"{found.thresholds[name]:.3f}", style=style)
    console = output()
    console.print(table)
    rate = "" if found.heart_rate is None else f", {found.heart_rate:.0f} beats per minute"
    console.print(f"{found.beats_found} beats in {len(found.signal) / found.fs:.1f} s{rate}")
    for note in found.notes:
        console.print(f"note: {note}", markup=False)
    picture = save_figure(draw_prediction(found), out / f"{found.record}.png")
    data = write_json(out / f"{found.record}.json", found.to_dict())
    console.print(f"Bold: at or above the threshold. Picture {picture}, figures {data}", soft_wrap=True)
    console.print(NOT_A_DEVICE)
