"""How much shared memory kernels take, and the tiles that fit where those of the rules do not.

Compiling is the only way to know for certain, and tiles are chosen before. This module imports no Triton.
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

    Whole and local tiles have as many keys as queries. A pipeline has for every stage all its tensors, and one more.

    Attributes:
        alone: Where most tensors are there.
        beside: Beside a tile of weights or scores.
    """

    alone: tuple[int, int]
    beside: tuple[int, int]

    def most(self, tile: Tile, itemsize: int, weight: int) -> int:
        """Bytes for ``itemsize`` bytes of an element and ``weight`` of a weight, with a row's sums from every warp."""
        queries, keys = sides(tile)
        row = sum(tile.parts) * itemsize
        alone, beside = (
            (of_queries * queries + of_keys * keys) * row for of_queries, of_keys in (self.alone, self.beside)
        )
        if tile.stages > 1:
            alone = beside = tile.stages * (alone + queries * row)
        return max(alone, beside + queries * keys * weight) + 4 * tile.warps * max(queries, keys)


# As compiled by Triton 3.7, by what the products are: those of "matrix" units in half precision and in "tf32", "plain"
# float32 arithmetic, and the "wide" kind that widens half precision first. A "late" local tile loads a tensor when its
# turn comes. Other releases were seen to take up to a sixth more where much is left, and nowhere more than a block has.
_MATRIX = {
    "local_forward": _Held((3, 0), (2, 0)),
    "local_backward": _Held((6, 0), (5, 0)),
    "late local_forward": _Held((2, 0), (1, 0)),
    "late local_backward": _Held((3, 0), (2, 0)),
    "tile_forward": _Held((3, 0), (2, 0)),
    "tile_backward": _Held((6, 0), (5, 0)),
    "dense_forward": _Held((1, 2), (1, 1)),
    "dense_backward_query": _Held((2, 2), (2, 2)),
    "dense_backward_key": _Held((3, 2), (2, 2)),
}
_PLAIN = _MATRIX | {
    "local_backward": _Held((5, 0), (4, 0)),
    "late local_backward": _Held((2, 0), (1, 0)),
    "tile_backward": _Held((5, 0), (4, 0)),
    "dense_backward_key": _Held((2, 2), (2, 2)),
}
_HELD = {
    "matrix": _MATRIX,
    "tf32": _MATRIX,
    "tf32 on 9.x and 10.x": _MATRIX | {"local_backward": _Held((7, 0), (6, 0))},
    "plain": _PLAIN,
    "plain on 10.x": _PLAIN | {"local_backward": _Held((5, 0), (5, 0))},
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
    units, generation = machine(itemsize, precision, target), target.capability // 10
    if units == "none" and itemsize == 2:
        products, weight = "wide", 4
    elif units == "none":
        products, weight = "plain on 10.x" if generation == 10 else "plain", 4
    elif itemsize == 2:
        products, weight = "matrix", 2
    else:
        products, weight = "tf32 on 9.x and 10.x" if generation in (9, 10) else "tf32", 4
    late = isinstance(tile, LocalTile) and tile.late
    return _HELD[products][f"late {kernel}" if late else kernel].most(tile, itemsize, weight)


def fitted(kernel: str, rule: T, head_dim: int, itemsize: int, precision: str, target: Target, leads: int = 1) -> T:
    """The rule's tile; where the shared memory does not hold it, the first smaller one that fits, or the smallest."""
    for tile in (rule, *smaller(rule, head_dim, leads)):
        if shared_bytes(kernel, tile, itemsize, precision, target) <= target.shared:
            break
    return tile


@functools.cache
def shared_bound(leads: int | None, head_dim: int, itemsize: int, precision: str, target: Target) -> int:
    """Bytes of shared memory that no kernel exceeds with the tiles that :func:`fitted` finds, whatever the options.

    ``leads``: None for the dense kernels alone, which serve packed tokens and a grid of visible beats.
    """
    shape = head_dim, itemsize, precision, target
    found: list[tuple[str, Tile]] = [("tile_forward", whole_forward_tile(*shape))]
    for dropout, padded, visible, split in itertools.product((False, True), repeat=4):
        found.append(("tile_backward", whole_backward_tile(*shape, dropout=dropout)))
        found.append(("dense_forward", dense_forward_tile(*shape, padded=padded)))
        found.append(("dense_backward_query", dense_query_tile(*shape, dropout=dropout)))
        found.append(("dense_backward_key", dense_key_tile(*shape, listed=visible, dropout=dropout)))
        if leads is not None:
            tile = local_forward_tile(leads, *shape, dropout=dropout, padded=padded, split=split)
            found.append(("local_forward", tile))
            tile = local_backward_tile(leads, *shape, dropout=dropout, padded=padded, visible=visible, split=split)
            found.append(("local_backward", tile))
    return max(
        shared_bytes(kernel, fitted(kernel, rule, *shape, leads or 1), itemsize, precision, target)
        for kernel, rule in dict.fromkeys(found)
    )
