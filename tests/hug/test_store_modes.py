"""Shards, and signals instead of tokens: the same tokens, whichever way they are kept."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import synthetic_ecg as made
import torch

from clear_hug.data import BeatStore, PrepareSettings, StoreError, native, prepare, wfdb_source
from clear_hug.data import store_writer as writer_module
from clear_hug.data.cut_on_device import cut_on_device
from clear_hug.data.dataset import BeatDataset
from clear_hug.data.lazy_rows import LazyRows
from clear_hug.data.signal_rows import quantise
from clear_hug.files import file_checksum, file_hash

SETTINGS = PrepareSettings(beats=7, beat_samples=81)
RECORDS = 11


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of 3 to 9 s, slow and fast, more beats than slots in some; one unreadable, two with a flat lead."""
    base = tmp_path_factory.mktemp("modes")
    for number in range(RECORDS):
        record = made.record(fs=250.0, seconds=3.0 + number % 7, bpm=45.0 + 14 * number)
        if number in (2, 6):
            record.signal[:, 3] = 0.0
        if number == 6:
            record.signal[: len(record.signal) // 2, 5] = 0.25  # falls off: some beats are not valid there
        made.write_record(base / "in", f"r{number:02d}", record.signal, 250.0)
    (base / "in" / "r04.dat").write_bytes(b"")
    return base


@pytest.fixture(scope="module")
def stores(folder: Path) -> dict[str, BeatStore]:
    """The same records in one shard and in several, and as versions 1 to 3 kept them, with every slot."""
    source, held = wfdb_source(folder / "in"), {}
    for name, mode, chunk in (
        ("whole", "tokens", 100),
        ("shards", "tokens", 4),
        ("signals", "signals", 100),
        ("signal shards", "signals", 2),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(writer_module, "CHUNK_RECORDS", chunk)
            held[name] = prepare(source, folder / name, SETTINGS, store=mode).store
    for name, version, starts in (("first", 1, [0]), ("second", 2, [0, 5]), ("third", 3, [0, 4, 6])):
        held[name] = _older(held["whole"], folder / name, version, starts)
    return held


def _older(store: BeatStore, folder: Path, version: int, starts: list[int]) -> BeatStore:
    """The store as an earlier version of the format has it."""
    shutil.copytree(store.path, folder)
    for path in (folder / "tokens.npy", folder / "beat_start.npy"):
        path.unlink()
    parts = np.split(np.asarray(store.tokens), starts[1:])
    for number, part in enumerate(parts):
        np.save(folder / (f"tokens_{number}.npy" if starts[1:] else "tokens.npy"), part)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {"version": version, "shards": starts}
    manifest["identity"]["format_version"] = version
    if version == 1:
        del manifest["shards"], manifest["store"], manifest["identity"]["store"]
    manifest["files"] = {
        path.name: {"bytes": path.stat().st_size}
        | ({"sha256": file_hash(path)} if version < 3 else {"xxh3_128": file_checksum(path)})
        for path in sorted(folder.iterdir())
        if path.name != "manifest.json"
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return BeatStore.open(folder)


def test_shards_hold_the_same_rows(stores: dict[str, BeatStore]) -> None:
    shards, truth = stores["shards"], np.asarray(stores["whole"].tokens)
    assert shards.manifest["shards"] == [0, 4, 8]
    assert sorted(path.name for path in shards.path.glob("tokens*")) == ["tokens_0.npy", "tokens_1.npy", "tokens_2.npy"]
    assert isinstance(shards.tokens, LazyRows)
    np.testing.assert_array_equal(np.asarray(shards.tokens), truth)
    few = np.array([9, 0, 4, 3, 9])
    np.testing.assert_array_equal(shards.tokens.take_leads(few, np.array([11, 2])), truth[few][:, [11, 2]])
    shards.verify()


def test_empty_slots_take_no_space(stores: dict[str, BeatStore]) -> None:
    store = stores["whole"]
    beats = (store.r_index >= 0).sum(axis=1)
    assert 0 == beats[4] < beats.min(where=np.arange(RECORDS) != 4, initial=9) < beats.max() == SETTINGS.slots
    held = np.load(store.path / "tokens.npy", mmap_mode="r")
    assert held.shape == (12 * beats.sum(), 81)
    np.testing.assert_array_equal(np.load(store.path / "beat_start.npy"), np.concatenate(([0], np.cumsum(beats))))
    assert not np.asarray(store.tokens)[~np.asarray(store.valid)].any()


@pytest.mark.parametrize("mode", ["tokens", "signals"])
def test_shards_without_a_beat(folder: Path, tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "CHUNK_RECORDS", 2)
    shutil.copytree(folder / "in", tmp_path / "in")
    for number in (2, 3, 4, 5):
        (tmp_path / "in" / f"r{number:02d}.dat").write_bytes(b"")
    store = prepare(wfdb_source(tmp_path / "in"), tmp_path / "out", SETTINGS, store=mode).store
    store.verify()
    assert [bool(row.any()) for row in np.asarray(store.tokens)] == [number not in (2, 3, 4, 5) for number in range(11)]
    assert not store.tokens[3].any()


def test_chunks_grow_with_the_data_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "CHUNK_RECORDS", 2)
    monkeypatch.setattr(writer_module, "MOST_CHUNKS", 3)
    store = prepare(wfdb_source(folder / "in"), folder / "grown", SETTINGS).store
    assert store.manifest["shards"] == [0, 4, 8]


def test_signals_give_the_same_tokens_but_for_rounding(stores: dict[str, BeatStore]) -> None:
    whole, signals = stores["whole"], stores["signals"]
    assert signals.mode == "signals"
    for name in ("valid", "seconds", "r_index", "usable", "split"):
        np.testing.assert_array_equal(getattr(signals, name), getattr(whole, name))
    tokens = np.asarray(signals.tokens)
    assert (tokens.shape, tokens.dtype) == (whole.tokens.shape, np.float32)
    step = np.asarray(signals.signals.take(np.arange(RECORDS)).gain)[:, :, None, None]
    truth = np.asarray(whole.tokens)
    assert (np.abs(tokens - truth) <= 0.5 * step + 1e-6).all()
    assert not tokens[truth == 0].any()  # what is outside a beat is exactly zero in both
    assert step[np.asarray(whole.valid).any(axis=2)].max() < 1e-4  # mV: a tenth of what recorders resolve
    np.testing.assert_array_equal(np.asarray(stores["signal shards"].tokens), tokens)
    assert len(stores["signal shards"].manifest["shards"]) > 2
    size = {name: sum(path.stat().st_size for path in store.path.iterdir()) for name, store in stores.items()}
    assert size["signals"] < 0.5 * size["whole"]


@pytest.mark.parametrize("name", ["whole", "shards", "signals", "signal shards", "first", "second", "third"])
def test_leads_of_rows(stores: dict[str, BeatStore], name: str) -> None:
    data_set, truth = BeatDataset(stores[name], leads=["V1", "I"]), np.asarray(stores["whole"].tokens)
    for rows in ([7, 1], [0], [-1, 8, 8]):
        picked = data_set.load_batch(rows).tokens
        np.testing.assert_allclose(picked, truth[rows][:, [6, 0]], atol=2e-4 if "signal" in name else 0.0)
    for wrong in ([RECORDS], [0, -RECORDS - 1]):
        with pytest.raises(IndexError, match="out of bounds"):
            data_set.load_batch(wrong)


def test_rows_are_indexed_as_in_numpy(stores: dict[str, BeatStore]) -> None:
    truth = np.array(stores["whole"].tokens)
    mask = np.arange(RECORDS) % 3 == 0
    keys = [0, -1, np.int64(5), slice(None), slice(8, 1, -3), [3, 3, 0, -2], np.array([10, 0]), mask, []]
    keys += [(4, 2), (slice(2, 9), 0, slice(3)), ([7, 1], slice(None), 2)]
    for key in keys:
        for name in ("whole", "shards", "third"):
            np.testing.assert_array_equal(stores[name].tokens[key], truth[key], err_msg=f"{name} {key}")
        rounded = stores["signals"].tokens[key]
        np.testing.assert_allclose(rounded, truth[key], atol=2e-4, err_msg=str(key))
    rows = stores["shards"].tokens
    assert (len(rows), rows.ndim, rows.nbytes) == (RECORDS, 4, truth.nbytes)
    for wrong in (RECORDS, [0, -RECORDS - 1], np.zeros((2, 2), int), [0.5], mask[1:], ...):
        with pytest.raises(IndexError):
            rows[wrong]
    with pytest.raises(ValueError, match="read-only"):
        rows[0] = 0  # type: ignore[index]


def test_the_signal_of_a_record(stores: dict[str, BeatStore]) -> None:
    samples, gain = stores["signals"].signals.one(0)
    assert (samples.dtype, samples.shape[1], gain.shape) == (np.int16, 12, (12,))
    assert len(samples) == 300
    at_the_peaks = samples[stores["signals"].r_index[0, :2], 1] * gain[1]
    np.testing.assert_allclose(at_the_peaks, stores["whole"].tokens[0, 1, :2, 40], atol=1e-4)
    with pytest.raises(StoreError, match="keeps tokens, no signals; prepare it with --store signals"):
        _ = stores["whole"].signals


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("beat_samples", [2, 61, 150])
def test_cutting_on_a_device_is_cutting(beat_samples: int, compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from clear_hug.data import cut_tokens

    rng = np.random.default_rng(0)
    lengths, peaks = [400, 90, 1], [[3, 60, 61, 200, 399], [0, 89], [0]]
    samples = np.zeros((3, 401, 2), dtype=np.int16)
    r_index = np.full((3, 6), -1)
    truth = np.zeros((3, 2, 6, beat_samples), dtype=np.float32)
    for number, (length, r) in enumerate(zip(lengths, peaks, strict=True)):
        samples[number, :length] = rng.integers(-3000, 3000, (length, 2))
        r_index[number, : len(r)] = r
        signal = samples[number, :length] * np.array([0.5, 0.25])
        truth[number] = cut_tokens(signal, np.array(r), fs=100.0, beats=6, beat_samples=beat_samples).tokens
    valid = np.repeat((r_index >= 0)[:, None], 2, axis=1)
    given = (samples, np.array(lengths), np.tile(np.float32([0.5, 0.25]), (3, 1)), r_index, valid)
    if not compiled:
        monkeypatch.setattr(native, "KERNELS", None)
    cut = cut_on_device(*map(torch.from_numpy, given), beat_samples)  # type: ignore[misc]
    np.testing.assert_array_equal(cut.numpy(), truth)
    assert cut.is_contiguous()


@pytest.mark.skipif(native.KERNELS is None, reason="clear_hug._signal is not installed")
def test_a_damaged_store_gives_no_other_memory(stores: dict[str, BeatStore]) -> None:
    signals, shape = stores["signals"].signals, stores["signals"].valid.shape
    r_index, valid = np.array(stores["signals"].r_index), np.ones(shape, dtype=bool)
    r_index[0, :] = [10**9, 3, 2_000_000_000, 50, 40, 2**31 - 1, 7]
    assert np.isfinite(signals.cut(np.array([0, 10]), r_index, valid, 81)).all()
    for rows in ([RECORDS], [-1]):
        with pytest.raises(ValueError, match="no such row"):
            signals.cut(np.array(rows), r_index, valid, 81)
    with pytest.raises(ValueError, match="shapes differ"):
        signals.cut(np.array([0]), r_index[1:], valid, 81)


def test_rounding() -> None:
    signal = np.array([[1.0, 0.0, 1e-9], [-2.0, 0.0, -1e-9], [0.3333, 0.0, 0.0]])
    samples, gain = quantise(signal)
    assert samples[1, 0] == -32767
    assert (np.abs(samples * gain - signal) <= 0.5 * gain * (1 + 1e-6)).all()
    assert quantise(np.zeros((0, 3))).samples.shape == (0, 3)
    assert quantise(np.asfortranarray(signal)).samples.flags.c_contiguous  # as it lies in the file


def test_stores_travel_as_their_path(stores: dict[str, BeatStore]) -> None:
    for store in stores.values():
        _ = store.tokens[0], store.labels, store.names
        sent = pickle.dumps(store)
        assert len(sent) < 1000
        np.testing.assert_array_equal(pickle.loads(sent).tokens[3], store.tokens[3])


@pytest.mark.parametrize("name", ["first", "second", "third"])
def test_earlier_versions_are_still_read(stores: dict[str, BeatStore], name: str) -> None:
    store, truth = stores[name], np.asarray(stores["whole"].tokens)
    np.testing.assert_array_equal(np.asarray(store.tokens), truth)
    store.verify()
    root = store.path.parent / "in"
    assert prepare(wfdb_source(root), store.path, SETTINGS).already_complete
    with pytest.raises(StoreError, match='store "tokens" there, "signals" now'):
        prepare(wfdb_source(root), store.path, SETTINGS, store="signals")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("signals", {"shards": []}, "no manifest of a store"),
        ("signals", {"shards": [0, 99]}, "no manifest of a store"),
        ("shards", {"shards": [0, 8, 4]}, "no manifest of a store"),
        ("shards", {"shards": [0, 4]}, "instead of float32"),
        ("third", {"shards": [0, 4]}, "instead of float32"),
        ("shards", {"beats": 3}, r"beat_start.npy is damaged"),
        ("signals", {"store": "pictures"}, "no manifest of a store"),
    ],
)
def test_contradictions_are_refused(
    stores: dict[str, BeatStore], tmp_path: Path, name: str, change: dict, message: str
) -> None:
    for path in stores[name].path.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, **change}))
    with pytest.raises(StoreError, match=message):
        _ = BeatStore.open(tmp_path).tokens[-1]


@pytest.mark.parametrize("change", [(0, 1), (3, 0), (RECORDS, 1 << 40)])
def test_damaged_places_of_records_are_refused(
    stores: dict[str, BeatStore], tmp_path: Path, change: tuple[int, int]
) -> None:
    shutil.copytree(stores["whole"].path, tmp_path, dirs_exist_ok=True)
    places = np.load(tmp_path / "beat_start.npy")
    places[change[0]] = change[1]
    np.save(tmp_path / "beat_start.npy", places)
    with pytest.raises(StoreError, match=r"beat_start.npy is damaged; prepare the store with --overwrite"):
        _ = BeatStore.open(tmp_path).tokens[-1]


def test_unknown_ways_to_keep_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="unknown store 'pictures'; choose one of tokens, signals"):
        prepare(wfdb_source(folder / "in"), folder / "x", SETTINGS, store="pictures")
    with pytest.raises(ValueError, match="official tokenizer are not cut from a signal again"):
        prepare(wfdb_source(folder / "in"), folder / "x", PrepareSettings("official"), store="signals")
