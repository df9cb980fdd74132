"""A store of which some bytes were changed gives a clear error or arrays of the promised shape, and never a crash."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import synthetic_ecg as made
from hypothesis import given
from hypothesis import strategies as st

from clear_hug.data import BeatStore, PrepareSettings, StoreError, prepare, wfdb_source
from clear_hug.data import store_writer as writer_module
from clear_hug.data.dataset import BeatDataset
from clear_hug.data.store_summary import summarise

RECORDS = 7
_HEADER = 128
"""Bytes of the header of a `.npy` file."""


@pytest.fixture(scope="module", params=["tokens", "signals"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("fuzz")
    for number in range(RECORDS):
        signal = made.record(fs=100.0, seconds=3.0, bpm=60.0 + 15 * number).signal
        made.write_record(base / "in", f"r{number}", signal, fs=100.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_module, "CHUNK_RECORDS", 3)
        settings = PrepareSettings(beats=4, beat_samples=30)
        prepare(wfdb_source(base / "in"), base / "store", settings, store=request.param)
    return base / "store"


@given(data=st.data())
def test_changed_bytes(store: Path, data: st.DataObject) -> None:
    copy = store.with_name("copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(store, copy)
    path = copy / data.draw(st.sampled_from(sorted(path.name for path in copy.iterdir())))
    content = bytearray(path.read_bytes())
    everywhere, header = st.integers(0, len(content) - 1), st.integers(0, min(_HEADER, len(content)) - 1)
    for place in data.draw(st.lists(everywhere | header, min_size=1, max_size=12)):
        content[place] = data.draw(st.integers(0, 255) | st.sampled_from([0, 10, 34, 44, 255]))
    path.write_bytes(content)
    with suppress(StoreError):
        opened = BeatStore.open(copy)
        assert len(opened.names) == len(opened.flags) == len(opened.quality) == len(opened.sources) == RECORDS
        assert summarise(opened).records == RECORDS
        assert np.asarray(opened.tokens).shape == (RECORDS, 12, 4, 30)
        if not opened.usable.any():
            return
        data_set = BeatDataset(opened, leads=["V1", "II"])
        assert data_set.load_batch(np.arange(RECORDS)).valid.shape == (RECORDS, 2, 4)
        if opened.mode == "signals":
            cut = BeatDataset(opened, cut_later=True).load_batch(np.arange(RECORDS)).cut()
            assert cut.tokens.shape == (RECORDS, 12, 4, 30)
