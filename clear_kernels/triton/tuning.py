"""Which of a few tiles a kernel takes on this GPU: measured once for a kind of call, then remembered.

The rule of ``tiling.py`` is the first candidate. It serves wherever nothing may be measured: without a GPU, while a
CUDA graph is captured, while a call is traced, under ``torch.use_deterministic_algorithms``, with Triton 3.2, and with
``CLEAR_KERNELS_TUNE=0``. Another tile changes the order of sums, hence the last bits of a result, and nothing else;
once a choice is remembered, every run takes it and repeats bit for bit.

Choices are kept in ``CLEAR_KERNELS_CACHE`` (by default ``clear_kernels`` in ``XDG_CACHE_HOME`` or ``~/.cache``), one
JSON file for a GPU model and a Triton release. Deleting it is safe. This module imports no Triton.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar, cast

import torch

from clear_kernels.triton.neighbours import alternatives
from clear_kernels.triton.release import release
from clear_kernels.triton.tiling import Tile

T = TypeVar("T", bound=Tile)

# Seconds in which the candidates of one question are tried; one that is being compiled then is still finished.
BUDGET = 3.0
REPEATS = 7
# A candidate must be this much faster than the rule: noise shall not decide.
ADVANTAGE = 0.97


@dataclass(frozen=True)
class Question:
    """A kind of call for which one tile is chosen.

    ``size`` is the class of the number of rows of all heads. ``features`` are the optional inputs, which compile
    another kernel each: a dropout seed, masks, lead ids.
    """

    kernel: str
    dtype: torch.dtype
    precision: str
    leads: int
    head_dim: int
    size: int
    features: tuple[str, ...]

    def name(self) -> str:
        """The key under which the answer is kept."""
        head = f"{self.kernel} {str(self.dtype).removeprefix('torch.')} {self.precision}"
        return " ".join((head, f"L{self.leads}", f"D{self.head_dim}", f"4^{self.size}", *self.features))


def size_class(rows: int) -> int:
    """Sizes are told apart by factors of four: the smallest n with 4^n >= ``rows``."""
    return ((max(rows, 1) - 1).bit_length() + 1) // 2


@dataclass
class Tuner:
    """Answers questions for one GPU.

    Attributes:
        path: File of the answers, or None to keep them for this process only.
        measure: Milliseconds of a run; raises what a run raises.
        now: A clock in seconds.
    """

    path: Path | None
    measure: Callable[[Callable[[], None]], float]
    now: Callable[[], float] = time.monotonic
    answers: dict[Question, Tile] = field(default_factory=dict)

    def choose(self, question: Question, tiles: Sequence[T], run: Callable[[T], None], *, may_measure: bool) -> T:
        """The remembered tile; else the fastest, if it may be measured; else the first, which is the rule's."""
        name = question.name()
        remembered = _read(self.path).get(name)
        chosen = next((tile for tile in tiles if _plain(tile) == remembered), None)
        if chosen is None and not may_measure:
            return tiles[0]
        if chosen is None:
            chosen, complete = self._fastest(tiles, run)
            if complete and self.path is not None:
                _write(self.path, name, _plain(chosen))
        self.answers[question] = chosen
        return chosen

    def _fastest(self, tiles: Sequence[T], run: Callable[[T], None]) -> tuple[T, bool]:
        """The fastest tile, and whether all were tried. One that cannot run, or for want of memory, is passed over."""
        start = self.now()
        fastest, least = tiles[0], 0.0  # where the rule's cannot be measured it serves, and the real run says why
        for tile in tiles:
            if self.now() - start > BUDGET:
                return fastest, False
            try:
                taken = self.measure(functools.partial(run, tile))
            except Exception:  # Triton's errors of compilation and of missing resources share no class
                if tile == tiles[0]:
                    return fastest, False
                continue
            if tile == tiles[0]:
                least = taken * ADVANTAGE
            elif taken < least:
                fastest, least = tile, taken
        return fastest, True


def best(question: Question, rule: T, run: Callable[[T], None], device: torch.device) -> T:
    """The tile for ``question`` on ``device``. ``run`` must do no harm: it may be called many times or not at all."""
    if device.type != "cuda" or os.environ.get("CLEAR_KERNELS_TUNE") == "0":
        return rule
    if torch.are_deterministic_algorithms_enabled():
        return rule
    tuner = _tuner(torch.cuda.current_device() if device.index is None else device.index)
    if tuner is None:
        return rule
    answer = tuner.answers.get(question)
    if answer is not None:
        return cast(T, answer)
    may_measure = not (torch.cuda.is_current_stream_capturing() or torch.compiler.is_compiling())
    tiles = cast(Sequence[T], (rule, *alternatives(rule, question.leads)))
    return tuner.choose(question, tiles, run, may_measure=may_measure)


def cache_folder() -> Path:
    """Where the answers are kept."""
    named = os.environ.get("CLEAR_KERNELS_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clear_kernels"


@functools.cache
def _tuner(index: int) -> Tuner | None:
    """The tuner of a GPU; None with Triton 3.2, which ends the process where it cannot compile a tile."""
    if release() < (3, 3):
        return None
    gpu = re.sub(r"\W+", "-", torch.cuda.get_device_name(index))
    path = cache_folder() / f"tiles-{gpu}-triton-{importlib.metadata.version('triton')}.json"
    return Tuner(path, functools.partial(_milliseconds, index))


def _milliseconds(index: int, run: Callable[[], None]) -> float:
    """Median time of a run whose inputs are not in the cache of the GPU; the first run compiles."""
    run()
    flush = torch.empty(2 * torch.cuda.get_device_properties(index).L2_cache_size, dtype=torch.uint8, device=index)
    taken = []
    for _ in range(REPEATS):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        flush.zero_()
        start.record()
        run()
        end.record()
        end.synchronize()
        taken.append(start.elapsed_time(end))
    return statistics.median(taken)


def _plain(tile: Tile) -> object:
    """A tile as it looks when read back from JSON."""
    return json.loads(json.dumps(asdict(tile)))


def _read(path: Path | None) -> dict[str, object]:
    """The answers in a file; none if it is missing or damaged."""
    try:
        found = json.loads(path.read_text()) if path is not None else {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, name: str, answer: object) -> None:
    """Add an answer to what the file holds now, in one step; a folder that cannot be written is no error."""
    text = json.dumps(_read(path) | {name: answer}, indent=1, sort_keys=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".json", delete=False) as file:
            file.write(text)
        Path(file.name).replace(path)
    except OSError:
        return
