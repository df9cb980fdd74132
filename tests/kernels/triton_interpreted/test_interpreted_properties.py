"""Padding, repeatability, memory layouts, and the kernels' building blocks."""

from __future__ import annotations

import pytest
import torch
import triton
import triton.language as tl
from attention_cases import LAYOUTS, Case
from interpreted import results

from clear_kernels import attention_mask
from clear_kernels.triton import launch_local
from clear_kernels.triton.columns import attended_bits, bit_at, entry_mask, tile_roles

FORMS = [
    Case("grid", 3, 4, heads=1, valid="batch"),
    Case("grid", 3, 4, heads=1, visible=True, valid="batch"),
    Case("grid", 3, 4, heads=1, visible="batch", valid="shared"),
    Case("packed", 3, 9, heads=1, lead="batch", valid="batch"),
]


@pytest.mark.parametrize("case", FORMS, ids=str)
@pytest.mark.parametrize("poison", [torch.nan, torch.inf])
def test_poison_in_padding_changes_nothing_bitwise(case: Case, poison: float) -> None:
    options = case.options()
    clean = [x.clone() for x in case.tensors()]
    valid = options["valid"].flatten(-2) if case.form == "grid" else options["valid"]
    classes = torch.ones(*valid.shape[:-1], case.leads, dtype=torch.bool)
    padding = ~torch.cat([classes, valid], -1).expand(case.batch, -1)[:, None, :, None]  # [B, 1, N, 1]
    expected = results(case, clean, options)
    poisoned = [x.masked_fill(padding, poison) for x in clean]
    for ours, theirs in zip(results(case, poisoned, options), expected, strict=True):
        assert torch.equal(ours, theirs)
        assert not ours.masked_select(padding).any()


@pytest.mark.parametrize("case", FORMS[::2], ids=str)
def test_memory_layouts_agree_bitwise_and_the_output_is_token_major(case: Case) -> None:
    options = case.options()
    expected = results(case)
    for layout in set(LAYOUTS) - {"expanded", "packed_qkv"}:
        other = Case(**(vars(case) | {"layout": layout}))
        for ours, theirs in zip(results(other, options=options), expected, strict=True):
            assert torch.equal(ours, theirs)
            assert ours.transpose(1, 2).is_contiguous()


def test_nan_does_not_reach_the_next_head_of_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    # One program takes all four heads, and the accumulators of the first are NaN.
    monkeypatch.setattr(launch_local, "heads_per_program", lambda *_: 4)
    case = Case("grid", 3, 2, batch=2, heads=2)
    tensors = [x.clone() for x in case.tensors()]
    expected = results(case, tensors)
    for x in tensors:
        x[0, 0] = torch.nan
    for ours, theirs in zip(results(case, tensors), expected, strict=True):
        assert ours[0, 0].isnan().all()
        assert torch.equal(ours[0, 1], theirs[0, 1])
        assert torch.equal(ours[1], theirs[1])


def test_an_empty_batch_gives_an_empty_result() -> None:
    for case in (Case("grid", 3, 2, batch=0, visible="batch"), Case("packed", 3, 2, batch=0)):
        assert all(x.shape == (0, 2, case.tokens, 16) for x in results(case))


@triton.jit
def _store_tile_mask(out, L: tl.constexpr, C: tl.constexpr, R: tl.constexpr):
    row = tl.arange(0, R)
    lead, column, is_class, is_beat = tile_roles(L, C, R)
    low = attended_bits(lead, column, is_class, is_beat, L, C, 0) | tl.where(is_class, bit_at(row, 0), 0)
    high = attended_bits(lead, column, is_class, is_beat, L, C, 1) | tl.where(is_class, bit_at(row, 1), 0)
    tl.store(out + row[:, None] * R + row[None, :], entry_mask(low, high, R).to(tl.uint8))


@pytest.mark.parametrize(
    ("leads", "rows"), [(12, 64), (12, 32), (1, 64), (3, 32), (16, 32), (31, 64), (33, 128), (64, 128)]
)
def test_tile_masks_are_the_attention_table(leads: int, rows: int) -> None:
    columns = rows // leads - 1
    found = torch.full((rows, rows), 7, dtype=torch.uint8)
    _store_tile_mask[(1,)](found, leads, columns, rows)
    # The tile is lead by lead within a column; the grid is beat by beat within a lead.
    beat = torch.arange(leads * columns)
    order = torch.cat([torch.arange(leads), leads + beat % leads * columns + beat // leads])
    used = leads * (columns + 1)
    assert torch.equal(found[:used, :used].bool(), attention_mask(leads, columns)[order][:, order])
    assert not found[used:].any()


@triton.jit
def _store_philox(seed, out, c):
    counter = (tl.zeros([1], tl.int64) + c).to(tl.uint32)
    words = tl.philox(tl.load(seed), counter, counter, counter, counter)
    for i in tl.static_range(4):
        tl.store(out + i + tl.arange(0, 1), words[i].to(tl.int64))


@pytest.mark.parametrize(
    ("seed", "counter", "words"),
    [
        (0, 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (-1, 0xFFFFFFFF, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ],
)
def test_philox_gives_the_published_words(seed: int, counter: int, words: tuple[int, ...]) -> None:
    # Known answers published with Random123 for an all-zero and an all-one counter and key.
    out = torch.zeros(4, dtype=torch.int64)
    _store_philox[(1,)](torch.tensor([seed]), out, counter)
    assert tuple(out.tolist()) == words
