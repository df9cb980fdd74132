"""A probe from end to end: store and encoder in, classifier and figures out."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clear_hug.class_names import class_names
from clear_hug.data.fractions import sample_fraction
from clear_hug.data.store import BeatStore
from clear_hug.files import file_hash, write_json, write_text
from clear_hug.models.classifier import ECGClassifier
from clear_hug.models.encoder import CLEAREncoder
from clear_hug.models.factories import untrained
from clear_hug.models.parameters import parameter_counts
from clear_hug.training.batches import TEST, TRAIN, VALIDATION, split_rows
from clear_hug.training.build import config_for
from clear_hug.training.checkpoint import check_compatible, versions
from clear_hug.training.device import resolve_device
from clear_hug.training.features import OnRecords, cached_features
from clear_hug.training.manifest import model_manifest, source_of
from clear_hug.training.probe import ProbeConfig, ProbeData, ProbeResult, probe, without_training_positives
from clear_hug.training.restore import load_encoder, save_classifier

CLASSIFIER, RESULT, PREDICTIONS = "classifier.safetensors", "result.json", "test_predictions.csv"
PREFERRED_TASK = "super"

OnEpoch = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class EncoderSource:
    """An encoder and what is known of it: `origin` is `pre-trained` or `untrained`, `details` JSON values."""

    encoder: CLEAREncoder
    origin: str
    details: dict[str, Any]


@dataclass(frozen=True)
class ProbeRun:
    """Files and figures of a finished probe."""

    classifier: Path
    result_file: Path
    summary: dict[str, Any]
    result: ProbeResult


def pretrained_encoder(path: str | Path, store: BeatStore) -> EncoderSource:
    """The encoder of a checkpoint, if it fits the store.

    Raises:
        CheckpointError: no usable checkpoint, or one for other leads, rate, beats or samples.
    """
    encoder, manifest = load_encoder(path)
    check_compatible(manifest, store.manifest)
    details = {"sha256": file_hash(path), "epoch": manifest.get("epoch"), "data": manifest["data"]}
    return EncoderSource(encoder, "pre-trained", details)


def untrained_encoder(size: str, seed: int, store: BeatStore, **overrides: Any) -> EncoderSource:
    """The baseline: a named size (`overrides` as in `config_for`) with initial weights drawn from `seed`."""
    encoder = untrained(config_for(size, store, **overrides), seed).encoder.eval()
    return EncoderSource(encoder, "untrained", {"size": size, "seed": seed})


def choose_task(store: BeatStore, task: str | None) -> str:
    """The task asked for; without one, `super`, or the store's only task.

    Raises:
        ValueError: none is asked for and several, or none, would do.
    """
    if task is not None:
        store.classes(task)
        return task
    if PREFERRED_TASK in store.tasks:
        return PREFERRED_TASK
    if len(store.tasks) == 1:
        return store.tasks[0]
    if not store.tasks:
        raise ValueError("the store has no task to train on; prepare it with labels")
    raise ValueError(f"which task? name one with --task; the store has {', '.join(store.tasks)}")


def probe_data(
    store: BeatStore, task: str, features: np.ndarray, fraction: float, seed: int, sampling: str = "stratified"
) -> ProbeData:
    """Features and labels of a task, with the training rows cut down to `fraction` by `sample_fraction`."""
    labels, labelled = np.asarray(store.labels(task)), np.asarray(store.labelled(task))
    rows = {split: split_rows(store, split) for split in (TRAIN, VALIDATION, TEST)}
    train, validation, test = (part[labelled[part]] for part in rows.values())
    if len(train):
        train = train[sample_fraction(labels[train], fraction, seed, sampling)]
    return ProbeData(features, labels, tuple(store.classes(task)), train, validation, test)


def run_probe(
    store: BeatStore,
    source: EncoderSource,
    config: ProbeConfig,
    out: str | Path,
    *,
    task: str | None = None,
    features_folder: str | Path | None = None,
    amp: str = "none",
    on_features: OnRecords | None = None,
    on_epoch: OnEpoch | None = None,
) -> ProbeRun:
    """Features, probe, test, files.

    Writes `classifier.safetensors` (encoder, head, classes, thresholds), `result.json` and `test_predictions.csv` into
    `out`, and the features (named by encoder and data) into `features_folder`, `out` if None.

    Args:
        store: prepared, with labels.
        source: the frozen encoder.
        config: recipe of the head.
        out: folder.
        task: see `choose_task`.
        features_folder: where several probes share their features.
        amp: precision of the encoder, `none` or `bf16`.
        on_features: called as (records done, records in all).
        on_epoch: called with each log entry of the head.

    Raises:
        ValueError: no such task, no usable record in a split, impossible settings.
    """
    out = Path(out)
    task = choose_task(store, task)
    manifest = model_manifest("classifier", source.encoder.config, store)
    features = cached_features(
        source.encoder,
        store,
        features_folder or out,
        device=resolve_device(config.device),
        amp=amp,
        on_progress=on_features,
    )
    source.encoder.cpu()
    data = probe_data(store, task, features, config.fraction, config.seed, config.sampling)
    result = probe(data, source.encoder.config, config, on_epoch=on_epoch)
    model = ECGClassifier(source.encoder, result.head, data.classes)
    parameters = parameter_counts(model)
    origin = {"origin": source.origin, **source.details}
    classifier = save_classifier(
        out / CLASSIFIER,
        model,
        manifest
        | {
            "head": config.head_arguments(),
            "task": task,
            "class_names": class_names(source_of(store), data.classes),
            "thresholds": result.thresholds.tolist(),
            "encoder": origin,
            "probe": config.to_dict(),
            "versions": versions(),
        },
    )
    write_predictions(out / PREDICTIONS, store, data, result)
    summary = {
        "task": task,
        "encoder": origin,
        "probe": config.to_dict(),
        "source": source_of(store),
        "records": {
            "train": len(data.train),
            "validation": len(data.validation),
            "test": len(data.test),
            "left_out_without_beats": int(sum(bool(flag) for flag in store.flags)),
        },
        "parameters": {"encoder": parameters["encoder"], "head": parameters["head"]},
        "best_epoch": result.best_epoch,
        "chosen_by": result.chosen_by,
        "classes_without_training_positives": without_training_positives(data.labels, data.train, data.classes),
        "test": result.metrics,
        "versions": versions(),
    }
    return ProbeRun(classifier, write_json(out / RESULT, summary), summary, result)


def write_predictions(path: str | Path, store: BeatStore, data: ProbeData, result: ProbeResult) -> Path:
    """A CSV row per test record: its name, the label of each class, the probability of each class."""
    names = store.names
    header = ["record", *(f"label {name}" for name in data.classes), *(f"probability {name}" for name in data.classes)]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row, scores in zip(data.test, result.test_probabilities, strict=True):
        writer.writerow([names[row], *data.labels[row].tolist(), *(repr(float(score)) for score in scores)])
    return write_text(path, text.getvalue())


def read_predictions(path: str | Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Record names, labels [R, C] and probabilities [R, C] of `write_predictions`."""
    with Path(path).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))[1:]
    values = np.array([[float(value) for value in row[1:]] for row in rows])
    classes = values.shape[1] // 2
    return [row[0] for row in rows], values[:, :classes].astype(np.uint8), values[:, classes:]
