"""Tokens kept without their empty slots are the same tokens, however many beats and shards there are."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clear_hug.data.packed_rows import PackedRows
from clear_hug.data.shards import Shards


@given(data=st.data())
def test_rows_come_back_as_they_were(data: st.DataObject) -> None:
    leads, slots, samples = (data.draw(st.integers(1, most)) for most in (4, 5, 3))
    beats = data.draw(st.lists(st.integers(0, slots), min_size=1, max_size=9))
    starts = [0, *sorted(data.draw(st.sets(st.integers(1, len(beats)), max_size=3)) - {len(beats)})]
    truth = np.zeros((len(beats), leads, slots, samples), dtype=np.float32)
    for row, count in enumerate(beats):
        truth[row, :, :count] = np.random.default_rng(row).standard_normal((leads, count, samples))
    shards = [
        np.concatenate([truth[row, :, : beats[row]].reshape(-1, samples) for row in range(start, stop)])
        for start, stop in zip(starts, [*starts[1:], len(beats)], strict=True)
    ]
    opened: list[int] = []

    def load(shard: int) -> np.ndarray:
        opened.append(shard)
        return shards[shard]

    packed = PackedRows(Shards(load, starts), np.concatenate(([0], np.cumsum(beats))), truth.shape)
    rows = np.array(data.draw(st.lists(st.integers(0, len(beats) - 1), max_size=12)), dtype=np.int64)
    found = packed.take(rows)
    assert (found.dtype, found.flags.c_contiguous) == (np.float32, True)
    np.testing.assert_array_equal(found, truth[rows])
    some = np.array(data.draw(st.lists(st.integers(0, leads - 1), max_size=5)), dtype=np.int64)
    np.testing.assert_array_equal(packed.take_leads(rows, some), truth[rows][:, some])
    assert len(opened) == len({*opened})  # each file once, and only those that are needed
    assert {*opened} == {*(np.searchsorted(starts, rows, side="right") - 1).tolist()}
