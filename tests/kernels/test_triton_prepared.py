"""Prepared launches of the Triton kernels, which are compiled and then handed to a launcher that only takes notes."""

from __future__ import annotations

import gc
import importlib.util
import os
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

if importlib.util.find_spec("triton") is None:
    pytest.skip("Triton is not installed; it runs on Linux: pip install 'triton>=3.2'", allow_module_level=True)
if os.environ.get("TRITON_INTERPRET") == "1":
    pytest.skip("TRITON_INTERPRET=1 is set, and then nothing is compiled", allow_module_level=True)

from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from clear_kernels.triton import grid, launch, packed, prepared, tuning
from clear_kernels.triton.prepared import Call
from clear_kernels.triton.tiling import Target

HOPPER = Target(90, 232_448, 132)
LEADS, BEATS, DIM = 3, 4, 16
USES = ("local", "visible", "all_visible", "packed")
each_use = pytest.mark.parametrize("use", USES)


@dataclass
class Note:
    """One launch: the kernel, its grid, and its arguments as they were given."""

    kernel: str
    programs: int
    arguments: tuple[Any, ...]

    def addresses(self) -> dict[int, int]:
        """The tensors among the arguments by their places."""
        return {i: x.data_ptr() for i, x in enumerate(self.arguments) if isinstance(x, Tensor)}


@dataclass
class Notes:
    """Stands for Triton's driver of a GPU that is not there."""

    launches: list[Note] = field(default_factory=list)
    utils: Any = field(
        default_factory=lambda: SimpleNamespace(
            load_binary=lambda *_: (0, 0, 32, 0, 1024),
            get_device_properties=lambda _: {"max_shared_mem": HOPPER.shared},
            unload_module=lambda *_: None,
        )
    )

    def launcher_cls(self, src: Any, metadata: Any) -> Any:
        def note(programs: int, _y: int, _z: int, *rest: Any) -> None:
            self.launches.append(Note(src.fn.__name__, programs, rest[6:]))  # stream, function, two metadata, two hooks

        return note

    def get_current_device(self) -> int:
        return 0

    def set_current_device(self, device: int) -> None:
        pass

    def get_current_stream(self, device: int = 0) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_active_torch_device(self) -> torch.device:
        return torch.device("cuda", 0)

    def map_python_to_cpp_type(self, name: str) -> str:
        return name

    def is_active(self) -> bool:
        return True

    def taken(self) -> list[Note]:
        found, self.launches = self.launches, []
        return found


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Notes]:
    """A GPU that takes notes."""
    gpu = Notes()
    monkeypatch.setattr(launch, "target_of", lambda device: HOPPER)
    prepared.forget()
    if not hasattr(driver, "_active"):
        pytest.skip("this release of Triton keeps its driver elsewhere")
    monkeypatch.setattr(driver, "_active", gpu)
    yield gpu
    prepared.forget()
    for kernel in _kernels():  # they are compiled for a launcher of this test
        kernel.device_caches.clear()


def _kernels() -> Iterator[Any]:
    from clear_kernels.triton import launch_dense, launch_local, launch_row

    for module in (launch_dense, launch_local, launch_row):
        yield from (x for x in vars(module).values() if type(x).__name__ == "JITFunction")


class Inputs:
    """Tensors of one use, with dropout and padding."""

    def __init__(self, use: str, dtype: torch.dtype = torch.bfloat16, offset: int = 0) -> None:
        tokens = LEADS * (BEATS + 1)
        memory = torch.randn(offset + 2 * tokens * 3 * 2 * DIM).to(dtype)[offset:]
        self.q, self.k, self.v = memory.view(2, tokens, 3, 2, DIM).permute(2, 0, 3, 1, 4).unbind(0)
        self.dout = torch.randn(2, 2, tokens, DIM).to(dtype)
        self.seed = torch.tensor([5])
        self.options: dict[str, Any] = {"leads": LEADS, "dropout_p": 0.1, "scale": 0.25}
        if use == "packed":
            self.form: Any = packed
            lead = torch.zeros(2, tokens - LEADS, dtype=torch.int32)
            self.masks: tuple[Tensor | None, ...] = lead, lead == 0
        else:
            self.form = grid
            mask = torch.ones(2, LEADS, BEATS, dtype=torch.bool)
            self.masks = mask if use == "visible" else None, mask
            self.options |= {"beats": BEATS, "all_visible": use == "all_visible"}

    def forward(self) -> Any:
        return self.form.forward(self.q, self.k, self.v, *self.masks, self.seed, **self.options)

    def both(self) -> None:
        out, lse = self.forward()
        rest = out, lse, *self.masks, self.seed
        self.form.backward(self.dout, self.q, self.k, self.v, *rest, **self.options)


