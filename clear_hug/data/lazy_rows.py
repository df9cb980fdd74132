"""Arrays whose rows are read when they are asked for: indexed like NumPy's, larger than any memory."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.shards import Shards

__all__ = ["LazyRows", "ShardedRows"]


class LazyRows(ABC):
    """A read-only array of R rows. The first index is an integer, a slice, or integers or booleans in an array.

    Further indices are applied to the rows read, so that `tokens[rows, :3]` reads whole rows.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape = shape
        self.dtype = dtype

    @abstractmethod
    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """A new array [n, ...] of the rows [n], all of them in [0, R)."""

    def of_leads(self, rows: Any, leads: NDArray[np.int64]) -> NDArray[Any]:
        """`self[rows][:, leads]`, for which the other leads need not be read; rows as in an index."""
        return self.take_leads(self._rows(rows), leads)

    def take_leads(self, rows: NDArray[np.int64], leads: NDArray[np.int64]) -> NDArray[Any]:
        """A new array [n, k, ...] of some places [k] on the second axis, of rows as for `take`."""
        return self.take(rows)[:, leads]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Of all rows in memory."""
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, dtype={self.dtype})"

    def __getitem__(self, key: Any) -> NDArray[Any]:
        if isinstance(key, np.ndarray) and key.ndim == 1:
            return self.take(self._rows(key))
        first, rest = (key[0], key[1:]) if isinstance(key, tuple) and key else (key, ())
        if first is Ellipsis or isinstance(first, tuple):
            raise IndexError(f"the first index {first!r} must be an integer, a slice or an array of one axis")
        try:
            row = operator.index(first)
        except TypeError:
            return self.take(self._rows(first))[(slice(None),) + rest]  # noqa: RUF005  mypy reads a star here as 3.11
        found: NDArray[Any] = self.take(self._checked(np.array([row])))[0]
        return found[rest] if rest else found

    def __setitem__(self, key: Any, value: Any) -> None:
        raise ValueError("assignment destination is read-only")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("the rows are read from files, so an array of them is always a copy")
        return self.take(np.arange(len(self))).astype(dtype or self.dtype, copy=False)

    def _rows(self, key: Any) -> NDArray[np.int64]:
        if isinstance(key, slice):
            return np.arange(*key.indices(len(self)))
        rows = np.asarray(key)
        if rows.ndim == 1 and rows.size == 0:
            return np.zeros(0, dtype=np.int64)
        if rows.ndim != 1 or rows.dtype.kind not in "biu":
            raise IndexError(f"rows must be integers or booleans in one axis, got {rows.dtype} {rows.shape}")
        if rows.dtype.kind != "b":
            return self._checked(rows)
        if len(rows) != len(self):
            raise IndexError(f"{len(rows)} booleans for {len(self)} rows")
        return np.flatnonzero(rows)

    def _checked(self, rows: NDArray[np.integer]) -> NDArray[np.int64]:
        found = rows.astype(np.int64)
        if found.view(np.uint64).max() < len(self):  # negative ones are the largest then
            return found
        wrong = (rows < -len(self)) | (rows >= len(self))
        if wrong.any():
            raise IndexError(f"row {rows[wrong][0]} is out of bounds for {len(self)} rows")
        return np.where(rows < 0, rows + len(self), rows).astype(np.int64)


class ShardedRows(LazyRows):
    """Rows of several memory-mapped arrays, one after another.

    Args:
        shards: of them.
        shape: [R, ...] of all together.
        dtype: of them.
    """

    def __init__(self, shards: Shards, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        super().__init__(shape, dtype)
        self._shards = shards

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """See `LazyRows.take`."""
        return self.take_leads(rows, np.arange(self.shape[1]))

    def take_leads(self, rows: NDArray[np.int64], leads: NDArray[np.int64]) -> NDArray[Any]:
        """See `LazyRows.take_leads`."""
        out = np.empty((len(rows), len(leads), *self.shape[2:]), dtype=self.dtype)
        for shard, mine in self._shards.groups(rows):
            out[mine] = self._shards[shard][np.ix_(rows[mine] - self._shards.starts[shard], leads)]
        return out
