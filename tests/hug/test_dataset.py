"""`BeatDataset`: which recordings it holds, what a batch is, and nested stratified fractions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synthetic_ecg as made
import torch
from torch.utils.data import DataLoader

from clear_hug.data import BeatStore, PrepareSettings, prepare, wfdb_source
from clear_hug.data.dataset import BeatBatch, BeatDataset
from clear_hug.data.fractions import official_fraction, stratified_order, take_fraction


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> BeatStore:
    """Ten records; r3 is unreadable, r5 and r9 have no row in the table."""
    base = tmp_path_factory.mktemp("dataset")
    lines = ["record,split,A,B"]
    for number in range(10):
        made.write_record(
            base / "in", f"r{number}", made.record(fs=100.0, seconds=4.0, bpm=50 + 5 * number).signal, 100.0
        )
        if number not in (5, 9):
            split = "train" if number < 6 else "val" if number < 8 else "test"
            lines.append(f"r{number},{split},{number % 2},{int(number > 4)}")
    (base / "in" / "r3.dat").unlink()
    (base / "labels.csv").write_text("\n".join(lines))
    settings = PrepareSettings(beats=8, beat_samples=60)
    return prepare(wfdb_source(base / "in", base / "labels.csv"), base / "out", settings).store


def test_flagged_and_unlabelled_recordings_are_left_out(store: BeatStore) -> None:
    assert BeatDataset(store).rows.tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert BeatDataset(store, task="labels").rows.tolist() == [0, 1, 2, 4, 6, 7, 8]
    assert BeatDataset(store, split="train").rows.tolist() == [0, 1, 2, 4]
    assert BeatDataset(store, split="val", task="labels").rows.tolist() == [6, 7]
    assert BeatDataset(store, split="test").rows.tolist() == [8]


def test_a_batch_holds_the_rows_asked_for_in_their_order(store: BeatStore) -> None:
    dataset = BeatDataset(store, task="labels")
    batch = dataset.load_batch([7, 0, 4])
    assert batch.row.tolist() == [7, 0, 4]
    assert batch.labels is not None
    assert batch.labels.tolist() == [[1, 1], [0, 0], [0, 0]]
    assert len(batch) == 3
    np.testing.assert_array_equal(batch.tokens.numpy(), np.array(store.tokens)[[7, 0, 4]])
    np.testing.assert_array_equal(batch.valid.numpy(), np.array(store.valid)[[7, 0, 4]])
    np.testing.assert_array_equal(batch.seconds.numpy(), np.array(store.seconds)[[7, 0, 4]])
    assert (batch.tokens.dtype, batch.valid.dtype, batch.seconds.dtype) == (torch.float32, torch.bool, torch.int64)
    assert (batch.labels.dtype, batch.row.dtype) == (torch.float32, torch.int64)
    assert isinstance(batch.to("cpu"), BeatBatch)
    assert BeatDataset(store).load_batch([0]).labels is None
    batch.tokens.zero_()  # a copy, not the file
    assert np.array(store.tokens[7]).any()


def test_a_data_loader_gives_whole_batches(store: BeatStore) -> None:
    dataset = BeatDataset(store, task="labels")
    for workers in (0, 1):
        loader = DataLoader(dataset, batch_size=3, collate_fn=dataset.collate, num_workers=workers)
        batches = list(loader)
        assert [len(batch) for batch in batches] == [3, 3, 1]
        assert torch.cat([batch.row for batch in batches]).tolist() == dataset.rows.tolist()
    assert dataset[2].row.tolist() == [2]
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_leads_are_a_view_in_the_order_asked_for(store: BeatStore) -> None:
    batch = BeatDataset(store, leads=("V1", "lead I")).load_batch([1, 2])
    np.testing.assert_array_equal(batch.tokens.numpy(), np.array(store.tokens)[[1, 2]][:, [6, 0]])
    np.testing.assert_array_equal(batch.valid.numpy(), np.array(store.valid)[[1, 2]][:, [6, 0]])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"split": "training"}, "unknown split 'training'; choose one of train, val, test"),
        ({"task": "super"}, "no task 'super'"),
        ({"leads": ("V9",)}, "unknown lead name 'V9'"),
        ({"leads": ()}, "no lead"),
        ({"sampling": "lucky"}, "unknown sampling 'lucky'"),
        ({"sampling": "lucky", "fraction": 0.5}, "unknown sampling 'lucky'; choose one of stratified, official"),
        ({"fraction": 2.0, "sampling": "official"}, "fraction=2.0 must be"),
        ({"cut_later": True}, "keeps tokens, no signals"),
        ({"fraction": 0.0}, r"fraction=0.0 must be above 0"),
        ({"fraction": 1.5}, "fraction=1.5"),
        ({"fraction": float("nan")}, "fraction=nan"),
    ],
)
def test_refusals(store: BeatStore, asked: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BeatDataset(store, **asked)


def test_a_lead_that_the_store_does_not_have(tmp_path: Path) -> None:
    made.write_record(tmp_path / "in", "r", made.record(fs=100.0).signal, 100.0)
    store = prepare(wfdb_source(tmp_path / "in"), tmp_path / "out", PrepareSettings(leads=("I", "II"))).store
    with pytest.raises(ValueError, match="no lead V1; it has I II"):
        BeatDataset(store, leads=("I", "V1"))
    with pytest.raises(ValueError, match="no usable recording in split 'val'"):
        BeatDataset(store, split="val")


def _labels(seed: int = 0, records: int = 3000) -> np.ndarray:
    rates = np.array([0.5, 0.2, 0.1, 0.03, 0.01, 0.0])
    return (np.random.default_rng(seed).random((records, len(rates))) < rates).astype(np.uint8)


def test_small_fractions_lie_inside_large_ones() -> None:
    labels = _labels()
    one, ten, all_ = (set(take_fraction(labels, f, seed=4).tolist()) for f in (0.01, 0.1, 1.0))
    assert (len(one), len(ten), len(all_)) == (30, 300, 3000)
    assert one < ten < all_
    assert set(take_fraction(labels, 0.1, seed=5).tolist()) != ten
    np.testing.assert_array_equal(take_fraction(labels, 0.1, seed=4), sorted(ten))


def test_every_beginning_has_the_frequencies_of_the_whole() -> None:
    labels = _labels()
    order = stratified_order(labels, seed=1)
    np.testing.assert_array_equal(np.sort(order), np.arange(len(labels)))
    for count in (30, 300, 1000):
        taken = labels[order[:count]].sum(axis=0)
        assert np.abs(taken - count * labels.mean(axis=0)).max() < 2.5
        none = (labels[order[:count]].sum(axis=1) == 0).sum()
        assert abs(none - count * (labels.sum(axis=1) == 0).mean()) < 2.5


def test_fractions_of_records_without_labels() -> None:
    assert len(take_fraction(np.zeros((50, 0), np.uint8), 0.1, seed=0)) == 5
    assert len(take_fraction(np.zeros((3, 2), np.uint8), 0.01, seed=0)) == 1


def test_the_published_fraction_is_uniform_and_rounded_down() -> None:
    assert [len(official_fraction(n, f, 0)) for n, f in ((999, 0.1), (17084, 0.01), (7, 0.01), (50, 1.0))] == [
        99,
        170,
        1,
        50,
    ]
    drawn = np.bincount(np.concatenate([official_fraction(20, 0.25, seed) for seed in range(2000)]), minlength=20)
    assert abs(drawn / 2000 - 0.25).max() < 0.05
    np.testing.assert_array_equal(official_fraction(100, 0.1, 3), official_fraction(100, 0.1, 3))
    assert (np.diff(official_fraction(100, 0.3, 1)) > 0).all()


def test_fractions_of_a_data_set(store: BeatStore) -> None:
    half = BeatDataset(store, split="train", task="labels", fraction=0.5, seed=2)
    assert len(half) == 2
    assert set(half.rows) < set(BeatDataset(store, split="train", task="labels").rows)
    official = BeatDataset(store, task="labels", fraction=0.5, seed=2, sampling="official")
    assert len(official) == 3  # of 7
