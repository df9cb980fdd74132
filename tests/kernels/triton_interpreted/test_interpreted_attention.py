"""Forward and all gradients of every use against dense masked attention in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from attention_cases import Case
from hypothesis import example, given, settings
from interpreted import check, small_cases

from clear_kernels.triton import fitting, launch, launch_dense, launch_local, neighbours, tiling, tuning
from clear_kernels.triton.tiling import DenseTile, LocalTile, Target, Tile, WholeTile
from clear_kernels.triton.tuning import Question

HALF = {"dtype": torch.float16}


@settings(max_examples=14)
@given(case=small_cases("grid"))
def test_grids(case: Case) -> None:
    check(case)


@settings(max_examples=8)
@given(case=small_cases("packed"))
def test_packed_tokens(case: Case) -> None:
    check(case)


# Logits of up to some hundred: recomputed weights are then off by enough to show in gradients that are nearly 0.
LARGE: dict[str, Any] = {"dtype": torch.float32, "amplitude": 4.0}


@settings(max_examples=18)
@given(case=small_cases("grid", **LARGE))
@example(case=Case("grid", 3, 5, dim=40, layout="expanded", seed=477981866, **LARGE))
@example(case=Case("grid", 2, 3, heads=1, dim=40, layout="strided_last", visible=True, seed=1551298954, **LARGE))
def test_grids_of_large_logits(case: Case) -> None:
    check(case)


@settings(max_examples=12)
@given(case=small_cases("packed", **LARGE))
@example(case=Case("packed", 1, 14, dim=24, layout="heads_first", lead="batch", seed=4175086677, **LARGE))
def test_packed_tokens_of_large_logits(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("dim", [32, 96])
def test_heartbeat_local_at_the_size_of_the_paper(dim: int) -> None:
    check(Case("grid", 12, 15, batch=1, heads=1, dim=dim, valid="shared", **HALF))


def test_conduction_view_at_the_size_of_the_paper() -> None:
    check(Case("grid", 12, 15, batch=1, heads=1, dim=32, visible="shared", **HALF))


def test_view_guided_at_the_size_of_the_paper() -> None:
    check(Case("grid", 12, 15, batch=1, heads=1, dim=32, visible=True, valid="shared", **HALF))


def test_packed_at_the_size_of_the_paper() -> None:
    check(Case("packed", 12, 36, batch=1, heads=1, dim=96, lead="batch", **HALF))


@pytest.mark.parametrize(
    ("leads", "beats", "visible"), [(17, 4, None), (40, 3, "shared"), (64, 2, None), (1, 70, None)]
)
def test_numbers_of_leads(leads: int, beats: int, visible: str | None) -> None:
    check(Case("grid", leads, beats, batch=1, heads=1, visible=visible, valid="shared"))


@pytest.mark.parametrize("visible", [None, True, "batch"])
def test_logits_that_overflow_an_exponential(visible: str | bool | None) -> None:
    check(Case("grid", 12, 3, batch=1, heads=1, dim=32, visible=visible, peak=120.0, **HALF))


@pytest.mark.parametrize(
    "case",
    [
        Case("grid", 12, 6, batch=1, heads=1, dim=64, valid="batch", **HALF),
        Case("grid", 12, 6, batch=1, heads=1, dim=32, visible="batch", valid="batch", dropout_p=0.2, **HALF),
        Case("grid", 12, 6, batch=1, heads=1, dim=96, visible=True, **HALF),
        Case("packed", 12, 20, batch=1, heads=1, dim=128, valid="batch", **HALF),
    ],
    ids=str,
)
def test_plain_arithmetic_on_turing(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_INTERPRETED", Target(capability=75, shared=65_536, processors=1))
    assert launch.precision_of(case.dtype, launch.target_of(torch.device("cpu"))) == "wide"
    check(case)


@pytest.mark.parametrize("scale", [1e-9, 3.0])
@pytest.mark.parametrize("visible", [None, True])
def test_unusual_scales(scale: float, visible: bool | None) -> None:
    check(Case("grid", 3, 3, batch=1, heads=1, visible=visible), scale=scale)


@pytest.mark.parametrize("visible", [None, "batch"])
def test_long_records_are_split_and_merged(visible: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiling, "WANTED_PROGRAMS", 12)
    monkeypatch.setattr(tiling, "FEWEST_TILES", 2)
    monkeypatch.setattr(
        launch_local, "local_forward_tile", lambda *_, **__: LocalTile((16, 0), 4, 1, 1, rows=16, columns=4)
    )
    monkeypatch.setattr(
        launch_local, "local_backward_tile", lambda *_, **__: LocalTile((16, 0), 4, 1, 1, rows=16, columns=4)
    )
    assert tiling.splits(4, 11) == 3
    check(Case("grid", 3, 41, heads=2, batch=2, visible=visible, valid="batch", dropout_p=0.1))


def test_a_program_takes_several_heads_across_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiling, "WAVES", 1)
    tile = tiling.local_forward_tile(
        3, 16, 4, "ieee", tiling.Target(90, 232_448, 1), dropout=True, padded=True, split=False
    )
    assert 9 % tiling.heads_per_program(9, tile, tiling.Target(90, 232_448, 1)) in (0, 1)
    check(Case("grid", 3, 25, batch=3, heads=3, visible="batch", valid="batch", dropout_p=0.2))


def _use_dense_tiles(monkeypatch: pytest.MonkeyPatch, queries: int, keys: int, whole: int) -> None:
    """Take small tiles, so that short sequences need several."""
    dense = DenseTile((16, 0), 4, 1, 1, queries=queries, keys=keys)
    for name in ("dense_forward_tile", "dense_query_tile", "dense_key_tile"):
        monkeypatch.setattr(launch_dense, name, lambda *_, **__: dense)
    for name in ("whole_forward_tile", "whole_backward_tile"):
        monkeypatch.setattr(launch_dense, name, lambda *_, **__: WholeTile((16, 0), 4, 1, 1, rows=whole))


@pytest.mark.parametrize("form", ["grid", "packed"])
@pytest.mark.parametrize(("queries", "keys"), [(16, 32), (32, 16)])
def test_dense_sequences_of_several_tiles(form: str, queries: int, keys: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _use_dense_tiles(monkeypatch, queries, keys, whole=16)
    if form == "packed":
        check(Case("packed", 20, 33, batch=2, heads=1, valid="batch", lead="batch", dropout_p=0.2))
    else:
        check(Case("grid", 3, 14, batch=1, heads=1, visible=True, valid="shared"))


def test_visible_beats_in_one_tile_and_in_several(monkeypatch: pytest.MonkeyPatch) -> None:
    # The batch mixes records whose visible beats fit one tile with records that need the kernels for long sequences.
    _use_dense_tiles(monkeypatch, 16, 16, whole=16)
    case = Case("grid", 3, 9, batch=3, heads=1, dropout_p=0.1)
    visible = torch.zeros(3, 3, 9, dtype=torch.bool)
    visible[1, :, 2] = True
    visible[2] = True
    check(case, visible=visible)


@pytest.mark.parametrize(
    "case",
    [
        Case("grid", 3, 9, heads=1, dim=24, visible="batch", valid="batch", dropout_p=0.1),
        Case("grid", 12, 5, batch=1, heads=1, dim=40, amplitude=4.0),
        Case("grid", 3, 9, batch=1, heads=1, dim=40, visible=True, valid="shared", **HALF),
        Case("packed", 3, 30, batch=1, heads=1, dim=24, lead="batch", dropout_p=0.1, **HALF),
    ],
    ids=str,
)
def test_the_smallest_tiles_of_a_gpu_with_little_shared_memory(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    least = tiling.Target(90, 0, 1)
    shape = case.dim, case.dtype.itemsize, "ieee", least
    rule = tiling.local_forward_tile(case.leads, *shape, dropout=False, padded=False, split=False)
    tile = fitting.fitted("local_forward", rule, *shape, case.leads)
    assert (tile.late, tile.rows) == (True, 32 if case.leads == 12 else 16)
    monkeypatch.setattr(launch, "_INTERPRETED", least)
    monkeypatch.setattr(fitting, "shared_bound", lambda *_: 0)  # or rows would be taken one at a time
    check(case)


@pytest.fixture
def without_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """No tile fits, so that the row kernels serve."""
    monkeypatch.setattr(launch, "_INTERPRETED", tiling.Target(90, 0, 1))


@pytest.mark.usefixtures("without_shared_memory")
@settings(max_examples=8)
@given(case=small_cases("grid"))
@example(case=Case("grid", 3, 5, visible="batch", valid="batch", dropout_p=0.4))
@example(case=Case("grid", 2, 3, dim=20, visible=True, valid="shared", dropout_p=0.4, **HALF))
def test_grids_a_row_at_a_time(case: Case) -> None:
    check(case)


@pytest.mark.usefixtures("without_shared_memory")
@settings(max_examples=5)
@given(case=small_cases("packed"))
@example(case=Case("packed", 3, 9, lead="batch", valid="batch", dropout_p=0.4))
def test_packed_tokens_a_row_at_a_time(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("which", [0, -1])
@pytest.mark.parametrize(
    "case",
    [
        Case("grid", 3, 9, batch=1, heads=1, visible="batch", valid="batch", **HALF),
        Case("grid", 3, 25, batch=1, heads=1, visible=True, **HALF),
        Case("packed", 3, 9, batch=1, heads=1, lead="batch", **HALF),
    ],
    ids=str,
)
def test_trying_tiles_out_does_no_harm_and_every_tile_is_right(
    case: Case, which: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def best(question: Question, rule: Tile, run: Callable[[Tile], None], device: torch.device) -> Tile:
        others = neighbours.alternatives(rule, question.leads)
        for tile in (rule, *others):
            run(tile)
        return others[which]

    monkeypatch.setattr(tuning, "best", best)
    check(case)
