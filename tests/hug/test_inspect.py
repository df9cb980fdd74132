"""`clear-hug inspect`: the figures of a store against their definitions, the picture, the checksums, the errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import synthetic_ecg as made
from test_cli import call, refused

from clear_hug.data import BeatStore, PrepareSettings, prepare, wfdb_source
from clear_hug.data.store_summary import cycle_coverage, heart_rates, summarise
from clear_hug.record_picture import draw_tokens


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five records of 50 to 110 bpm; V2 of r1 is flat, r3 is unreadable, r4 has more beats than slots."""
    base = tmp_path_factory.mktemp("inspect")
    lines = ["record,split,A,B"]
    for number, bpm in enumerate((50.0, 60.0, 75.0, 90.0, 110.0)):
        signal = made.record(fs=100.0, seconds=8.0, bpm=bpm).signal
        if number == 1:
            signal[:, 7] = 0.0
        made.write_record(base / "in", f"r{number}", signal, 100.0)
        lines.append(f"r{number},{'train' if number < 3 else 'test'},{number % 2},{int(number > 2)}")
    (base / "in" / "r3.dat").write_bytes(b"")
    (base / "labels.csv").write_text("\n".join(lines))
    prepare(wfdb_source(base / "in", base / "labels.csv"), base / "beats", PrepareSettings(beats=9, beat_samples=100))
    return base


def test_the_figures_of_a_store(folder: Path) -> None:
    store = BeatStore.open(folder / "beats")
    summary = summarise(store)
    assert (summary.records, summary.flagged, summary.noted) == (5, 1, 3)
    assert summary.reasons == {"unreadable": 1}
    assert summary.findings == {"flat": 1}
    assert summary.splits == {"train": 3, "val": 0, "test": 1, "none": 0}
    kept = (np.asarray(store.r_index) >= 0).sum()
    assert (summary.beats, summary.tokens) == (kept, np.asarray(store.valid).sum())
    assert summary.beats_found > summary.beats == 7 + 8 + 9 + 9
    assert summary.beats_kept == summary.beats / summary.beats_found
    assert summary.lead_share["V1"] == 1.0
    assert summary.lead_share["V2"] == pytest.approx(1 - 8 / kept)
    assert summary.heart_rate is not None
    assert summary.heart_rate.low == pytest.approx(50, abs=0.5)
    assert summary.heart_rate.high == pytest.approx(110, abs=0.7)
    assert json.loads(json.dumps(summary.to_dict()))["cycle_covered"] == summary.cycle_covered


def test_heart_rate_is_mean_over_the_intervals() -> None:
    rates = heart_rates(np.array([[0, 100, 250, -1], [5, -1, -1, -1], [-1, -1, -1, -1], [10, 60, 110, 160]]), 100.0)
    np.testing.assert_allclose(rates, [48.0, np.nan, np.nan, 120.0])


def test_the_covered_share_is_that_of_the_samples_in_tokens() -> None:
    """Counted sample by sample from the tokens that the tokenizer cuts."""
    from clear_hug.data import cut_tokens

    r_index = np.array([30, 90, 171, 400, 462, 700])
    for samples in (20, 51, 96, 300):
        grid = cut_tokens(np.ones((800, 1)), r_index, fs=100.0, beats=8, beat_samples=samples)
        inside = np.zeros(800, dtype=bool)
        for slot, r in enumerate(r_index):
            for at in np.flatnonzero(grid.tokens[0, slot]):
                inside[r - samples // 2 + at] = True
        expected = inside[r_index[0] : r_index[-1]].sum()
        assert cycle_coverage(grid.r_index[None], samples) == (expected, r_index[-1] - r_index[0])


def test_the_command_prints_them(folder: Path) -> None:
    text = call("inspect", folder / "beats", "--flagged", 3, "--verify")
    for said in (
        "files agree with their checksums",
        "records: 5, of them flagged 1, with notes 3",
        "flagged: 1 unreadable",
        "finding: 1 flat",
        "3 train, 0 val, 1 test",
        "r3: unreadable: record r3: r3.dat is truncated",
        "beats tokenizer",
        "format version 4, tokens in 1 shard;",
        "numpy",
        "task labels",
    ):
        assert said in text, (said, text)
    figures = json.loads(call("inspect", folder / "beats", "--json", "--verify"))
    assert (figures["records"], figures["flagged"]) == (5, 1)


def test_a_record_is_drawn_by_name_or_row(folder: Path, tmp_path: Path) -> None:
    text = call("inspect", folder / "beats", "r1", "--out", tmp_path / "one.png")
    assert "Record r1, row 1: 8 beats kept, 60 per minute, labels: A" in text
    assert "V2 flat" in text
    assert (tmp_path / "one.png").stat().st_size > 20_000
    assert "Record r4, row 4" in call("inspect", folder / "beats", 4, "--out", tmp_path / "two.png")


def test_a_record_as_json(folder: Path, tmp_path: Path) -> None:
    said = json.loads(call("inspect", folder / "beats", "r1", "--json"))
    assert (said["record"], said["row"], said["split"], said["flag"]) == ("r1", 1, "train", "")
    assert (len(said["r_peaks_s"]), round(said["heart_rate"])) == (8, 60)
    assert (said["valid_beats"]["I"], said["valid_beats"]["V2"]) == (8, 0)
    assert said["classes"] == {"labels": ["A"]}
    flagged = json.loads(call("inspect", folder / "beats", "r3", "--json"))
    assert flagged["flag"].startswith("unreadable")
    assert (flagged["r_peaks_s"], flagged["heart_rate"]) == ([], None)
    call("inspect", folder / "beats", "r1", "--json", "--out", tmp_path / "drawn.png")
    assert (tmp_path / "drawn.png").is_file()


def test_what_a_picture_shows(folder: Path) -> None:
    store = BeatStore.open(folder / "beats")
    figure = draw_tokens(store.tokens[1], store.valid[1], store.r_index[1], store.fs, store.leads, title="r1")
    over_time, laid_over = figure.axes
    texts = [text.get_text() for text in over_time.texts]
    assert set(store.leads) < set(texts)
    assert texts.count("no valid beat") == 1
    assert len(over_time.patches) == 8  # one shaded span per beat
    assert len(over_time.lines) == 8 * 11 + 1  # one trace per valid token, and the row of R peaks
    assert len(laid_over.lines) == 8 * 11 + 1
    marks = over_time.lines[-1].get_xdata()
    np.testing.assert_allclose(np.asarray(marks), store.r_index[1][store.r_index[1] >= 0] / store.fs)


def test_refusals(folder: Path, tmp_path: Path) -> None:
    assert "record r3 is flagged, so it has no beats to draw: unreadable" in refused("inspect", folder / "beats", "r3")
    assert "has no record 'r11', and no row of that number; is it r1" in refused("inspect", folder / "beats", "r11")
    assert "name the record after the store" in refused("inspect", folder / "beats", "--out", tmp_path / "x.png")
    assert "there is no store at" in refused("inspect", tmp_path / "none")
    text = refused("inspect", folder / "beats", "r1", "--out", tmp_path / "x.foo")
    assert "x.foo is no picture; its name must end in one of .png" in text
    assert "Record r1" not in text


def test_damage_is_named(folder: Path, tmp_path: Path) -> None:
    for path in (folder / "beats").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = bytearray((tmp_path / "valid.npy").read_bytes())
    content[-1] ^= 1
    (tmp_path / "valid.npy").write_bytes(content)
    assert "valid.npy was changed or damaged" in refused("inspect", tmp_path, "--verify")