@each_use
@pytest.mark.parametrize("shared", [HOPPER.shared, 0], ids=["tiles", "rows"])
def test_a_prepared_launch_passes_what_triton_passes(
    use: str, shared: int, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "target_of", lambda device: replace(HOPPER, shared=shared))
    inputs = Inputs(use)
    given = (inputs.q, inputs.k, inputs.v, inputs.dout, inputs.seed, *inputs.masks)
    known = {x.data_ptr() for x in given if x is not None}
    inputs.both()
    first = notes.taken()
    assert all(note.addresses() for note in first)
    assert all(note.kernel.startswith("row") == (shared == 0) for note in first)
    inputs.both()
    second = notes.taken()
    assert [note.kernel for note in second] == [note.kernel for note in first]
    for slow, fast in zip(first, second, strict=True):
        assert fast.programs == slow.programs
        assert not fast.addresses()
        for place, (theirs, ours) in enumerate(zip(slow.arguments, fast.arguments, strict=True)):
            if place not in slow.addresses():
                assert (type(ours), ours) == (type(theirs), theirs)
            elif theirs.data_ptr() in known:
                assert ours == theirs.data_ptr()
            else:  # results have memory of their own in each call
                assert type(ours) is int


def test_unaligned_tensors_go_the_whole_way(notes: Notes) -> None:
    Inputs("local").forward()
    Inputs("local", offset=1).forward()
    Inputs("local", offset=8).forward()
    whole, unaligned, short = notes.taken()
    assert whole.addresses()
    assert unaligned.addresses()
    assert not short.addresses()


def test_the_chosen_tile_is_asked_for_in_every_call(notes: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = Inputs("local")
    inputs.forward()
    with monkeypatch.context() as other:
        other.setattr(tuning, "best", lambda question, rule, run, device: replace(rule, rows=16, columns=4))
        inputs.forward()
    inputs.forward()
    ruled, tuned, again = notes.taken()
    assert tuned.addresses()  # another kernel, compiled anew
    assert not again.addresses()
    assert again.arguments[-20:] == ruled.arguments[-20:] != tuned.arguments[-20:]


def test_tiles_are_tried_out_on_memory_of_their_own_where_results_are_added_to(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def best(question: Any, rule: Any, run: Any, device: torch.device) -> Any:
        run(rule)
        return rule

    monkeypatch.setattr(tuning, "best", best)
    Inputs("visible").both()
    trial, real = (note for note in notes.taken() if note.kernel == "local_backward")
    for place in (7, 8):  # dk and dv
        assert trial.addresses()[place] != real.arguments[place]


def test_older_releases_always_go_the_whole_way(notes: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "_TAKES_ALL", False)
    Inputs("local").forward()
    Inputs("local").forward()
    assert all(note.addresses() for note in notes.taken())


def test_nothing_that_is_kept_holds_a_tensor(notes: Notes) -> None:
    gone = []
    for use in USES:
        inputs = Inputs(use)
        out, lse = inputs.forward()
        inputs.both()
        gone += [weakref.ref(x) for x in (inputs.q, inputs.dout, inputs.seed, out, lse)]
    notes.taken()
    del inputs, out, lse
    gc.collect()
    assert not any(reference() is not None for reference in gone)


def call(**changes: Any) -> Call:
    inputs = Inputs("visible", torch.float32)
    tensors = {"q": inputs.q, "k": inputs.k, "visible": inputs.masks[0], "valid": inputs.masks[1], "seed": inputs.seed}
    options = {"leads": LEADS, "beats": BEATS, "all_visible": False, "dropout_p": 0.1, "scale": 0.25}
    for name, value in changes.items():
        (tensors if name in tensors else options)[name] = value
    return Call.of(*tensors.values(), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"k": Inputs("local", torch.float32).k.contiguous()},
        {"k": Inputs("local", torch.bfloat16).k},
        {"valid": None},
        {"valid": torch.ones(LEADS, BEATS, dtype=torch.bool)},
        {"seed": None},
        {"scale": 0.5},
        {"dropout_p": 0.2},
        {"all_visible": True},
        {"leads": 5, "beats": 2},
    ],
    ids=["strides", "dtype", "no mask", "shared mask", "no seed", "scale", "dropout", "visible", "leads"],
)
def test_calls_that_differ_are_prepared_apart(changes: dict[str, Any]) -> None:
    assert call() == call()
    assert hash(call()) == hash(call())
    assert call(**changes) != call()


def test_pytorchs_setting_for_float32_is_honoured_when_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "target_of", lambda device: HOPPER)
    found = []
    for allowed in (False, True):
        monkeypatch.setattr(launch, "tf32_allowed", lambda allowed=allowed: allowed)
        found.append(call().precision)
    assert found == ["ieee", "tf32"]
