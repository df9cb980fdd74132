"""Published splits by record number, and splits drawn by name."""

from __future__ import annotations

import numpy as np
import pytest

from clear_hug.data.splits import (
    hashed_split,
    known_split,
    published_split,
    same_recording,
    sides_of_recordings,
)


@pytest.mark.parametrize(
    ("data_set", "counts"),
    [("cpsc2018", (0, 4950, 551, 1376)), ("csn", (22525, 16546, 1860, 4620)), ("ptbxl", (30, 17424, 2185, 2198))],
)
def test_published_splits_have_their_published_sizes(data_set: str, counts: tuple[int, ...]) -> None:
    split = published_split(data_set)
    assert tuple(np.bincount(split + 1, minlength=4)) == counts
    with pytest.raises(ValueError, match="read-only"):
        split[0] = 0


def test_the_split_of_cpsc2018_is_the_rule_over_an_order_of_its_own() -> None:
    """A machine's listing, which no sorting makes again: it shares the sizes with the table, not the records."""
    from sklearn.model_selection import train_test_split

    rest, test = train_test_split(np.arange(6877), test_size=0.2, random_state=42)
    train, validation = train_test_split(rest, test_size=0.1, random_state=42)
    assert [len(train), len(validation), len(test)] == np.bincount(published_split("cpsc2018")).tolist()
    assert 0.15 < (published_split("cpsc2018")[test] == 2).mean() < 0.25


def test_no_number_of_records_gives_the_sizes_of_csn() -> None:
    """So that the published split is no drawing from the records that are left, and has to be a table."""
    sizes = np.bincount(published_split("csn")[published_split("csn") >= 0]).tolist()
    for total in range(20_000, 46_000):
        test = -(-total // 5)
        validation = -(-(total - test) // 10)
        assert [total - test - validation, validation, test] != sizes


def test_records_are_known_by_name() -> None:
    # As the public split files have them.
    assert [known_split(name) for name in ("A6729", "A2600", "A4898")] == [2, 1, 0]
    assert [known_split(name) for name in ("JS18048", "JS44279", "JS08246", "JS00006")] == [2, 1, 0, -1]
    assert known_split("A9999") == known_split("JS99999") == known_split("HR99999") == -1
    assert [known_split(name) for name in ("E00001", "Q0001", "S0001", "A001", "JS1", "x00001_lr")] == [None] * 6


def test_ptbxl_and_its_challenge_copy_are_one_recording() -> None:
    assert same_recording("HR00009") == same_recording("00009_lr") == same_recording("00009_hr")
    assert same_recording("HR00009") != same_recording("HR00010")
    assert same_recording("E00009") == "E00009"
    for number in (1, 8, 9, 21837):
        assert known_split(f"HR{number:05d}") == known_split(f"{number:05d}_lr") == known_split(f"{number:05d}_hr")


def test_ptbxl_folds_are_those_of_its_table(shared_dir) -> None:
    from clear_hug.data import ptbxl_source

    source = ptbxl_source(shared_dir / "data" / "ptbxl")
    np.testing.assert_array_equal([known_split(name) for name in source.names], source.split)


def test_a_drawn_split_depends_on_nothing_but_the_key() -> None:
    keys = [str(number) for number in range(4000)]
    split = hashed_split(keys, (0.7, 0.15, 0.15), "set")
    np.testing.assert_array_equal(hashed_split(keys[::-1], (0.7, 0.15, 0.15), "set")[::-1], split)
    np.testing.assert_array_equal(hashed_split(keys[7:9], (0.7, 0.15, 0.15), "set"), split[7:9])
    np.testing.assert_allclose(np.bincount(split) / 4000, (0.7, 0.15, 0.15), atol=0.025)
    assert (hashed_split(keys, (0.7, 0.15, 0.15), "other") != split).any()
    assert set(hashed_split(keys, (0.9, 0.1, 0.0), "set").tolist()) == {0, 1}


@pytest.mark.parametrize("drawn", [0, 1, 2])
def test_copies_of_a_recording_have_one_side_the_published_one_where_there_is_one(drawn: int) -> None:
    names = ["HR00009", "mine", "00009_lr", "A0001", "mine"]
    sides = sides_of_recordings(names, np.array([drawn, 2, (drawn + 1) % 3, drawn, 0], dtype=np.int8))
    assert sides.tolist() == [known_split("HR00009"), 2, known_split("HR00009"), known_split("A0001"), 2]
