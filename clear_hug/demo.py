"""The whole path once through: records → heartbeats → CLEAR → probes → a diagnosis, with a report. `clear-hug demo`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from clear_hug.data.prepare import prepare
from clear_hug.data.ptbxl import ptbxl_source
from clear_hug.data.settings import PrepareSettings
from clear_hug.data.source import Source
from clear_hug.data.store import BeatStore
from clear_hug.data.wfdb_folder import wfdb_source
from clear_hug.files import write_json
from clear_hug.plots import save_figure
from clear_hug.predict import draw_prediction, predict_file
from clear_hug.simulate.write import write_dataset
from clear_hug.steps import Step, StepRunner
from clear_hug.training.batches import TEST, TRAIN, split_rows
from clear_hug.training.build import config_for
from clear_hug.training.pretrain import CHECKPOINT, STATE, PretrainConfig, pretrain
from clear_hug.training.probe import ProbeConfig
from clear_hug.training.probe_run import (
    CLASSIFIER,
    choose_task,
    pretrained_encoder,
    run_probe,
    untrained_encoder,
)

RECORDS, BEATS, RUN, PREDICTION = "records", "beats", "pretraining", "prediction"
ORIGINS = ("pre-trained", "untrained")
HEADS = {"hug": "HUG", "linear": "linear"}

OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class DemoConfig:
    """Sizes of the demonstration; the defaults take a few minutes on two CPU cores.

    Attributes:
        records: how many to simulate.
        fs: of the simulated records, Hz.
        size: of the model.
        model: other fields of its configuration; no dropout, since so short a training is far from overfitting.
        beats: beat slots per record.
        record_views: training records seen in pre-training, all epochs together; decides the number of epochs.
        most_epochs: no more than these, however few records there are.
        batch_size: records per step of pre-training, small so that a short training has enough steps.
        lr: its peak rate, higher than the recipe's for the same reason.
        probe_epochs: passes of each head.
        probe_batch_size: records per step of a head.
        fractions: shares of the training labels that the heads get, the first one for the prediction.
        resamples: of the bootstrap.
        seed: of everything.
        device: `auto`, `cpu` or `cuda`.
    """

    records: int = 1000
    fs: int = 250
    size: str = "tiny"
    model: dict[str, Any] = field(default_factory=lambda: {"dropout": 0.0})
    beats: int = 20
    record_views: int = 16800
    most_epochs: int = 60
    batch_size: int = 16
    lr: float = 2e-3
    probe_epochs: int = 100
    probe_batch_size: int = 256
    fractions: tuple[float, ...] = (1.0, 0.1)
    resamples: int = 2000
    seed: int = 0
    device: str = "auto"

    def epochs(self, train_records: int) -> int:
        """Passes over so many training records."""
        return int(np.clip(round(self.record_views / max(train_records, 1)), 1, self.most_epochs))


@dataclass(frozen=True)
class Probed:
    """One of the probes: a head on an encoder, with a share of the labels."""

    head: str
    origin: str
    fraction: float = 1.0

    @property
    def name(self) -> str:
        """Name of the step and its folder, such as `probe-hug-pre-trained-10`."""
        return f"probe-{self.head}-{self.origin}-{100 * self.fraction:g}"

    @property
    def title(self) -> str:
        """Such as `HUG, pre-trained encoder, 10 % of the labels`."""
        return f"{HEADS[self.head]}, {self.origin} encoder, {100 * self.fraction:g} % of the labels"

    @property
    def baseline(self) -> Probed:
        """The same on the untrained encoder."""
        return replace(self, origin="untrained")


class Demo:
    """The steps of the demonstration in a folder; `run` does those that are not done yet.

    Args:
        out: folder of everything.
        data: folder of PTB-XL as distributed; None simulates records.
        config: sizes.
        task: whose labels; None for `super` on PTB-XL and the simulator's disorders.
        on_step: called with each finished step.
        on_progress: called as (step, done, in all) within a step.
    """

    def __init__(
        self,
        out: str | Path,
        *,
        data: str | Path | None = None,
        config: DemoConfig | None = None,
        task: str | None = None,
        on_step: Callable[[Step], None] | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        self.out = Path(out)
        self.data = None if data is None else Path(data)
        self.config = config or DemoConfig()
        self.asked_task = task
        self.runner = StepRunner(self.out, on_step)
        self._on_progress = on_progress

    @property
    def simulated(self) -> bool:
        """Whether the records are simulated."""
        return self.data is None

    @cached_property
    def store(self) -> BeatStore:
        """The prepared beats, once that step is done."""
        return BeatStore.open(self.out / BEATS)

    @cached_property
    def task(self) -> str:
        """The task that is probed."""
        return choose_task(self.store, self.asked_task)

    @cached_property
    def pretraining(self) -> PretrainConfig:
        """Settings of the pre-training, with the number of epochs that the data allow."""
        return PretrainConfig(
            epochs=self.config.epochs(len(split_rows(self.store, TRAIN))),
            batch_size=self.config.batch_size,
            lr=self.config.lr,
            seed=self.config.seed,
            device=self.config.device,
        )

    @property
    def probes(self) -> list[Probed]:
        """All probes, in the order of the report."""
        return [Probed(h, o, fraction) for fraction in self.config.fractions for h in HEADS for o in ORIGINS]

    def probe_config(self, kind: Probed) -> ProbeConfig:
        """Settings of a probe."""
        return ProbeConfig(
            head=kind.head,  # type: ignore[arg-type]  # one of HEADS
            fraction=kind.fraction,
            epochs=self.config.probe_epochs,
            batch_size=self.config.probe_batch_size,
            resamples=self.config.resamples,
            seed=self.config.seed,
            device=self.config.device,
        )

    def run(self) -> list[Step]:
        """Do what is not done; returns all steps with their times."""
        prepared = self._prepare(self._records())
        trained = self._pretrain(prepared)
        probed = [self._probe(kind, [prepared, trained]) for kind in self.probes]
        self._predict([prepared, probed[0]])
        return self.runner.done

    def _records(self) -> list[Step]:
        if not self.simulated:
            return []
        records, fs, seed = self.config.records, self.config.fs, self.config.seed

        def action() -> None:
            write_dataset(self.out / RECORDS, records, seed=seed, fs=fs, progress=self._progress("simulate"))

        settings = {"records": records, "fs": fs, "seed": seed}

        return [self.runner.run("simulate", settings, [RECORDS], action)]

    def _source(self) -> Source:
        if self.data is not None:
            return ptbxl_source(self.data)
        return wfdb_source(self.out / RECORDS, self.out / RECORDS / "labels.csv")

    def _prepare(self, after: list[Step]) -> Step:
        source, settings = self._source(), PrepareSettings(beats=self.config.beats)
        tell = self._progress("prepare")

        def action() -> None:
            prepare(source, self.out / BEATS, settings, on_chunk=lambda done, _: tell(done, len(source.names)))

        known = {"settings": settings.to_dict(), "source": source.identity()}
        return self.runner.run("prepare", known, [BEATS], action, after, leftovers=[f"{BEATS}.partial"])

    def _pretrain(self, prepared: Step) -> Step:
        model = config_for(self.config.size, self.store, **self.config.model)
        folder, tell = self.out / RUN, self._progress("pretrain")

        def action() -> None:
            resume = (folder / STATE).is_file()
            pretrain(
                self.store,
                model,
                self.pretraining,
                folder,
                resume=resume,
                on_step=lambda done, total, _: tell(done, total),
            )

        known = {"model": model.to_dict(), "training": self.pretraining.to_dict()}
        return self.runner.run("pretrain", known, [RUN], action, [prepared])

    def _probe(self, kind: Probed, after: list[Step]) -> Step:
        config = self.probe_config(kind)

        def action() -> None:
            if kind.origin == "pre-trained":
                encoder = pretrained_encoder(self.out / RUN / CHECKPOINT, self.store)
            else:
                encoder = untrained_encoder(self.config.size, self.config.seed, self.store, **self.config.model)
            tell = self._progress(kind.name)
            run_probe(
                self.store,
                encoder,
                config,
                self.out / kind.name,
                task=self.task,
                features_folder=self.out / "features",
                on_epoch=lambda entry: tell(entry["epoch"], config.epochs),
            )

        known = {"probe": config.to_dict(), "task": self.task, "origin": kind.origin}
        return self.runner.run(kind.name, known, [kind.name], action, after)

    def _predict(self, after: list[Step]) -> Step:
        row, root = self.shown_row(), self.data or self.out / RECORDS
        path, folder = root / self.store.sources[row], self.out / PREDICTION

        def action() -> None:
            found = predict_file(path, self.out / self.probes[0].name / CLASSIFIER)
            save_figure(draw_prediction(found), folder / "ecg.png")
            write_json(folder / "prediction.json", found.to_dict())

        return self.runner.run("predict", {"record": self.store.names[row]}, [PREDICTION], action, after)

    def shown_row(self) -> int:
        """The record that is predicted and drawn: the first usable, labelled test record."""
        rows = split_rows(self.store, TEST)
        return int(rows[np.asarray(self.store.labelled(self.task))[rows]][0])

    def _progress(self, step: str) -> Callable[[int, int], None]:
        def tell(done: int, total: int) -> None:
            if self._on_progress is not None:
                self._on_progress(step, done, total)

        return tell

    def settings(self) -> dict[str, Any]:
        """All settings as JSON values."""
        return {**asdict(self.config), "epochs": self.pretraining.epochs, "task": self.task}
