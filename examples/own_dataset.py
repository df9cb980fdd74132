"""Your own recordings: a folder of CSV and NPY files and a table of labels → a store → batches for any PyTorch model.

    python examples/own_dataset.py                 simulated recordings in a temporary folder
    python examples/own_dataset.py --folder mine   the same, kept in `mine`

The command line does the first step too: `clear-hug prepare folder --root mine --labels mine/labels.csv --out store`.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from clear_hug.data import BeatStore, PrepareSettings, prepare
from clear_hug.data.augment import on_each_record
from clear_hug.data.batch import BeatBatch
from clear_hug.data.dataset import BeatDataset
from clear_hug.data.folder import folder_source
from clear_hug.data.rank_sampler import RankSampler
from clear_hug.simulate import simulate_ecg

CLASSES = ("SR", "AF", "LBBB")


def write_recordings(folder: Path, records: int) -> Path:
    """What you would bring along: half CSV, half NPY with a side file, at two rates, and `labels.csv`."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(records):
        name, code, fs = f"patient{number:03d}", CLASSES[number % len(CLASSES)], (250, 400)[number % 2]
        ecg = simulate_ecg({code}, fs=fs, seconds=10.0, seed=number)
        if number % 2:
            np.save(folder / f"{name}.npy", np.round(ecg.signal * 1000).astype(np.int16))
            facts = {"fs": fs, "leads": list(ecg.leads), "units": "uV"}
            (folder / f"{name}.json").write_text(json.dumps(facts), encoding="utf-8")
        else:
            head = f"# fs: {fs}\n# units: mV\n{','.join(ecg.leads)}\n"
            body = "\n".join(",".join(f"{value:.4f}" for value in sample) for sample in ecg.signal)
            (folder / f"{name}.csv").write_text(head + body + "\n", encoding="utf-8")
        split = "test" if number >= records * 3 // 4 else "train"
        rows.append([name, split, *(int(code == own) for own in CLASSES)])
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["record", "split", *CLASSES], *rows])
    return folder / "labels.csv"


def quieter(tokens: torch.Tensor, valid: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """An augmentation: the whole recording at 80 to 120 % of its voltage."""
    return tokens * float(rng.uniform(0.8, 1.2))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--records", type=int, default=24)
    parser.add_argument("--workers", type=int, default=0, help="processes of the DataLoader")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary) / "mine"
        labels = write_recordings(folder, given.records)
        # Signals, so that tokens can be cut anew; a store of tokens is read in the same way.
        store = prepare(folder_source(folder, labels), folder / "store", PrepareSettings(), store="signals").store
        print(f"{len(store)} recordings, {int(store.usable.sum())} usable, classes {store.classes('labels')}")
        train(store, given.workers)
        evaluate(store)


def train(store: BeatStore, workers: int) -> None:
    """Two epochs over the training recordings: three leads only, augmented, each epoch in another order."""
    dataset = BeatDataset(
        store, split="train", task="labels", leads=("V1", "II", "V5"), augment=on_each_record(quieter), seed=1
    )
    sampler = RankSampler(len(dataset), shuffle=True, seed=1)
    loader = DataLoader(
        dataset, batch_size=8, sampler=sampler, collate_fn=dataset.collate, num_workers=workers,
        persistent_workers=workers > 0,
    )  # fmt: skip
    for epoch in range(2):
        sampler.set_epoch(epoch)
        dataset.set_epoch(epoch)
        batches: list[BeatBatch] = list(loader)
        first = batches[0]
        voltage = float(first.amplitude[..., 2][first.valid].mean())
        print(
            f"epoch {epoch}: {sum(map(len, batches))} recordings in {len(batches)} batches, first of them "
            f"{tuple(first.tokens.shape)}, {voltage:.3f} mV peak to peak, records {first.row.tolist()}"
        )


def evaluate(store: BeatStore) -> None:
    """Two processes share the test recordings: together all of them, none twice; tokens cut where the batch is."""
    dataset = BeatDataset(store, split="test", task="labels", cut_later=True)
    seen: list[int] = []
    for rank in range(2):
        sampler = RankSampler(len(dataset), rank=rank, world_size=2)
        for batch in DataLoader(dataset, batch_size=4, sampler=sampler, collate_fn=dataset.collate):
            beats = batch.to("cuda" if torch.cuda.is_available() else "cpu").cut()
            assert beats.tokens.shape[1:] == (12, 30, 150)
            seen += beats.row.tolist()
    assert sorted(seen) == dataset.rows.tolist()
    print(f"test: {len(seen)} recordings over 2 ranks, each once")


if __name__ == "__main__":
    main()
