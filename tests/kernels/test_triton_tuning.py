"""The choice among a few tiles, with a timer that is told what to say."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from clear_kernels.triton import neighbours, tuning
from clear_kernels.triton.tiling import DenseTile, LocalTile, Tile, WholeTile
from clear_kernels.triton.tuning import Question, Tuner, size_class

RULE = LocalTile((64, 0), warps=4, stages=2, blocks=2, rows=64, columns=4)
TILES: Sequence[LocalTile] = (RULE, *neighbours.alternatives(RULE, 12))  # type: ignore[arg-type]
QUESTION = Question("local_forward", torch.bfloat16, "ieee", 12, 64, 7, ("dropout",))
CUDA = torch.device("cuda", 0)


class Lab:
    """A tuner whose runs take the milliseconds it is told, and whose clock moves by ``step`` seconds per look."""

    def __init__(self, path: Path | None, *times: float | Exception, step: float = 0.0) -> None:
        self.times = dict(zip(TILES, times, strict=False))
        self.step, self.clock = step, 0.0
        self.ran: list[Tile] = []
        self.tuner = Tuner(path, self.measure, self.now)

    def now(self) -> float:
        self.clock += self.step
        return self.clock

    def measure(self, run: Callable[[], None]) -> float:
        run()
        taken = self.times[self.ran[-1]]  # type: ignore[index]
        if isinstance(taken, Exception):
            raise taken
        return taken

    def choose(self, *, may_measure: bool = True) -> Tile:
        return self.tuner.choose(QUESTION, TILES, self.ran.append, may_measure=may_measure)


def test_the_fastest_is_taken_and_remembered_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "new" / "tiles.json"
    lab = Lab(path, 3.0, 2.0, 1.0, 4.0)
    assert lab.choose() is TILES[2]
    later = Lab(path)
    assert later.choose() == TILES[2]
    assert later.choose(may_measure=False) == TILES[2]
    assert later.ran == []
    assert [entry.name for entry in path.parent.iterdir()] == ["tiles.json"]


def test_noise_does_not_decide() -> None:
    assert Lab(None, 1.0, 0.98, 0.99, 1.0).choose() is RULE


def test_nothing_is_measured_or_remembered_where_it_must_not_be(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "tiles.json", 3.0, 1.0, 1.0, 1.0)
    assert lab.choose(may_measure=False) is RULE
    assert lab.ran == []
    assert list(tmp_path.iterdir()) == []
    assert lab.choose() is TILES[1]


def test_a_tile_that_cannot_run_is_passed_over() -> None:
    assert Lab(None, 2.0, RuntimeError("out of resources"), 1.0, 3.0).choose() is TILES[2]


def test_where_the_rule_cannot_be_measured_it_serves_and_nothing_is_kept(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "tiles.json", RuntimeError("out of memory"), 1.0, 1.0, 1.0)
    assert lab.choose() is RULE
    assert lab.ran == [RULE]
    assert list(tmp_path.iterdir()) == []


def test_the_search_ends_after_its_budget_and_is_then_not_kept_for_other_processes(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "tiles.json", 4.0, 3.0, 2.0, 1.0, step=tuning.BUDGET / 2)
    assert lab.choose() is TILES[1]
    assert lab.ran == list(TILES[:2])
    assert lab.tuner.answers == {QUESTION: TILES[1]}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"local_forward": 3}'])
def test_a_damaged_file_is_ignored_and_mended(text: str, tmp_path: Path) -> None:
    path = tmp_path / "tiles.json"
    path.write_text(text)
    assert Lab(path, 2.0, 1.0, 3.0, 3.0).choose() is TILES[1]
    assert json.loads(path.read_text())[QUESTION.name()]["warps"] == TILES[1].warps


def test_an_answer_that_is_no_candidate_any_more_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "tiles.json"
    path.write_text(json.dumps({QUESTION.name(): {"warps": 32}}))
    assert Lab(path, 2.0, 1.0, 3.0, 3.0).choose() is TILES[1]


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert Lab(tmp_path / "file" / "tiles.json", 2.0, 1.0, 3.0, 3.0).choose() is TILES[1]


def test_answers_of_others_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "tiles.json"
    lab = Lab(path, 2.0, 1.0, 3.0, 3.0)
    path.write_text('{"another": 1}')
    lab.choose()
    assert set(json.loads(path.read_text())) == {"another", QUESTION.name()}


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A GPU on which the second candidate is the fastest; nothing is captured."""
    lab = Lab(None, 3.0, 1.0, 2.0, 2.0)
    monkeypatch.delenv("CLEAR_KERNELS_TUNE", raising=False)
    monkeypatch.setattr(tuning, "_tuner", lambda index: lab.tuner)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    return lab


def ask(lab: Lab, device: torch.device = CUDA) -> Tile:
    return tuning.best(QUESTION, RULE, lab.ran.append, device)


def test_a_gpu_is_measured_once(gpu: Lab) -> None:
    assert ask(gpu) == ask(gpu) == TILES[1]
    assert gpu.ran == list(TILES)


def test_the_rule_serves_without_a_gpu_and_where_tuning_is_off(gpu: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(gpu, torch.device("cpu")) is RULE
    assert ask(gpu, torch.device("meta")) is RULE
    monkeypatch.setenv("CLEAR_KERNELS_TUNE", "0")
    assert ask(gpu) is RULE
    assert gpu.ran == []


def test_the_rule_serves_in_deterministic_mode_capture_and_tracing(gpu: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (
        (torch, "are_deterministic_algorithms_enabled"),
        (torch.cuda, "is_current_stream_capturing"),
        (torch.compiler, "is_compiling"),
    ):
        with monkeypatch.context() as context:
            context.setattr(module, name, lambda: True)
            assert ask(gpu) is RULE
    assert gpu.ran == []


def test_triton_3_2_tries_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLEAR_KERNELS_TUNE", raising=False)
    monkeypatch.setattr(tuning, "release", lambda: (3, 2))
    ran: list[Tile] = []
    assert tuning.best(QUESTION, RULE, ran.append, torch.device("cuda", 0)) is RULE
    assert ran == []


@pytest.mark.parametrize(
    "tile",
    [
        RULE,
        LocalTile((32, 32), warps=16, stages=1, blocks=1, rows=32, columns=1),
        DenseTile((64, 32), warps=4, stages=2, blocks=2, queries=64, keys=64),
        WholeTile((32, 0), warps=8, stages=1, blocks=1, rows=32),
    ],
    ids=str,
)
def test_alternatives_are_few_different_and_able(tile: Tile) -> None:
    found = neighbours.alternatives(tile, 12)
    assert 1 <= len(found) <= 5
    assert len({tile, *found}) == 1 + len(found)
    for other in found:
        assert other.parts == tile.parts
        if isinstance(other, LocalTile):
            assert 12 * (other.columns + 1) <= other.rows
        if isinstance(other, WholeTile):  # which of two kernels serves depends on it
            assert isinstance(tile, WholeTile)
            assert other.rows == tile.rows


def test_questions_tell_apart_what_may_need_another_tile() -> None:
    changes = {"kernel": "x", "dtype": torch.float16, "precision": "tf32", "leads": 3, "head_dim": 32, "size": 8}
    names = {dataclasses.replace(QUESTION, **{key: value}).name() for key, value in changes.items()}  # type: ignore[arg-type]
    assert len(names | {QUESTION.name(), dataclasses.replace(QUESTION, features=()).name()}) == len(changes) + 2
    assert [size_class(n) for n in (0, 1, 2, 4, 5, 16, 17)] == [0, 0, 1, 1, 2, 2, 3]
