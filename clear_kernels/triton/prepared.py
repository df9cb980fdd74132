"""Launches that are prepared once for a kind of call, and then started with little work on the host.

A kernel takes some 45 arguments. Of these only the addresses of tensors differ between two equal calls (:class:`Call`
says what makes them equal), so that tiles, numbers and constants are found once, and so is the compiled kernel, for
which Triton otherwise looks at every argument of every launch. Nothing that is kept holds a tensor.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor
from triton.compiler import CompiledKernel

from clear_kernels.triton import launch, tuning
from clear_kernels.triton.release import release
from clear_kernels.triton.tiling import Target, Tile
from clear_kernels.triton.tuning import Question, size_class

T = TypeVar("T", bound=Tile)

# What starts kernels on tensors.
Start = Callable[..., None]

# For how many kinds of calls launches are kept.
KEPT = 512

# In older releases a compiled kernel takes its arguments without the constants.
_TAKES_ALL = release() >= (3, 4)
# Which kernel Triton compiles depends on whether an address is a multiple of this, and on nothing else of it.
_ALIGNMENT = 16


class Layout(NamedTuple):
    """What a kernel knows of a tensor but its address."""

    dtype: torch.dtype
    shape: torch.Size
    every_stride: tuple[int, ...]

    @property
    def strides(self) -> tuple[int, ...]:
        """Element strides of batch, head and token."""
        return self.every_stride[:3]

    def batch_stride(self, dims: int) -> int:
        """The batch stride if there is a batch before ``dims`` dimensions, else 0."""
        return self.every_stride[0] if len(self.shape) > dims else 0


class Call(NamedTuple):
    """All that decides on the launches of a call, but for what its tensors hold and where they are.

    ``tensors`` has the fields of :class:`Layout` for each tensor and None for an absent one, queries first.
    """

    tensors: tuple[Any, ...]
    device: torch.device
    leads: int
    beats: int
    all_visible: bool
    dropout_p: float
    scale: float
    precision: str
    target: Target

    @classmethod
    def of(
        cls,
        q: Tensor,
        *others: Tensor | None,
        leads: int,
        beats: int,
        all_visible: bool,
        dropout_p: float,
        scale: float,
    ) -> Call:
        """The kind of a call on these tensors."""
        tensors = tuple([None if x is None else (x.dtype, x.shape, x.stride()) for x in (q, *others)])
        target = launch.target_of(q.device)
        precision = launch.precision_of(q.dtype, target)
        return cls(tensors, q.device, leads, beats, all_visible, dropout_p, scale, precision, target)

    def layouts(self) -> tuple[Any, ...]:
        """The :class:`Layout` of each tensor, or None."""
        return tuple(None if fields is None else Layout(*fields) for fields in self.tensors)

    @property
    def shape(self) -> torch.Size:
        """[B, H, N, D]."""
        return self.tensors[0][1]

    @property
    def dtype(self) -> torch.dtype:
        """That of the queries."""
        return self.tensors[0][0]

    @property
    def heads(self) -> int:
        """B * H."""
        return self.shape[0] * self.shape[1]

    def common(self) -> dict[str, Any]:
        """The arguments that all attention kernels take by name."""
        return {
            "scale": self.scale,
            "threshold": int(self.dropout_p * 2**32),
            "keep_scale": 1.0 / (1.0 - self.dropout_p),
            "D": self.shape[3],
            "PRECISION": self.precision,
            "L": self.leads,
        }

    def softmax(self) -> dict[str, Any]:
        """The constants that forward kernels take besides."""
        return {"PRESCALE": not launch.is_ordinary(self.scale), "FAST": launch.approximates(self.dtype)}

    def tile_shape(self) -> tuple[int, int, str, Target]:
        """What the rules of ``tiling.py`` go by besides options: D, the bytes of an element, the products, the GPU."""
        return self.shape[3], self.dtype.itemsize, self.precision, self.target

    def question(self, kernel: str, **present: object) -> Question:
        """What ``tuning.py`` is asked; ``present`` are the optional inputs, or whether they are there."""
        features = tuple(name for name, there in present.items() if there)
        size = size_class(self.heads * self.shape[2])
        return Question(kernel, self.dtype, self.precision, self.leads, self.shape[3], size, features)


class Launch:
    """A launch of a kernel, complete but for its tensors, which come first among the arguments.

    Tensors must have the same layouts whenever it is called, and be absent (None) together.
    """

    def __init__(self, kernel: Any, programs: int, *numbers: int, **constants: Any) -> None:
        self.kernel, self.programs = kernel, programs
        self.numbers, self.constants = numbers, constants
        self.compiled: Start | None = None  # for aligned tensors
        self.rest: tuple[Any, ...] = ()  # what it takes after them

    def __call__(self, *tensors: Tensor | None) -> None:
        """Start the kernel."""
        addresses = [None if x is None else x.data_ptr() for x in tensors]
        bits = 0
        for address in addresses:
            bits |= address or 0
        aligned = bits % _ALIGNMENT == 0
        if aligned and self.compiled is not None:
            self.compiled(*addresses, *self.rest)
            return
        stored = (launch.bytes_of(x) for x in tensors)
        found = launch.start(self.kernel, self.programs, *stored, *self.numbers, **self.constants)
        if aligned and _TAKES_ALL and isinstance(found, CompiledKernel):
            given = len(tensors) + len(self.numbers)
            self.rest = *self.numbers, *(self.constants[name] for name in self.kernel.arg_names[given:])
            self.compiled = found[(self.programs, 1, 1)]


class Tuned(Generic[T]):
    """Kernels whose tile is the ``rule`` or another that ``tuning.py`` found; ``start`` makes what starts a tile."""

    def __init__(self, call: Call, question: Question, rule: T, start: Callable[[T], Start]) -> None:
        self.device, self.question, self.rule = call.device, question, rule
        self.start = functools.cache(start)

    def __call__(self, *tensors: Tensor | None, spare: Callable[[], tuple[Tensor | None, ...]] | None = None) -> None:
        """Start them on ``tensors``. While tiles are measured they run many times, on ``spare`` tensors if given."""

        def try_out(tile: T) -> None:
            self.start(tile)(*(tensors if spare is None else spare()))

        self.start(tuning.best(self.question, self.rule, try_out, self.device))(*tensors)


_forgotten: list[Callable[[], None]] = []


def kept(prepare: Callable[[Call], Start]) -> Callable[[Call], Start]:
    """``prepare``, asked once for a kind of call."""
    remembering = functools.lru_cache(KEPT)(prepare)
    _forgotten.append(remembering.cache_clear)
    return remembering


def forget() -> None:
    """Prepare everything anew, as after a change of the rules of ``tiling.py``."""
    for clear in _forgotten:
        clear()
