"""Tiles next to a rule's: smaller ones where it does not fit, and others that may be faster. Imports no Triton."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

from clear_kernels.triton.tiling import DenseTile, LocalTile, Tile, WholeTile, head_parts, local_rows

T = TypeVar("T", bound=Tile)

# The shortest side of a tile: a product wants 16 rows.
_FEWEST_ROWS = 16


def sides(tile: Tile) -> tuple[int, int]:
    """Query rows and key rows."""
    if isinstance(tile, DenseTile):
        return tile.queries, tile.keys
    assert isinstance(tile, LocalTile | WholeTile)
    return tile.rows, tile.rows


def smaller(tile: T, head_dim: int, leads: int) -> Iterator[T]:
    """Tiles that take less shared memory and more time, each less than the one before."""
    if tile.stages > 1:
        tile = replace(tile, stages=1)
        yield tile
    if isinstance(tile, LocalTile) and not tile.late:
        tile = replace(tile, late=True)
        yield tile
    if sum(head_parts(head_dim)) < sum(tile.parts):
        tile = replace(tile, parts=head_parts(head_dim))
        yield tile
    while (shorter := _shortened(tile, leads)) is not None:
        tile = shorter
        yield tile


def _shortened(tile: T, leads: int) -> T | None:
    """The tile with half as many rows on its longer side, None where that is as short as it can be."""
    queries, keys = sides(tile)
    fewest = local_rows(leads, _FEWEST_ROWS) if isinstance(tile, LocalTile) else _FEWEST_ROWS
    if max(queries, keys) <= fewest:
        return None
    if isinstance(tile, LocalTile):
        return replace(tile, rows=queries // 2, columns=queries // 2 // leads - 1)
    if isinstance(tile, WholeTile):
        return replace(tile, rows=queries // 2)
    assert isinstance(tile, DenseTile)
    return replace(tile, queries=queries // 2) if queries >= keys else replace(tile, keys=keys // 2)


def alternatives(tile: Tile, leads: int) -> tuple[Tile, ...]:
    """Some neighbours of a rule's tile: other warps, a pipeline or none, and a shorter or longer side.

    Unlike a rule's, they may keep some numbers in local memory, which on a GPU can be worth it.
    """
    found = [replace(tile, warps=8 if tile.warps == 4 else tile.warps // 2, blocks=1)]
    if tile.stages > 1:
        found.append(replace(tile, stages=1))
    if isinstance(tile, LocalTile) and tile.stages == 1:
        found.append(replace(tile, warps=4, stages=2, blocks=2))
    if isinstance(tile, LocalTile) and (shorter := _shortened(tile, leads)) is not None:
        found.append(shorter)
    if isinstance(tile, DenseTile) and tile.keys > 16:
        found.append(replace(tile, keys=tile.keys // 2))
    if isinstance(tile, DenseTile) and tile.keys <= 32:
        found.append(replace(tile, keys=2 * tile.keys, stages=1))
    if isinstance(tile, DenseTile) and tile.queries <= 32:
        found.append(replace(tile, queries=2 * tile.queries, stages=1))
    return tuple(found)
