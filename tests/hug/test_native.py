"""The compiled kernels of the preparation and their twins in NumPy give the same bits."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.signal
import synthetic_ecg as made
import torch
from hypothesis import given, settings

from clear_hug.data import BeatStore, PrepareSettings, native, prepare, prepare_record, read_wfdb, wfdb_source
from clear_hug.data.arm_leg import arm_leg_score
from clear_hug.data.beat_candidates import search_beats
from clear_hug.data.beat_evidence import rhythm
from clear_hug.data.beat_settings import BeatSettings
from clear_hug.data.beat_windows import beat_pieces, strongest_places
from clear_hug.data.cut_on_device import cut_on_device
from clear_hug.data.fir import fir_filter
from clear_hug.data.lead_comparison import compare_leads
from clear_hug.data.order_statistics import cell_count, cell_extremes, ranked, running_maximum, running_median
from clear_hug.data.qrs_energy import QRSEnergy, lead_weights, weighed_sum
from clear_hug.data.qrs_locate import locate_r_peaks
from clear_hug.data.qrs_peaks import candidate_peaks, spaced_peaks
from clear_hug.data.qrs_similarity import most_similar
from clear_hug.data.resample import map_indices
from clear_hug.data.sample_checks import finite_range, lead_facts
from clear_hug.data.signal_rows import quantise
from clear_hug.data.tokens import cut_tokens
from clear_hug.leads import STANDARD_LEADS

pytestmark = pytest.mark.skipif(native.KERNELS is None, reason="clear_hug._signal is not installed")

RNG = np.random.default_rng(0)
ROWS = RNG.standard_normal((5, 1234)).astype(np.float32)
STEPS = np.round(4 * ROWS) / 4  # many equal samples, and zeros of both signs


def both(call: Callable[[], Any]) -> tuple[Any, Any]:
    """What a call gives with the kernels, and without them."""
    with pytest.MonkeyPatch.context() as patch:
        compiled = call()
        patch.setattr(native, "KERNELS", None)
        return compiled, call()


def same(call: Callable[[], Any]) -> None:
    """Fails unless both give the same bits."""
    compiled, plain = both(call)
    for one, other in zip(_arrays(compiled), _arrays(plain), strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert one.tobytes() == other.tobytes()


def _arrays(found: Any) -> list[np.ndarray]:
    return [np.asarray(array) for array in (found if isinstance(found, tuple | list) else [found]) if array is not None]


@settings(deadline=None, max_examples=60)
@given(
    up=st.sampled_from([1, 1, 1, 2, 5, 25]),
    down=st.integers(1, 19),
    half=st.integers(0, 60),
    count=st.integers(1, 1234),
    ends=st.sampled_from(["zero", "hold", "line", "mirror"]),
)
def test_filters(up: int, down: int, half: int, count: int, ends: str) -> None:
    taps = np.random.default_rng(half).standard_normal(2 * half + 1)
    rows = np.ascontiguousarray(ROWS[:, :count])
    same(lambda: fir_filter(taps, up, down)(rows, ends))
    if count > 2 * half:
        same(lambda: fir_filter(taps, 1, down)(rows, "given"))


@settings(deadline=None, max_examples=40)
@given(
    starts=st.lists(st.integers(-200, 1400), min_size=1, max_size=7),
    count=st.integers(1, 150),
    ends=st.sampled_from(["zero", "hold", "line", "mirror"]),
)
def test_windows(starts: list[int], count: int, ends: str) -> None:
    same(lambda: fir_filter(scipy.signal.firwin(63, 0.2)).around(ROWS, np.array(starts, dtype=np.int64), count, ends))


@settings(deadline=None, max_examples=60)
@given(count=st.integers(1, 1234), size=st.integers(1, 45), every=st.integers(1, 7), steps=st.booleans())
def test_order_statistics(count: int, size: int, every: int, steps: bool) -> None:
    rows = np.ascontiguousarray((STEPS if steps else ROWS)[:, :count])
    same(lambda: ranked(rows, (0, count // 2, count - 1)))
    same(lambda: running_median(rows, size, every))
    same(lambda: running_maximum(np.abs(rows), 2 * (size // 2) + 1))
    same(lambda: cell_extremes(np.abs(rows), size))


@settings(deadline=None, max_examples=40)
@given(count=st.integers(1, 1234), fs=st.sampled_from([50.0, 100.0, 257.0, 400.0, 500.0, 1000.0]), steps=st.booleans())
def test_facts_of_leads(count: int, fs: float, steps: bool) -> None:
    same(lambda: lead_facts(np.ascontiguousarray((STEPS if steps else ROWS)[:, :count]), fs))


def test_facts_of_long_recordings() -> None:
    rows = np.random.default_rng(1).standard_normal((2, 70_000)).astype(np.float32)
    for fs in (100.0, 360.0, 500.0):
        same(lambda fs=fs: lead_facts(rows, fs))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 63, 640, 1233])
def test_a_sample_that_is_no_number(value: float, at: int) -> None:
    rows = ROWS.copy()
    rows[3, at] = value
    assert both(lambda: finite_range(rows)) == (None, None)
    assert both(lambda: lead_facts(rows, 500.0)) == (None, None)


@settings(deadline=None, max_examples=40)
@given(count=st.integers(20, 1234), cell=st.integers(1, 30), scale=st.sampled_from([0.0, 1e-7, 1.0, 1e4]))
def test_energy(count: int, cell: int, scale: float) -> None:
    energy = np.ascontiguousarray(np.square(ROWS[:, :count]) * np.float32(scale))
    energy[1] = 0.0
    same(lambda: lead_weights(energy, cell, BeatSettings()))
    height, weight = (np.ascontiguousarray(1 + np.square(ROWS[:, : -(-count // cell)])) for _ in range(2))
    same(lambda: weighed_sum(energy, height, weight, cell, 2.0))


@settings(deadline=None, max_examples=30)
@given(count=st.integers(1, 6000), leads=st.integers(1, 4), scale=st.sampled_from([0.0, 1e-9, 1.0]))
def test_search(count: int, leads: int, scale: float) -> None:
    # A beat per second or so, in noise: up to 300 candidates, and windows that reach beyond the ends.
    rng = np.random.default_rng(count)
    rows = 0.1 * rng.standard_normal((leads, count))
    rows[:, :: int(rng.integers(40, 120))] += rng.uniform(-2.0, 2.0, (leads, 1))
    coarse = (np.float32(scale) * rows).astype(np.float32)

    def found() -> Any:
        search = search_beats(coarse, BeatSettings())
        if search is None:
            return ()
        seen = search.candidates
        return (seen.place, seen.height, seen.clearness, search.similar, search.weight, np.float32(search.contrast))

    same(found)


@settings(deadline=None, max_examples=60)
@given(values=st.lists(st.integers(0, 6), max_size=120), distance=st.integers(1, 20))
def test_peaks(values: list[int], distance: int) -> None:
    curve = np.array(values, dtype=np.float32)
    same(lambda: spaced_peaks(curve, distance))
    if values:
        cell = min(distance, len(values))
        weight = np.ones((1, cell_count(len(values), cell)), dtype=np.float32)
        energy = QRSEnergy(curve, 100.0, np.ones(1, dtype=np.float32), weight, cell)
        same(
            lambda: (found := candidate_peaks(energy, BeatSettings())) and (found.place, found.height, found.clearness)
        )


@settings(deadline=None, max_examples=60)
@given(gaps=st.lists(st.tuples(st.integers(1, 200), st.booleans()), min_size=1, max_size=40))
def test_rhythm(gaps: list[tuple[int, bool]]) -> None:
    place = np.cumsum([gap for gap, _ in gaps])
    sure = np.array([beat for _, beat in gaps])
    same(lambda: rhythm(place, sure))


@settings(deadline=None, max_examples=40)
@given(count=st.integers(1, 9), likely=st.integers(1, 9), size=st.integers(1, 40), flat=st.booleans())
def test_windows_around_beats(count: int, likely: int, size: int, flat: bool) -> None:
    windows = np.random.default_rng(size).standard_normal((4, count, size)).astype(np.float32)
    if flat:
        windows[2] = 0.0
    weight = np.abs(np.random.default_rng(count).standard_normal((4, count))).astype(np.float32)
    same(lambda: strongest_places(windows, weight))
    same(lambda: beat_pieces(windows, np.arange(min(likely, count)), weight))


@settings(deadline=None, max_examples=40)
@given(
    count=st.integers(1, 9),
    others=st.lists(st.integers(-3, 11), min_size=1, max_size=11, unique=True),
    lags=st.integers(1, 8),
    size=st.integers(1, 30),
)
def test_similarity(count: int, others: list[int], lags: int, size: int) -> None:
    rng = np.random.default_rng(size)
    mine = rng.standard_normal((count, 3, size + lags - 1)).astype(np.float32)
    theirs = rng.standard_normal((len(others), 3, size + lags - 1)).astype(np.float32)
    for place, own in enumerate(others):
        if 0 <= own < count:
            theirs[place] = mine[own]
    same(lambda: most_similar(mine, theirs, np.array(others, dtype=np.int64), size, (1, 3)))


@settings(deadline=None, max_examples=40)
@given(
    peaks=st.sets(st.integers(0, 299), max_size=20),
    beats=st.integers(1, 12),
    beat_samples=st.integers(1, 90),
    flat=st.sampled_from([0.0, 1.5]),
)
def test_tokens_and_stored_signals(peaks: set[int], beats: int, beat_samples: int, flat: float) -> None:
    signal, r_index = ROWS[:, :300].T, np.array(sorted(peaks), dtype=np.int64)
    same(lambda: cut_tokens(signal, r_index, fs=50.0, beats=beats, beat_samples=beat_samples, flat_mv=flat)[:4])
    same(lambda: quantise(signal[: 1 + len(peaks)] * np.float32(1.5)))


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=4),
    leads=st.sampled_from([1, 2, 11, 12, 13]),
    beats=st.integers(1, 9),
    beat_samples=st.integers(1, 160),
)
def test_tokens_out_of_stored_signals(lengths: list[int], leads: int, beats: int, beat_samples: int) -> None:
    rng = np.random.default_rng(beat_samples)
    samples = np.zeros((len(lengths), max(lengths) + 1, leads), dtype=np.int16)
    r_index = np.full((len(lengths), beats), -1)
    for row, length in enumerate(lengths):
        samples[row, :length] = rng.integers(-32767, 32768, (length, leads))
        peaks = np.sort(rng.choice(length, min(int(rng.integers(0, beats + 1)), length), replace=False))
        r_index[row, : len(peaks)] = peaks
    gain = rng.uniform(1e-5, 1e-3, (len(lengths), leads)).astype(np.float32)
    valid = rng.random((len(lengths), leads, beats)) < 0.8
    given_ = [torch.from_numpy(array) for array in (samples, np.array(lengths), gain, r_index, valid)]
    same(lambda: cut_on_device(*given_, beat_samples).numpy())


@settings(deadline=None, max_examples=40)
@given(
    count=st.integers(1, 1234), leads=st.sets(st.integers(0, 11), max_size=12), scale=st.sampled_from([0.0, 1.0, 1e4])
)
def test_comparisons_of_leads(count: int, leads: set[int], scale: float) -> None:
    names = tuple(STANDARD_LEADS[lead] for lead in sorted(leads))
    rows = np.random.default_rng(count).standard_normal((len(names), count)).astype(np.float32)
    same(lambda: tuple(compare_leads(rows * np.float32(scale), names, 100.0)[:3]))


@settings(deadline=None, max_examples=40)
@given(
    peaks=st.sets(st.integers(0, 1233), max_size=25),
    fs=st.sampled_from([50.0, 100.0, 250.0]),
    leads=st.sampled_from([("I", "II"), ("II", "V1", "I"), ("V1", "V2", "V3")]),
)
def test_p_waves(peaks: set[int], fs: float, leads: tuple[str, ...]) -> None:
    place = np.array(sorted(peaks), dtype=np.int64)
    same(lambda: np.float64(arm_leg_score(STEPS[: len(leads)].T, place, leads, fs)))


@settings(deadline=None, max_examples=40)
@given(
    rough=st.sets(st.integers(-20, 1260), max_size=15),
    fs=st.sampled_from([100.0, 257.0, 500.0]),
    ratio=st.sampled_from([(100.0, 500.0), (500.0, 100.0), (257.0, 360.0)]),
)
def test_places(rough: set[int], fs: float, ratio: tuple[float, float]) -> None:
    place = np.array(sorted(rough), dtype=np.int64)
    same(lambda: map_indices(place, *ratio, 1234))
    weight = np.abs(np.random.default_rng(len(rough)).standard_normal((len(ROWS), len(place)))).astype(np.float32)
    same(lambda: locate_r_peaks(ROWS, fs, place, weight, BeatSettings()))


@pytest.mark.parametrize("fs", [100.0, 257.0, 400.0, 500.0])
def test_whole_recordings(fs: float) -> None:
    record = made.record(fs=fs, seconds=11.0, bpm=77.0)
    record.signal[:] += 0.02 * np.random.default_rng(2).standard_normal(record.signal.shape)
    record.signal[:, 4] = 0.2
    record.signal[100:110, 1] = np.nan
    record.signal[round(3.21 * fs), :] += 4.0  # a pacing spike
    for changed in (record, replace(record, signal=record.signal[:, :2], leads=record.leads[:2])):
        compiled, plain = both(lambda record=changed: prepare_record(record, PrepareSettings(), keep_signal=True))
        assert compiled.beats_found > 5
        assert (compiled.flag, compiled.notes) == (plain.flag, plain.notes)
        for name in ("tokens", "valid", "seconds", "r_index"):
            assert getattr(compiled, name).tobytes() == getattr(plain, name).tobytes()
        for one, other in zip(compiled.signal, plain.signal, strict=True):
            assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("mode", ["tokens", "signals"])
def test_whole_stores(tmp_path: Path, mode: str) -> None:
    for number in range(4):
        record = made.record(fs=500.0, seconds=10.0, bpm=50.0 + 30 * number)
        made.write_record(tmp_path / "in", f"r{number}", record.signal, 500.0)
    source = wfdb_source(tmp_path / "in")
    names = iter("ab")
    one, other = both(lambda: prepare(source, tmp_path / next(names), store=mode).store.path)
    files = sorted(path.name for path in one.iterdir())
    assert files == sorted(path.name for path in other.iterdir())
    for name in files:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    same(lambda: BeatStore.open(one).tokens[[2, 0, 3, 3]])
    same(lambda: BeatStore.open(one).tokens[1])


DIGEST = """
import hashlib, sys, tempfile
from pathlib import Path
from clear_hug.data import PrepareSettings, native, prepare, prepare_record, read_wfdb, wfdb_source
digest = hashlib.sha256()
for header in sorted(Path(sys.argv[1]).glob("*.hea")):
    digest.update(prepare_record(read_wfdb(header), PrepareSettings()).tokens.tobytes())
