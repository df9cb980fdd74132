"""Pictures and report of the demonstration."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from clear_hug.demo import HEADS, PREDICTION, RECORDS, RUN, Demo, Probed
from clear_hug.files import read_json
from clear_hug.models.normalise import to_millivolts
from clear_hug.plots import auroc_bars, loss_curve, reconstruction, save_figure
from clear_hug.predict import DISCLAIMER
from clear_hug.report import Block, Code, Heading, Picture, Table, Text, write_report
from clear_hug.steps import Step
from clear_hug.training.batches import VALIDATION, mask_generator, read_batch, split_rows
from clear_hug.training.checkpoint import versions
from clear_hug.training.device import resolve_device
from clear_hug.training.log import read_log
from clear_hug.training.metrics import Interval, bootstrap_difference
from clear_hug.training.pretrain import CHECKPOINT, LOG
from clear_hug.training.probe_run import PREDICTIONS, RESULT, read_predictions
from clear_hug.training.restore import load_clear

PICTURES = "pictures"
Found = dict[Probed, dict[str, Any]]


def results(demo: Demo) -> Found:
    """The summary of each probe."""
    return {kind: read_json(demo.out / kind.name / RESULT) for kind in demo.probes}


def gain(demo: Demo, kind: Probed) -> Interval:
    """What pre-training added: test macro AUROC minus that of the baseline, with a paired bootstrap interval."""
    (names, labels, scores), (others, _, theirs) = (
        read_predictions(demo.out / each.name / PREDICTIONS) for each in (kind, kind.baseline)
    )
    if names != others:
        raise ValueError("the two probes were tested on different records; remove their folders and run again")
    return bootstrap_difference(labels, scores, theirs, resamples=demo.config.resamples, seed=demo.config.seed)


def draw_reconstruction(demo: Demo) -> Figure:
    """The first validation record, masked as in validation, and what the model makes of it."""
    model, _ = load_clear(demo.out / RUN / CHECKPOINT)
    rows = split_rows(demo.store, VALIDATION)
    row = int(rows[0] if len(rows) else demo.shown_row())
    batch = read_batch(demo.store, np.array([row]))
    with torch.no_grad():
        drawn = model(*batch, generator=mask_generator(demo.config.seed, 0, stream=VALIDATION))
    millivolts = to_millivolts(drawn.prediction, batch.tokens)  # [1, L, T, S]
    return reconstruction(
        batch.tokens[0].numpy(),
        millivolts[0].numpy(),
        drawn.masked[0].numpy(),
        batch.valid[0].numpy(),
        demo.store.leads,
        title=f"{_kind(demo)} record {demo.store.names[row]}, not trained on: the first beats of every lead",
    )


def write_demo_report(demo: Demo, steps: list[Step]) -> tuple[Path, Path]:
    """Draw the pictures and write `report.md` and `report.html`; returns their paths."""
    folder, found = demo.out / PICTURES, results(demo)
    history = read_log(demo.out / RUN / LOG)
    train = [entry["train_loss"] for entry in history]
    held_out = [entry["validation_loss"] for entry in history if entry["validation_loss"] is not None]
    curve = loss_curve(train, held_out, title=f"Pre-training on {_kind(demo).lower()} records")
    save_figure(curve, folder / "loss.png")
    save_figure(draw_reconstruction(demo), folder / "reconstruction.png")
    save_figure(_draw_auroc(demo, found), folder / "auroc.png")
    title = f"CLEAR-HUG, the whole path once through, on {_kind(demo).lower()} ECGs"
    return write_report(demo.out, title, _blocks(demo, steps, found))


def _draw_auroc(demo: Demo, found: Found) -> Figure:
    bars = []
    for kind, summary in found.items():
        macro = summary["test"]["macro_auroc"]
        if macro is not None:
            bars.append((kind.title, macro["value"], macro["low"], macro["high"], kind.origin))
    note = f"{_first(found)['records']['test']:,} {_kind(demo).lower()} test records, task {demo.task!r}"
    return auroc_bars(bars, title="Diagnosis with a frozen encoder", note=note)


def _kind(demo: Demo) -> str:
    return "Simulated" if demo.simulated else "Real"


def _first(found: Found) -> dict[str, Any]:
    return next(iter(found.values()))


def _blocks(demo: Demo, steps: list[Step], found: Found) -> list[Block]:
    prediction = read_json(demo.out / PREDICTION / "prediction.json")
    pictures = demo.out / PICTURES
    return [
        Text(_what_it_is(demo), note=True),
        Heading("What was done"),
        Text(_what_was_done(demo, _first(found)["records"])),
        Table(["step", "seconds"], [[step.name, f"{step.seconds:.1f}"] for step in steps]),
        Heading("Pre-training: masked heartbeats reconstructed"),
        Picture(pictures / "loss.png", "Reconstruction error of masked heartbeats, per epoch."),
        Picture(
            pictures / "reconstruction.png",
            "Black beats were shown to the encoder. Grey beats were hidden; in orange what the decoder drew, with each "
            "beat's own mean and height put back, since the model predicts the shape.",
        ),
        Heading("Diagnosis"),
        Picture(pictures / "auroc.png", "Macro AUROC on the test records with 95 % bootstrap intervals."),
        _table(found),
        *_comparison(demo, found),
        *_skipped(found),
        Heading("One record"),
        Text(_one_record(demo, prediction)),
        Picture(
            demo.out / PREDICTION / "ecg.png",
            f"{_kind(demo)} test record {prediction['record']} with the beats that were found.",
        ),
        Heading("Do it again"),
        Code(_commands(demo)),
        Text(f"Settings: {_settings(demo)}."),
        Text(f"{machine(demo)}. {datetime.now(timezone.utc):%Y-%m-%d}. {DISCLAIMER}"),
    ]


def _what_it_is(demo: Demo) -> str:
    if demo.simulated:
        return (
            "These records are simulated: a moving heart dipole seen by twelve leads. No patient was recorded. The "
            "figures show that the path works, and nothing about how well it would do on patients."
        )
    return (
        "These are real recordings (PTB-XL, Wagner et al. 2020, CC BY 4.0), with a model small enough to train in "
        "minutes: a smoke-scale result. The intervals say how little so few test records can tell."
    )


def _what_was_done(demo: Demo, records: dict[str, int]) -> str:
    counts = demo.store.manifest["counts"]
    return (
        f"{counts['records']:,} records, {counts['beats']:,} heartbeats kept, {counts['flagged']:,} records flagged "
        f"and left out. Task {demo.task!r}: {records['train']:,} training, {records['validation']:,} validation and "
        f"{records['test']:,} test records. CLEAR {demo.config.size} was pre-trained for {demo.pretraining.epochs} "
        "epochs on the training records without their labels; then heads were trained on the frozen encoder."
    )


def _table(found: Found) -> Table:
    rows = []
    for kind, summary in found.items():
        test, macro = summary["test"], summary["test"]["macro_auroc"]
        shown = f"{macro['value']:.3f} [{macro['low']:.3f}, {macro['high']:.3f}]" if macro else "–"
        others = [f"{test[key]:.3f}" if test[key] is not None else "–" for key in ("macro_ap", "macro_f1")]
        rows.append([kind.title, shown, *others, f"{summary['parameters']['head']:,}"])
    return Table(["model", "macro AUROC [95 % interval]", "macro AP", "macro F1", "parameters of the head"], rows)


def _comparison(demo: Demo, found: Found) -> list[Block]:
    if any(summary["test"]["macro_auroc"] is None for summary in found.values()):
        return [Text("No class has positive and negative test records, so nothing can be compared.")]
    rows = []
    for kind in found:
        if kind.origin == "pre-trained":
            added = gain(demo, kind)
            interval = f"{added.value:+.3f} [{added.low:+.3f}, {added.high:+.3f}]"
            rows.append([HEADS[kind.head], f"{100 * kind.fraction:g} %", interval, verdict(added)])
    columns = ["head", "labels", "pre-trained minus untrained [95 % interval]", "hence"]
    return [Text("What pre-training added, by a paired bootstrap on the same test records:"), Table(columns, rows)]


def verdict(added: Interval) -> str:
    """What an interval of a difference allows to say."""
    if added.low > 0:
        return "pre-training helped"
    return "pre-training hurt" if added.high < 0 else "these records cannot tell"


def _skipped(found: Found) -> list[Block]:
    skipped = _first(found)["test"]["skipped_classes"]
    if not skipped:
        return []
    return [Text("Left out of the averages: " + ", ".join(f"{name} ({why})" for name, why in skipped.items()) + ".")]


def _one_record(demo: Demo, prediction: dict[str, Any]) -> str:
    row = demo.store.names.index(prediction["record"])
    labels = zip(demo.store.classes(demo.task), demo.store.labels(demo.task)[row], strict=True)
    truth = ", ".join(name for name, yes in labels if yes) or "nothing"
    rate = "" if prediction["heart_rate"] is None else f" ({prediction['heart_rate']:.0f} per minute)"
    said = ", ".join(f"{name} {prediction['probabilities'][name]:.0%}" for name in prediction["present"])
    return (
        f"The first test record, {prediction['record']}: {prediction['beats_found']} beats{rate}. Labelled {truth}; "
        f"{demo.probes[0].title} says {said or 'nothing above its threshold'} (classes at or above the threshold "
        "with the best F1 on validation records)."
    )


def _commands(demo: Demo) -> str:
    if not demo.simulated:
        return f"clear-hug demo --data path/to/ptbxl --out OUT --task {demo.task} --seed {demo.config.seed}"
    return (
        f"clear-hug demo --out OUT --records {demo.config.records} --seed {demo.config.seed}\n"
        f"clear-hug predict OUT/{RECORDS}/{demo.store.sources[demo.shown_row()]} "
        f"--checkpoint OUT/{demo.probes[0].name}/classifier.safetensors"
    )


def _settings(demo: Demo) -> str:
    left_out = () if demo.simulated else ("records", "fs")
    return ", ".join(f"{key} {value}" for key, value in demo.settings().items() if key not in left_out)


def machine(demo: Demo) -> str:
    """Device and versions, for the report."""
    device, own = resolve_device(demo.config.device), versions()
    what = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{_cores()} CPU cores"
    return (
        f"{what} ({platform.machine()}), Python {own['python']}, PyTorch {own['torch']}, clear-hug {own['clear_hug']}"
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
