"""Which beats are hidden: exact numbers, uniform draws, and packing that loses nothing."""

from __future__ import annotations

import pytest
import torch

from clear_hug.models.masking import draw_visible, kept_beats, kept_table, pack, packed_size


@pytest.mark.parametrize(
    ("valid", "kept"), [(0, 0), (1, 1), (2, 1), (3, 1), (10, 2), (180, 36), (176, 35), (360, 72), (7, 1), (8, 2)]
)
def test_a_fifth_of_the_beats_is_kept_and_at_least_one(valid: int, kept: int) -> None:
    assert kept_beats(valid, 0.8) == kept
    assert int(kept_table(12, 30, 0.8)[valid]) == kept


@pytest.mark.parametrize("ratio", [0.05, 0.5, 0.75, 0.8, 0.99])
def test_no_record_keeps_more_than_the_packed_size(ratio: float) -> None:
    assert int(kept_table(12, 15, ratio).max()) == packed_size(12, 15, ratio)


def ragged_valid(size: int, leads: int = 12, beats: int = 15) -> torch.Tensor:
    valid = torch.zeros(size, leads, beats, dtype=torch.bool)
    for sample in range(size):
        valid[sample, :, : sample % (beats + 1)] = True
    valid[size - 1, 4] = False  # a lead that is missing altogether
    return valid


def test_each_sample_keeps_its_own_exact_number_of_valid_beats() -> None:
    valid = ragged_valid(33)
    visible = draw_visible(valid, kept_table(12, 15, 0.8))
    assert not (visible & ~valid).any()
    wanted = [kept_beats(int(count), 0.8) for count in valid.flatten(1).sum(1)]
    assert visible.flatten(1).sum(1).tolist() == wanted


def test_samples_are_masked_differently_and_a_seed_repeats_the_draw() -> None:
    valid, table = torch.ones(16, 12, 15, dtype=torch.bool), kept_table(12, 15, 0.8)
    first = draw_visible(valid, table, torch.Generator().manual_seed(3))
    assert len({tuple(row.tolist()) for row in first.flatten(1)}) == 16
    assert torch.equal(first, draw_visible(valid, table, torch.Generator().manual_seed(3)))
    assert not torch.equal(first, draw_visible(valid, table, torch.Generator().manual_seed(4)))


def test_without_a_generator_the_draw_follows_manual_seed() -> None:
    valid, table = torch.ones(2, 3, 5, dtype=torch.bool), kept_table(3, 5, 0.8)
    torch.manual_seed(11)
    first = draw_visible(valid, table)
    torch.manual_seed(11)
    assert torch.equal(first, draw_visible(valid, table))


def test_every_valid_beat_is_equally_likely_to_be_kept() -> None:
    valid = torch.ones(1, 3, 10, dtype=torch.bool)
    valid[0, 1, 5:] = False
    draws = 20_000
    visible = draw_visible(valid.expand(draws, -1, -1), kept_table(3, 10, 0.8), torch.Generator().manual_seed(0))
    rate = visible.float().mean(0)[valid[0]]
    expected = kept_beats(25, 0.8) / 25
    deviation = (expected * (1 - expected) / draws) ** 0.5
    assert (rate - expected).abs().max() < 5 * deviation


def test_packing_lists_the_visible_beats_in_order_and_back() -> None:
    valid = ragged_valid(32)
    visible = draw_visible(valid, kept_table(12, 15, 0.8))
    packing = pack(visible, packed_size(12, 15, 0.8))
    assert packing.position.shape == packing.valid.shape == (32, 36)
    for sample in range(32):
        places = visible[sample].flatten().nonzero()[:, 0]
        assert packing.valid[sample].tolist() == [slot < len(places) for slot in range(36)]
        assert torch.equal(packing.position[sample, : len(places)], places)
        assert torch.equal(packing.slot[sample, places], torch.arange(len(places)))
    assert not packing.position[~packing.valid].any()


def test_packing_a_single_slot_of_an_empty_record() -> None:
    packing = pack(torch.zeros(2, 1, 1, dtype=torch.bool), 1)
    assert packing.valid.tolist() == [[False], [False]]
    assert packing.position.tolist() == packing.slot.tolist() == [[0], [0]]