with tempfile.TemporaryDirectory() as folder:
    store = prepare(wfdb_source(Path(sys.argv[1])), Path(folder) / "out", store="signals").store
    digest.update(store.tokens[:].tobytes())
print(native.KERNELS and native.KERNELS.isa(), digest.hexdigest())
"""


def test_every_instruction_set(tmp_path: Path) -> None:
    for fs in (257.0, 400.0, 500.0):
        made.write_record(tmp_path, f"r{fs:.0f}", made.record(fs=fs, seconds=10.0, bpm=83.0).signal, fs)

    def digest(wanted: str) -> tuple[str, ...]:
        command, own = [sys.executable, "-c", DIGEST, str(tmp_path)], {**os.environ, "CLEAR_HUG_NATIVE": wanted}
        return tuple(subprocess.run(command, env=own, check=True, capture_output=True, text=True).stdout.split())

    _, plain = digest("0")
    for isa in native.KERNELS.isas():
        assert digest(isa) == (isa, plain)


def test_real_recordings(shared_dir: Path) -> None:
    headers = sorted((shared_dir / "data" / "ptbxl" / "records500").rglob("*.hea"))[::9]
    for header in headers:
        compiled, plain = both(lambda header=header: prepare_record(read_wfdb(header), PrepareSettings()))
        assert compiled.tokens.tobytes() == plain.tokens.tobytes()
        assert (compiled.flag, compiled.notes) == (plain.flag, plain.notes)


def test_arrays_of_another_kind_are_refused() -> None:
    for wrong in (ROWS.astype(np.float64), ROWS.astype(np.int32), ROWS[0], ROWS[:, :0]):
        with pytest.raises((TypeError, ValueError)):
            native.KERNELS.filter(wrong, np.ones((1, 3), np.float32), 1, 1, 0)
