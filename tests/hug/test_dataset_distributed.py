"""Reading by several processes, augmentation that does not depend on them, and tokens cut after loading."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import synthetic_ecg as made
import torch
from torch.utils.data import DataLoader

from clear_hug.data import BeatStore, PrepareSettings, prepare, wfdb_source
from clear_hug.data.augment import generators, on_each_record
from clear_hug.data.batch import BeatBatch, SignalBatch
from clear_hug.data.dataset import BeatDataset
from clear_hug.data.rank_sampler import RankSampler

SETTINGS = PrepareSettings(beats=8, beat_samples=60)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BeatStore]:
    base = tmp_path_factory.mktemp("distributed")
    for number in range(9):
        signal = made.record(fs=100.0, seconds=3.0 + number / 2, bpm=50 + 10 * number).signal
        made.write_record(base / "in", f"r{number}", signal, 100.0)
    source = wfdb_source(base / "in")
    return {mode: prepare(source, base / mode, SETTINGS, store=mode).store for mode in ("tokens", "signals")}


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("size", "world"), [(0, 1), (1, 4), (10, 1), (10, 3), (11, 4), (12, 4)])
def test_every_position_once_over_all_ranks(size: int, world: int, shuffle: bool) -> None:
    samplers = [RankSampler(size, rank, world, shuffle=shuffle, seed=5) for rank in range(world)]
    dealt = [list(sampler) for sampler in samplers]
    assert sorted(position for part in dealt for position in part) == list(range(size))
    assert [len(sampler) for sampler in samplers] == [len(part) for part in dealt]
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1
    even = [list(RankSampler(size, rank, world, shuffle=shuffle, seed=5, even=True)) for rank in range(world)]
    assert {len(part) for part in even} == {size // world}
    assert len({position for part in even for position in part}) == size // world * world


def test_the_order_follows_seed_and_epoch() -> None:
    sampler = RankSampler(50, 1, 2, shuffle=True, seed=3)
    first, again = list(sampler), list(sampler)
    sampler.set_epoch(1)
    assert first == again
    assert first != list(sampler)
    assert first != list(RankSampler(50, 1, 2, shuffle=True, seed=4))
    for rank, world in ((2, 2), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match=f"rank={rank} must be in"):
            RankSampler(50, rank, world)


def test_evaluation_reads_no_recording_twice(stores: dict[str, BeatStore]) -> None:
    dataset = BeatDataset(stores["tokens"])
    seen = []
    for rank in range(4):
        sampler = RankSampler(len(dataset), rank, 4)
        for batch in DataLoader(dataset, batch_size=2, sampler=sampler, collate_fn=dataset.collate):
            seen += batch.row.tolist()
    assert sorted(seen) == dataset.rows.tolist()


def _scale(tokens: torch.Tensor, valid: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    return tokens * rng.uniform(0.5, 2.0) + rng.uniform(-1, 1)


def _by_row(dataset: BeatDataset, batch_size: int, order: list[int], workers: int = 0) -> dict[int, torch.Tensor]:
    loader = DataLoader(dataset, batch_size, sampler=order, num_workers=workers, collate_fn=dataset.collate)
    return {int(row): tokens for batch in loader for row, tokens in zip(batch.row, batch.tokens, strict=True)}


def test_augmentation_depends_on_seed_epoch_and_row_only(stores: dict[str, BeatStore]) -> None:
    def made_with(seed: int) -> BeatDataset:
        return BeatDataset(stores["tokens"], seed=seed, augment=on_each_record(_scale))

    plain = _by_row(BeatDataset(stores["tokens"]), 4, list(range(9)))
    first = _by_row(made_with(1), 4, list(range(9)))
    for other in (_by_row(made_with(1), 1, [8, 3, 0]), _by_row(made_with(1), 3, [5, 3, 7, 1], workers=1)):
        assert all(torch.equal(tokens, first[row]) for row, tokens in other.items())
    assert not any(torch.equal(first[row], plain[row]) for row in plain)
    assert not torch.equal(_by_row(made_with(2), 4, [0])[0], first[0])
    dataset = made_with(1)
    dataset.set_epoch(1)
    second = _by_row(dataset, 4, list(range(9)))
    assert not any(torch.equal(second[row], first[row]) for row in first)
    rng = generators(1, 1, [4])[0]
    expected = _scale(plain[4], torch.ones(1), rng) * BeatDataset(stores["tokens"]).load_batch([4]).valid[0, :, :, None]
    torch.testing.assert_close(second[4], expected, rtol=0, atol=0)


def test_the_epoch_reaches_workers_that_stay(stores: dict[str, BeatStore]) -> None:
    dataset = BeatDataset(stores["tokens"], augment=on_each_record(_scale))
    loader = DataLoader(dataset, 9, num_workers=1, persistent_workers=True, collate_fn=dataset.collate)
    epochs = []
    for epoch in (0, 1):
        dataset.set_epoch(epoch)
        epochs += [batch.tokens for batch in loader]
        torch.testing.assert_close(epochs[-1], dataset.load_batch(dataset.rows).tokens, rtol=0, atol=0)
    assert not torch.equal(epochs[0], epochs[1])


def test_changing_tokens_that_are_cut_later_is_refused(stores: dict[str, BeatStore]) -> None:
    dataset = BeatDataset(stores["signals"], cut_later=True, augment=on_each_record(_scale))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="changes tokens, not a SignalBatch; use it without cut_later"):
        dataset.load_batch([0])


def test_signals_are_cut_after_loading(stores: dict[str, BeatStore]) -> None:
    later = BeatDataset(stores["signals"], cut_later=True, leads=("V2", "I"))
    now = BeatDataset(stores["signals"], leads=("V2", "I"))
    whole = BeatDataset(stores["tokens"], leads=("V2", "I"))
    loader = DataLoader(later, batch_size=4, num_workers=1, collate_fn=later.collate)
    for signals in loader:
        assert isinstance(signals, SignalBatch)
        assert (len(signals), signals.samples.dtype) == (len(signals.row), torch.int16)
        batch, expected = signals.to("cpu").cut(), now.load_batch(signals.row.numpy())
        assert isinstance(batch, BeatBatch)
        for name in ("tokens", "valid", "seconds", "row"):
            torch.testing.assert_close(getattr(batch, name), getattr(expected, name), rtol=0, atol=0)
        truth = whole.load_batch(signals.row.numpy())
        torch.testing.assert_close(batch.tokens, truth.tokens, rtol=0, atol=1e-4)


def test_signals_can_be_augmented_before_they_are_cut(stores: dict[str, BeatStore]) -> None:
    def turn_over(batch: SignalBatch, rngs: list[np.random.Generator]) -> SignalBatch:
        return replace(batch, gain=batch.gain * torch.tensor([[float(rng.choice((-1, 1)))] for rng in rngs]))

    plain = BeatDataset(stores["signals"]).load_batch(range(9))
    turned = BeatDataset(stores["signals"], cut_later=True, augment=turn_over, seed=3).load_batch(range(9)).cut()
    signs = [float(rng.choice((-1, 1))) for rng in generators(3, 0, range(9))]
    assert len(set(signs)) == 2
    torch.testing.assert_close(turned.tokens, plain.tokens * torch.tensor(signs)[:, None, None, None, None][:, 0])


def test_every_lead_subset_is_a_view_in_both_modes(stores: dict[str, BeatStore], tmp_path: Path) -> None:
    for store in stores.values():
        whole = BeatDataset(store).load_batch([2, 5])
        part = BeatDataset(store, leads=("aVF", "V6", "II")).load_batch([2, 5])
        torch.testing.assert_close(part.tokens, whole.tokens[:, [5, 11, 1]], rtol=0, atol=0)
        assert torch.equal(part.valid, whole.valid[:, [5, 11, 1]])
