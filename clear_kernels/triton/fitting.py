"""How much shared memory kernels take, and the tiles that fit where those of the rules do not.

Compiling is the only way to know for certain, and a shape must be refused before it is compiled. This module imports no
Triton.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import TypeVar

from clear_kernels.triton.neighbours import sides, smaller
from clear_kernels.triton.tiling import (
    LocalTile,
    Target,
    Tile,
    dense_forward_tile,
    dense_key_tile,
    dense_query_tile,
    local_backward_tile,
    local_forward_tile,
    machine,
    whole_backward_tile,
    whole_forward_tile,
)

T = TypeVar("T", bound=Tile)


@dataclass(frozen=True)
class _Held:
    """What a kernel has in shared memory at once, in tensors of its query rows and of its key rows.

    Whole and local tiles have as many keys as queries. A pipeline has its tensors once for every stage, and always all.

    Attributes:
        alone: Where most tensors are there.
        beside: Beside a tile of weights or scores.
    """

    alone: tuple[int, int]
    beside: tuple[int, int]

    def most(self, tile: Tile, itemsize: int, weight: int, sums: int) -> int:
        """Bytes for ``itemsize`` bytes of an element, ``weight`` of a weight, and ``sums`` of a row's sum."""
        queries, keys = sides(tile)
        row = sum(tile.parts) * itemsize * tile.stages

        def tensors(number: tuple[int, int]) -> int:
            return (number[0] * queries + number[1] * keys) * row

        beside = self.beside if tile.stages == 1 else self.alone
        most = max(tensors(self.alone), tensors(beside) + queries * keys * weight)
        return most + sums * max(queries, keys)


# As compiled, for products by "matrix" units of any kind, by "plain" float32 arithmetic, and by the "wide" kind that
# widens half precision first. A "late" local tile loads a tensor when its turn comes.
_HELD = {
    "matrix": {
        "local_forward": _Held((3, 0), (2, 0)),
        "local_backward": _Held((6, 0), (5, 0)),
        "late local_forward": _Held((2, 0), (1, 0)),
        "late local_backward": _Held((3, 0), (2, 0)),
        "tile_forward": _Held((3, 0), (2, 0)),
        "tile_backward": _Held((4, 0), (4, 0)),
        "dense_forward": _Held((1, 2), (1, 1)),
        "dense_backward_query": _Held((2, 2), (2, 2)),
        "dense_backward_key": _Held((3, 2), (2, 2)),
    },
    "plain": {
        "local_forward": _Held((3, 0), (2, 0)),
        "local_backward": _Held((5, 0), (4, 0)),
        "late local_forward": _Held((2, 0), (1, 0)),
        "late local_backward": _Held((2, 0), (1, 0)),
        "tile_forward": _Held((3, 0), (2, 0)),
        "tile_backward": _Held((5, 0), (4, 0)),
        "dense_forward": _Held((1, 2), (1, 1)),
        "dense_backward_query": _Held((2, 2), (2, 2)),
        "dense_backward_key": _Held((2, 2), (2, 2)),
    },
    "wide": {
        "late local_forward": _Held((2, 0), (2, 0)),
        "late local_backward": _Held((3, 0), (3, 0)),
        "tile_forward": _Held((2, 0), (2, 0)),
        "tile_backward": _Held((7, 0), (6, 0)),
        "dense_forward": _Held((2, 1), (2, 2)),
        "dense_backward_query": _Held((4, 3), (3, 3)),
        "dense_backward_key": _Held((4, 4), (4, 4)),
    },
}


def shared_bytes(kernel: str, tile: Tile, itemsize: int, precision: str, target: Target) -> int:
    """Bytes of shared memory that ``kernel`` does not exceed with ``tile``."""
    units = machine(itemsize, precision, target)
    products, weight, sums = "matrix", itemsize, 4 * tile.warps if units == "blackwell" else 4
    if units == "none":
        products, weight, sums = ("plain", 4, 4) if itemsize == 4 else ("wide", 4, 0)
    late = isinstance(tile, LocalTile) and tile.late
    return _HELD[products][f"late {kernel}" if late else kernel].most(tile, itemsize, weight, sums)


def fitted(kernel: str, rule: T, head_dim: int, itemsize: int, precision: str, target: Target, leads: int = 1) -> T:
    """The rule's tile; where the shared memory does not hold it, the first smaller one that fits, or the smallest."""
    for tile in (rule, *smaller(rule, head_dim, leads)):
        if shared_bytes(kernel, tile, itemsize, precision, target) <= target.shared:
            break
    return tile


@functools.cache
def shared_bound(leads: int, head_dim: int, itemsize: int, precision: str, target: Target) -> int:
    """Bytes of shared memory that no attention kernel of any call exceeds, with the tiles that :func:`fitted` finds."""
    shape = head_dim, itemsize, precision, target
    found: list[tuple[str, Tile]] = [("tile_forward", whole_forward_tile(*shape))]
    for dropout, padded, visible, split in itertools.product((False, True), repeat=4):
        forward = local_forward_tile(leads, *shape, dropout=dropout, padded=padded, split=split)
        backward = local_backward_tile(leads, *shape, dropout=dropout, padded=padded, visible=visible, split=split)
        found += [("local_forward", forward), ("local_backward", backward)]
        found.append(("tile_backward", whole_backward_tile(*shape, dropout=dropout)))
        found.append(("dense_forward", dense_forward_tile(*shape, padded=padded)))
        found.append(("dense_backward_query", dense_query_tile(*shape, dropout=dropout)))
        found.append(("dense_backward_key", dense_key_tile(*shape, listed=visible, dropout=dropout)))
    return max(
        shared_bytes(kernel, fitted(kernel, rule, *shape, leads), itemsize, precision, target)
        for kernel, rule in dict.fromkeys(found)
    )
