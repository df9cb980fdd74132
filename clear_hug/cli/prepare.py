"""`clear-hug prepare`: from recordings to a store of heartbeats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from clear_hug.cli.prepare_folder import folder
from clear_hug.cli.prepare_options import data_set_command

prepare_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Cut heartbeats from ECG recordings: read, find the beats, cut one token per beat and lead, keep the labels.

    Every recording keeps its row; one that cannot be used is flagged with the reason. Interrupted (or killed), the same
    command goes on where it was. Splits and labels go by record name; `clear-hug tasks` lists tasks and classes.
    """,
)


@prepare_app.command()
@data_set_command
def ptbxl(
    root: Annotated[Path, typer.Option(help="Folder of PTB-XL, with ptbxl_database.csv.", show_default=False)],
    rate: Annotated[
        int | None,
        typer.Option(help="Which copy of the recordings: 100 or 500 Hz.  [default: 100]", show_default=False),
    ] = None,
    tables: Annotated[
        Path | None,
        typer.Option(help="Folder of PTB-XL's tables, where --root has its Challenge copy (HR00001.hea …)."),
    ] = None,
) -> Any:
    """PTB-XL as distributed (physionet.org/content/ptb-xl), with its tasks super, sub, form, rhythm, all, diagnostic.

    Folds 1 to 8 are for training, 9 for validation, 10 for testing.

    ```
    clear-hug prepare ptbxl --root path/to/ptb-xl/1.0.3 --out beats --workers 4
    ```
    """
    if tables is not None:
        if rate is not None:
            raise ValueError(f"--rate {rate} does not go with --tables: the Challenge copy has one rate; leave it out")
        from clear_hug.data.ptbxl_challenge import ptbxl_challenge_source

        return ptbxl_challenge_source(root, tables)
    from clear_hug.data.ptbxl import ptbxl_source

    return ptbxl_source(root) if rate is None else ptbxl_source(root, rate)


@prepare_app.command()
@data_set_command
def cpsc2018(
    root: Annotated[Path, typer.Option(help="Folder with A0001.mat …, in subfolders too.", show_default=False)],
) -> Any:
    """CPSC2018, task cpsc2018 with 9 classes, in the published split.

    Either the contest's own files (A0001.mat … and REFERENCE.csv) or those of the PhysioNet/CinC Challenges
    (A0001.hea and .mat; other data sets in the folder are left out).

    ```
    clear-hug prepare cpsc2018 --root path/to/challenge-2021/training/cpsc_2018 --out beats
    ```
    """
    from clear_hug.data.cpsc2018 import cpsc2018_source

    return cpsc2018_source(root)


@prepare_app.command()
@data_set_command
def csn(
    root: Annotated[Path, typer.Option(help="Folder with JS00001.hea …, in subfolders too.", show_default=False)],
) -> Any:
    """Chapman–Shaoxing–Ningbo (physionet.org/content/ecg-arrhythmia, or the Challenges'): tasks csn and csn-corrected.

    csn repeats the published labels, for comparison: substring matches on 23,026 records. csn-corrected takes the
    diagnosis codes as they are, on every record. Both share one split.

    ```
    clear-hug prepare csn --root path/to/ecg-arrhythmia/1.0.0 --out beats --workers 4
    ```
    """
    from clear_hug.data.csn import csn_source

    return csn_source(root)


@prepare_app.command(name="mimic-iv-ecg")
@data_set_command
def mimic_iv_ecg(
    root: Annotated[Path, typer.Option(help="Folder with record_list.csv and files.", show_default=False)],
    present_only: Annotated[
        bool, typer.Option("--present-only", help="Leave out records that are not there, instead of flagging them.")
    ] = False,
) -> Any:
    """MIMIC-IV-ECG (physionet.org/content/mimic-iv-ecg): 800,035 records without labels, for pre-training.

    A tenth of the patients is for validation.

    ```
    clear-hug prepare mimic-iv-ecg --root path/to/mimic-iv-ecg/1.0 --out beats --workers -1
    ```
    """
    from clear_hug.data.mimic import mimic_source

    return mimic_source(root, present_only)


@prepare_app.command()
@data_set_command
def ludb(
    root: Annotated[Path, typer.Option(help="Folder of LUDB, with ludb.csv and data.", show_default=False)],
) -> Any:
    """LUDB (physionet.org/content/ludb): 200 records, one task per column of diagnoses, voltages put right.

    ```
    clear-hug prepare ludb --root path/to/ludb/1.0.1 --out beats
    ```
    """
    from clear_hug.data.ludb import ludb_source

    return ludb_source(root)


@prepare_app.command()
@data_set_command
def code15(
    root: Annotated[Path, typer.Option(help="Folder with exams_part*.hdf5, or with .hea files.", show_default=False)],
) -> Any:
    """CODE-15 % (doi.org/10.5281/zenodo.4916206), tasks code15 and chagas as far as there are labels.

    Either as distributed (HDF5 files and exams.csv; needs h5py) or as WFDB records named after the exam, as the
    Challenge 2025 makes them. Split by patient.

    ```
    clear-hug prepare code15 --root path/to/code15 --out beats --workers 4
    ```
    """
    from clear_hug.data.code15 import code15_source

    return code15_source(root)


@prepare_app.command()
@data_set_command
def cinc2021(
    root: Annotated[Path, typer.Option(help="Folder of Challenge records, in subfolders too.", show_default=False)],
    sets: Annotated[
        str | None,
        typer.Option(help="First letters of the records to take, separated by commas, e.g. E,S.  [default: all]"),
    ] = None,
) -> Any:
    """The PhysioNet/CinC Challenge 2021's records (CPSC, Georgia, PTB, PTB-XL, CSN …), labelled by its diagnoses.

    Each record keeps the split that it has in its own data set; PTB-XL's recordings (HR…) keep PTB-XL's folds.

    ```
    clear-hug prepare cinc2021 --root path/to/challenge-2021/training --out beats --sets E
    ```
    """
    from clear_hug.data.cinc2021 import cinc2021_source

    return cinc2021_source(root, sets.replace(",", " ").split() if sets else [])


@prepare_app.command()
@data_set_command
def wfdb(
    root: Annotated[Path, typer.Option(help="Folder with .hea files, in subfolders too.", show_default=False)],
    labels: Annotated[
        Path | None,
        typer.Option(help="CSV: record, optionally split (train, val, test), then a column of 0 and 1 per class."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the 70/15/15 split where the CSV has none.", min=0)] = 0,
) -> Any:
    """Any folder of WFDB records, with a table of labels (task "labels") or without (enough for pre-training).

    Leads are found by name, in any order; any sampling rate, any voltage unit. Missing limb leads are derived.

    ```
    clear-hug prepare wfdb --root my-ecgs --labels my-ecgs/labels.csv --out beats
    ```
    """
    from clear_hug.data.wfdb_folder import wfdb_source

    return wfdb_source(root, labels, seed)


prepare_app.command()(folder)
