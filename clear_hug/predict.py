"""From one record to probabilities by class name, and a picture of what was seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from clear_hug.class_names import labelled_name
from clear_hug.data.beat_settings import BeatSettings
from clear_hug.data.formats import SignalFacts, read_ecg
from clear_hug.data.lead_select import select_leads
from clear_hug.data.quality import QualityLimits
from clear_hug.data.record import Record
from clear_hug.data.row import PreparedRow, prepare_record
from clear_hug.data.settings import PrepareSettings, restored
from clear_hug.data.tokenizers import tokenizer_named
from clear_hug.ecg_paper import Bar, draw_ecg
from clear_hug.models.classifier import ECGClassifier
from clear_hug.training.checkpoint import CheckpointError, check_compatible
from clear_hug.training.restore import load_classifier

DISCLAIMER = "Research software, not a medical device."
SIMULATED = "simulated, not a recording of a patient"
"""What the simulator writes into the header of its records."""


class PredictionError(ValueError):
    """A record that cannot be diagnosed; the message says why."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the classifier says about one record.

    Attributes:
        record: its name.
        simulated: its header says that it is no recording of a patient.
        task: what the classes are about.
        probabilities: class -> 0 … 1, independent of each other, highest first.
        class_names: class -> `full name (class)`, or the class itself.
        thresholds: class -> the probability from which it counts as present (best F1 on the validation records).
        beats_found: heartbeats in the record.
        beats_read: how many of them, from the first, the classifier read (its beat slots).
        r_index: R peaks, samples at `fs`.
        heart_rate: mean over the record, per minute; None with fewer than two beats.
        notes: remarks on quality.
        fs: Hz, of `signal`.
        leads: names, in the order of the signal's columns.
        signal: float [n, L], mV, as recorded; NaN for missing leads.
    """

    record: str
    simulated: bool
    task: str
    probabilities: dict[str, float]
    class_names: dict[str, str]
    thresholds: dict[str, float]
    beats_found: int
    beats_read: int
    r_index: NDArray[np.int64]
    heart_rate: float | None
    notes: tuple[str, ...]
    fs: float
    leads: tuple[str, ...]
    signal: NDArray[np.floating]

    @property
    def present(self) -> list[str]:
        """Classes at or above their threshold, most probable first."""
        return [name for name, p in self.probabilities.items() if p >= self.thresholds[name]]

    def to_dict(self) -> dict[str, Any]:
        """JSON values (without the signal)."""
        return {
            "record": self.record,
            "simulated": self.simulated,
            "task": self.task,
            "probabilities": self.probabilities,
            "class_names": self.class_names,
            "thresholds": self.thresholds,
            "present": self.present,
            "beats_found": self.beats_found,
            "beats_read": self.beats_read,
            "r_index": self.r_index.tolist(),
            "heart_rate": self.heart_rate,
            "fs": self.fs,
            "leads": list(self.leads),
            "duration_s": len(self.signal) / self.fs,
            "notes": list(self.notes),
            "disclaimer": DISCLAIMER,
        }


def predict_file(path: str | Path, checkpoint: str | Path, facts: SignalFacts | None = None) -> Prediction:
    """Diagnose one recording, in any of the formats that `clear_hug.data.formats.read_ecg` knows.

    Args:
        path: the file; a WFDB record with or without suffix.
        checkpoint: a classifier that `clear-hug probe` wrote.
        facts: rate, leads and unit of a table or array that does not say them.

    Raises:
        CheckpointError: no usable classifier.
        RecordError: the record cannot be read.
        PredictionError: it has no beats, or none of the classifier's leads.
    """
    model, manifest = load_classifier(checkpoint)
    return predict_record(read_ecg(path, facts), model, manifest)


def predict_record(record: Record, model: ECGClassifier, manifest: Mapping[str, Any]) -> Prediction:
    """Diagnose a record in memory, prepared exactly as the classifier's training records were.

    Args:
        record: any rate, leads in any order.
        model: a classifier.
        manifest: its manifest.

    Raises:
        CheckpointError: the manifest does not say how to prepare a record, or contradicts itself.
        PredictionError: the record has no beats, or none of the classifier's leads.
    """
    settings = preparation_settings(manifest)
    row = prepare_record(record, settings)
    if row.flag:
        wanted = " ".join(settings.leads)
        raise PredictionError(f"record {record.name} cannot be diagnosed: {row.flag} (the classifier reads {wanted})")
    probabilities = _probabilities(model, row)
    order = np.argsort(-probabilities, kind="stable")
    signal, _ = select_leads(record, settings.leads)
    peaks = _all_peaks(record, row, settings)
    return Prediction(
        record=record.name,
        simulated=any(SIMULATED in comment for comment in record.comments),
        task=str(manifest["task"]),
        probabilities={model.classes[c]: float(probabilities[c]) for c in order},
        class_names={name: labelled_name(name, manifest.get("class_names", {})) for name in model.classes},
        thresholds={model.classes[c]: float(manifest["thresholds"][c]) for c in order},
        beats_found=row.beats_found,
        beats_read=int((row.r_index >= 0).sum()),
        r_index=np.minimum(np.round(peaks * (record.fs / settings.rate)).astype(np.int64), len(signal) - 1),
        heart_rate=heart_rate(peaks, settings.rate),
        notes=row.notes,
        fs=record.fs,
        leads=settings.leads,
        signal=signal,
    )


def preparation_settings(manifest: Mapping[str, Any]) -> PrepareSettings:
    """The settings by which the classifier's training records were prepared.

    Raises:
        CheckpointError: they are absent, unusable, contradict the model, or name a beat detector of another version.
    """
    saved = manifest.get("preparation", {})
    try:
        settings = PrepareSettings(
            tokenizer=saved["tokenizer"],
            fs=saved["fs"],
            beats=saved["beats"],
            beat_samples=saved["beat_samples"],
            leads=tuple(saved["leads"]),
            quality=QualityLimits(**saved["quality"]),
            detector=restored(BeatSettings, saved["detector_settings"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"the checkpoint does not say how to prepare a record ({error!r}); make it again with `clear-hug probe`"
        ) from error
    check_compatible(manifest, settings.to_dict())
    if saved["detector"] != tokenizer_named(settings.tokenizer).detector:
        raise CheckpointError(
            f"the checkpoint's records were cut by the beat detector {saved['detector']!r}, this version has "
            f"{tokenizer_named(settings.tokenizer).detector!r}; prepare, pre-train and probe again, or use the "
            "version that wrote it"
        )
    return settings


def heart_rate(r_index: NDArray[np.integer], fs: float) -> float | None:
    """Beats per minute from the first to the last R peak; None with fewer than two."""
    return None if len(r_index) < 2 else float(60 * fs * (len(r_index) - 1) / (r_index[-1] - r_index[0]))


def draw_prediction(prediction: Prediction, classes: int = 12) -> Figure:
    """The record on ECG paper with its beats, and the most probable classes below."""
    names = prediction.class_names
    top = next(iter(prediction.probabilities))
    kind = "Simulated record " if prediction.simulated else ""
    rate = "" if prediction.heart_rate is None else f", {prediction.heart_rate:.0f} beats/min"
    seconds = len(prediction.signal) / prediction.fs
    shown = "" if seconds <= 10 else ", first 10 s drawn"
    return draw_ecg(
        prediction.signal,
        prediction.fs,
        prediction.leads,
        prediction.r_index,
        unread=len(prediction.r_index) - prediction.beats_read,
        title=f"{kind}{prediction.record}: {names[top]} {prediction.probabilities[top]:.0%}",
        subtitle=f"{prediction.beats_found} beats in {seconds:.1f} s{rate}{shown}",
        probabilities=[
            Bar(names[name], p, name in prediction.present)
            for name, p in list(prediction.probabilities.items())[:classes]
        ],
        footer=". ".join(
            (
                f"Probabilities of the task {prediction.task!r}, bold from the threshold on",
                *prediction.notes,
                DISCLAIMER,
            )
        ),
    )


def _all_peaks(record: Record, row: PreparedRow, settings: PrepareSettings) -> NDArray[np.int64]:
    """R peaks of all beats at the tokens' rate, also of those that found no slot (ours can be asked for more slots)."""
    if row.beats_found > settings.slots and settings.tokenizer == "beats":
        row = prepare_record(record, replace(settings, beats=row.beats_found))
    return row.r_index[row.r_index >= 0].astype(np.int64)


@torch.no_grad()
def _probabilities(model: ECGClassifier, row: PreparedRow) -> NDArray[np.float64]:
    tokens = torch.from_numpy(row.tokens)[None]  # [1, L, T, S]
    valid = torch.from_numpy(row.valid)[None]  # [1, L, T]
    seconds = torch.from_numpy(row.seconds.astype(np.int64))[None]  # [1, T]
    return model.eval()(tokens, valid, seconds)[0].double().sigmoid().numpy()  # [C]
