"""The preparation benchmark: the published work is what was published, and all figures are printed."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from clear_hug.data.official import official_tokens
from clear_hug.simulate import write_dataset
from preparation.measure import SideBySide, prepared, random_access, repeated
from preparation.published import STAGES, cut, published_record
from prepare_bench import main, parse


def test_the_published_tokens_are_cut() -> None:
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((1000, 12))
    for peaks in ([17, 90, 170, 420, 930, 990], [500], [10], list(range(20, 1000, 50))):
        expected = official_tokens(signal, np.array(peaks)).tokens
        np.testing.assert_array_equal(cut(signal, peaks).astype(np.float32), expected)


def test_the_published_work_has_four_stages(tmp_path: Path) -> None:
    write_dataset(tmp_path, 1, seed=0)
    spent: dict[str, float] = {}
    tokens = published_record(tmp_path / "sim00000", spent)
    assert tokens.shape == (12, 15, 96)
    assert np.abs(tokens[1, 3]).max() > 0.2  # a heartbeat, in mV
    assert tuple(spent) == STAGES


def test_records_are_repeated_in_turn(tmp_path: Path) -> None:
    write_dataset(tmp_path, 2, seed=0)
    source = repeated(tmp_path, 5)
    assert source.paths == ("sim00000", "sim00001", "sim00000", "sim00001", "sim00000")
    assert len(set(source.names)) == 5


def test_what_is_compared_takes_turns(tmp_path: Path) -> None:
    write_dataset(tmp_path / "in", 2, seed=0)
    source = repeated(tmp_path / "in", 300)  # three chunks
    beside = SideBySide(source, published=1, alone=2)
    seen: list[int] = []

    def between() -> None:
        seen.append(len(list((tmp_path / "out.partial").glob("chunks/*.json"))))
        beside.step()

    store, rate = prepared(source, tmp_path / "out", "tokens", 1, between, 3)
    assert len(store) == rate.records == 300
    assert seen == [0, 1, 2]
    assert (beside.theirs.records, beside.alone.records) == (3, 6)
    assert tuple(beside.spent) == STAGES


def test_random_access_counts_records() -> None:
    sizes: list[int] = []
    rate = random_access(lambda rows: sizes.append(len(rows)), 10, 4, 0.01)
    assert sizes[:3] == [4, 4, 2]
    assert {*sizes[3:]} == {4}
    assert rate > 0


def test_the_report(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["--records", "6", "--originals", "2", "--published", "2", "--seconds", "0.01", "--folder", str(tmp_path)]
    assert main(words) == 0
    text = capsys.readouterr().out
    for said in (
        "published work, in Python",
        "store of tokens",
        "store of signals",
        "opens in",
        "random access",
        "goal",
    ):
        assert said in text
    assert not list(tmp_path.iterdir())


def test_the_figures_as_csv(tmp_path: Path) -> None:
    out = tmp_path / "results" / "prepare.csv"
    words = ["--records", "3", "--originals", "2", "--published", "2", "--seconds", "0.01", "--csv", str(out)]
    assert main(words) == 0
    with out.open(newline="") as stream:
        rows = {(row["work"], row["unit"]): row for row in csv.DictReader(stream)}
    for work in ("published work, in Python", "prepare, up to the tokens", "prepare, store of tokens"):
        assert float(rows[work, "ms of processor time per record"]["value"]) > 0
    assert rows["published work, in Python", "of the published work's rate"]["value"] == "1"
    cut = rows["store of signals, tokens as arrays, one by one", "records per s and core"]
    assert (int(cut["records"]), int(cut["workers"])) == (3, 1)
    assert all(cut[name] for name in ("device", "kernels", "torch", "python", "numpy", "scipy", "wfdb", "commit"))
    assert [path.name for path in out.parent.iterdir()] == ["prepare.csv"]


def test_twenty_thousand_records_by_default() -> None:
    assert parse([]).records >= 20_000
