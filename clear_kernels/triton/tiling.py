"""Tile sizes, warps and pipeline depth of the Triton kernels, from the shape, the dtype and the GPU.

Each kernel has a rule, and a tile has a few neighbours that ``tuning.py`` may try on a GPU. What the choices cost in
registers and shared memory is printed by ``benchmarks/triton_resources.py`` and discussed in docs/kernels.md. This
module imports no Triton.
"""

from __future__ import annotations

from dataclasses import dataclass

# Class rows are split along the beats until this many programs share the work; a part has at least so many tiles. Only
# the shape decides, so that results do not depend on the GPU's size.
WANTED_PROGRAMS = 4096
FEWEST_TILES = 4

# One program takes several heads in turn once there are this many waves of programs.
WAVES = 4

# Launch options of the small kernels beside the attention. Without a bound the assembler takes 32 registers and spills.
SMALL = {"num_warps": 4, "maxnreg": 128}

# Compute capabilities whose matrix instructions Triton uses, and that read float32 as TF32 on request.
_MATRIX_CAPABILITY = 80

# Registers of an SM; a thread has 255 of them at most.
_REGISTERS = 65_536


@dataclass(frozen=True)
class Target:
    """What the choice depends on.

    Attributes:
        capability: Compute capability, major * 10 + minor.
        shared: Shared memory of a block, in bytes.
        processors: Number of SMs.
        tall_tiles: Whether Hopper may take backward tiles of 64 rows where 32 would do: Triton 3.2 ends the process
            where two warp groups share them, and 3.3 spills.
    """

    capability: int
    shared: int
    processors: int
    tall_tiles: bool = True


@dataclass(frozen=True)
class Tile:
    """What every tile says of its program.

    Attributes:
        parts: Widths of the one or two power-of-two parts in which a row of the head dimension is held.
        warps: Warps of a block.
        stages: Depth of the pipeline of loads; 1 is none.
        blocks: How many blocks are to be resident on an SM; the compiler may not take more registers than that allows.
    """

    parts: tuple[int, int]
    warps: int
    stages: int
    blocks: int

    def options(self, *, dropout: bool) -> dict[str, int]:
        """The launch options and constants that all attention kernels take."""
        # The random numbers need registers of their own, for which residency is given up.
        blocks = 1 if dropout else self.blocks
        registers = min(255, _REGISTERS // (32 * self.warps * blocks) // 8 * 8)
        return {"D0": self.parts[0], "D1": self.parts[1], "num_warps": self.warps, "maxnreg": registers}


@dataclass(frozen=True)
class LocalTile(Tile):
    """Class rows and ``columns`` beat columns in ``rows`` rows.

    ``late``: tensors are loaded when their turn comes, some of them twice, which takes less room and more time.
    """

    rows: int
    columns: int
    late: bool = False


@dataclass(frozen=True)
class DenseTile(Tile):
    """Query rows by key rows."""

    queries: int
    keys: int


@dataclass(frozen=True)
class WholeTile(Tile):
    """A whole sequence of up to ``rows`` tokens."""

    rows: int


def next_power_of_two(n: int) -> int:
    """The smallest power of two that is at least ``n``."""
    return 1 << max(n - 1, 0).bit_length()


def local_rows(leads: int, smallest: int) -> int:
    """Rows of a local tile: a power of two with room for the class rows and one column."""
    return max(smallest, next_power_of_two(2 * leads))


def whole_head(head_dim: int) -> int:
    """Width of a row held in one power-of-two part: 96 gives 128."""
    return max(16, next_power_of_two(head_dim))


def head_parts(head_dim: int) -> tuple[int, int]:
    """Widths (D0, D1) of the one or two power-of-two parts a row is held in: 96 gives (64, 32), 80 gives (64, 16)."""
    whole = whole_head(head_dim)
    main = whole // 2
    tail = max(16, next_power_of_two(head_dim - main)) if main >= 16 else main
    return (whole, 0) if tail >= main else (main, tail)


def machine(itemsize: int, precision: str, target: Target) -> str:
    """Which matrix units the products run on: ``hopper``, ``blackwell``, ``ampere``, or ``none``.

    ``ampere`` stands for all that share its instructions: 8.x and 12.x. With ``none``, products are plain float32
    arithmetic, which wants small tiles and many warps.
    """
    if target.capability < _MATRIX_CAPABILITY or (itemsize == 4 and precision != "tf32"):
        return "none"
    if itemsize == 4:
        return "ampere"
    return {90: "hopper", 100: "blackwell", 103: "blackwell"}.get(target.capability, "ampere")


def _halves(head_dim: int) -> tuple[int, int]:
    """A row in two equal parts, or whole where a half would be narrower than 32."""
    whole = whole_head(head_dim)
    return (whole // 2, whole // 2) if whole >= 64 else (whole, 0)


def _plain(head_dim: int, itemsize: int, units: str) -> tuple[int, int]:
    """Parts where tiles are small: whole where rows.py takes columns in pairs itself, else two halves.

    96 stays (64, 32) in float32, which has no registers for padding.
    """
    if itemsize == 2 and units == "none":
        return _whole(head_dim)
    return head_parts(head_dim) if itemsize == 4 and head_dim % 64 == 32 else _halves(head_dim)


def _whole(head_dim: int) -> tuple[int, int]:
    return whole_head(head_dim), 0


def local_forward_tile(
    leads: int,
    head_dim: int,
    itemsize: int,
    precision: str,
    target: Target,
    *,
    dropout: bool,
    padded: bool,
    split: bool,
) -> LocalTile:
    """The tile of ``local_forward``; dropout, padding masks and split heads take registers of their own."""
    units = machine(itemsize, precision, target)
    if units == "none" or itemsize == 4:
        warps = 16 if itemsize == 4 and head_dim > 64 else 8
        parts = _halves(head_dim) if itemsize == 2 and head_dim > 64 else _whole(head_dim)
        return _local(leads, 32, parts, warps, stages=1, blocks=1, late=units == "none" and itemsize == 2)
    parts = head_parts(head_dim)
    if head_dim > 64 and (units == "ampere" or dropout or (units == "blackwell" and head_dim > 96)):
        return _local(leads, 64, _whole(head_dim), warps=8, stages=1, blocks=1)
    if units == "ampere":
        parts = _halves(head_dim)
        if (dropout or padded) and head_dim > 32:
            return _local(leads, 64, parts, warps=8, stages=1, blocks=1)
    rows = local_rows(leads, 64)
    # Each stage holds q, k and v.
    stages = 2 if 2 * 3 * rows * sum(parts) * itemsize <= target.shared // 2 else 1
    if rows > 64 or head_dim > 128:
        return _local(leads, 64, parts, warps=8, stages=1, blocks=1)
    if units == "hopper" and head_dim <= 64 and not padded and not split:
        return _local(leads, 64, _whole(head_dim), warps=4, stages=3 if head_dim <= 32 else stages, blocks=4)
    blocks = 3 if head_dim <= (64 if units == "hopper" else 32 if units == "blackwell" else 0) else 2
    return _local(leads, 64, parts, warps=4, stages=stages, blocks=blocks)


def local_backward_tile(
    leads: int,
    head_dim: int,
    itemsize: int,
    precision: str,
    target: Target,
    *,
    dropout: bool,
    padded: bool,
    visible: bool,
    split: bool,
) -> LocalTile:
    """The tile of ``local_backward``; dropout, padding, visible beats and split heads take registers of their own."""
    units = machine(itemsize, precision, target)
    if units == "none":
        warps = 16 if itemsize == 4 and head_dim > 32 else 8
        parts = _halves(head_dim) if itemsize == 2 and head_dim > 64 else _whole(head_dim)
        if itemsize == 2 and head_dim == 96 and not (dropout or padded or visible):
            parts = head_parts(head_dim)
        return _local(leads, 32, parts, warps, stages=1, blocks=1, late=itemsize == 2)
    parts = _whole(head_dim)
    if units == "hopper" and not target.tall_tiles:
        rows = local_rows(leads, 32)
        few = head_dim <= 64 and rows == 32
        return _local(leads, 32, parts, warps=4 if few or rows == 64 else 8, stages=1, blocks=2 if few else 1)
    plain = not dropout and not padded and (head_dim <= 32 or not visible)
    if units == "hopper" and itemsize == 2 and plain and local_rows(leads, 64) == 64:
        if head_dim <= 64:
            return _local(leads, 64, parts, warps=4, stages=2, blocks=2)
        if head_dim <= 96 and not split:
            return _local(leads, 64, head_parts(head_dim), warps=8, stages=1, blocks=1)
        if 96 < head_dim <= 128:
            return _local(leads, 32, parts, warps=4, stages=2, blocks=2)
    if head_dim > 64 or itemsize == 4 or local_rows(leads, 32) > 64:
        return _local(leads, 32, parts, warps=8, stages=1, blocks=1)
    # Warp-group products read their operands from shared memory; elsewhere, and beside the random numbers of dropout,
    # 64 rows would not fit the registers.
    if units == "ampere":
        return _local(leads, 32, parts, warps=8 if dropout else 4, stages=1, blocks=2)
    if dropout:
        return _local(leads, 32, parts, warps=4, stages=1, blocks=2)
    warps = 8 if padded and units == "hopper" and head_dim > 32 else 4
    return _local(leads, 64, _halves(head_dim), warps=warps, stages=1, blocks=2 if warps == 4 else 1)


def whole_forward_tile(head_dim: int, itemsize: int, precision: str, target: Target) -> WholeTile:
    """The tile of ``tile_forward``."""
    units = machine(itemsize, precision, target)
    if units == "none" or itemsize == 4 or head_dim > 128:
        return WholeTile(_plain(head_dim, itemsize, units), warps=8, stages=1, blocks=1, rows=32)
    if units == "ampere":
        return WholeTile(_whole(head_dim), warps=4, stages=1, blocks=4 if head_dim <= 32 else 3, rows=64)
    if units == "blackwell":
        parts = head_parts(head_dim) if head_dim <= 96 else _whole(head_dim)
        return WholeTile(parts, warps=4, stages=1, blocks=2 if head_dim > 96 else 3 if head_dim > 64 else 4, rows=64)
    return WholeTile(head_parts(head_dim), warps=4, stages=1, blocks=4 if head_dim <= 96 else 3, rows=64)


def whole_backward_tile(head_dim: int, itemsize: int, precision: str, target: Target, *, dropout: bool) -> WholeTile:
    """The tile of ``tile_backward``."""
    units = machine(itemsize, precision, target)
    if units == "none" or itemsize == 4 or head_dim > 128:
        return WholeTile(_plain(head_dim, itemsize, units), warps=8, stages=1, blocks=1, rows=32)
    if head_dim > 64 and (units == "ampere" or (units == "blackwell" and dropout)):
        return WholeTile(_whole(head_dim), warps=8, stages=1, blocks=1, rows=64)
    if units == "ampere":
        return WholeTile(_whole(head_dim), warps=4, stages=1, blocks=3 if head_dim <= 32 else 2, rows=64)
    if units == "blackwell":
        parts = head_parts(head_dim) if head_dim <= 96 else _halves(head_dim)
        return WholeTile(parts, warps=4, stages=1, blocks=2 if head_dim > 64 else 3 if head_dim > 32 else 4, rows=64)
    return WholeTile(head_parts(head_dim), warps=4, stages=1, blocks=4 if head_dim <= 64 else 2, rows=64)


def dense_forward_tile(head_dim: int, itemsize: int, precision: str, target: Target, *, padded: bool) -> DenseTile:
    """The tile of ``dense_forward``; a padding mask takes registers of its own."""
    units = machine(itemsize, precision, target)
    if units == "none" or itemsize == 4 or head_dim > 128:
        parts = _plain(head_dim, itemsize, units) if itemsize == 2 or head_dim > 64 else _whole(head_dim)
        return DenseTile(parts, warps=8, stages=1, blocks=1, queries=32, keys=32)
    if units == "blackwell":  # a second stage doubles the code of each of the two loops, and spills with 64 keys
        if head_dim <= 64:
            return DenseTile(_whole(head_dim), warps=4, stages=1, blocks=2, queries=64, keys=64)
        return DenseTile(_whole(head_dim), warps=4, stages=1, blocks=2, queries=64, keys=32)
    if units == "ampere" and head_dim > 64:
        return DenseTile(_whole(head_dim), warps=4, stages=1, blocks=2, queries=64, keys=32)
    if units == "hopper" and 64 < head_dim <= 96:
        return DenseTile(head_parts(head_dim), warps=4, stages=3, blocks=2 if padded else 3, queries=64, keys=32)
    keys = 64 if head_dim <= 64 and units == "hopper" else 32
    return DenseTile(head_parts(head_dim), warps=4, stages=2, blocks=2, queries=64, keys=keys)


def dense_query_tile(head_dim: int, itemsize: int, precision: str, target: Target, *, dropout: bool) -> DenseTile:
    """The tile of ``dense_backward_query``."""
    units = machine(itemsize, precision, target)
    if units == "none" or itemsize == 4 or head_dim > 128:
        parts = _plain(head_dim, itemsize, units)
        keys = 32 if head_dim <= 96 or (itemsize == 2 and units == "none") else 16
        return DenseTile(parts, warps=8, stages=1, blocks=1, queries=32, keys=keys)
    if units == "ampere":
        if dropout and head_dim > 96:  # 64 rows spill on 12.0 beside padding
            return DenseTile(_whole(head_dim), warps=4, stages=1, blocks=2, queries=32, keys=32)
        keys = 16 if dropout and 32 < head_dim <= 64 else 32
        return DenseTile(_whole(head_dim), warps=4, stages=1, blocks=2, queries=64, keys=keys)
    if dropout:
        keys = 16 if units == "hopper" and head_dim > 64 else 32
        return DenseTile(_whole(head_dim), warps=4, stages=1, blocks=2, queries=64, keys=keys)
    keys = 64 if head_dim <= (96 if units == "hopper" else 64) else 32
    return DenseTile(head_parts(head_dim), warps=4, stages=1, blocks=2, queries=64, keys=keys)


def dense_key_tile(
    head_dim: int, itemsize: int, precision: str, target: Target, *, listed: bool, dropout: bool
) -> DenseTile:
    """The tile of ``dense_backward_key``; a list of visible beats and dropout take registers of their own."""
    units = machine(itemsize, precision, target)
    if units == "none" or itemsize == 4 or head_dim > 128:
        if units == "none" and itemsize == 2 and head_dim > 32:
            return DenseTile(_halves(head_dim), warps=8, stages=1, blocks=1, queries=16, keys=16)
        return DenseTile(_halves(head_dim), 8, stages=1, blocks=1, queries=32 if head_dim <= 64 else 16, keys=32)
    if units == "hopper" and 64 < head_dim <= 96 and not listed and not dropout:
        return DenseTile(head_parts(head_dim), warps=4, stages=1, blocks=2, queries=32, keys=64)
    if head_dim <= (32 if units == "ampere" else 64):
        return DenseTile(head_parts(head_dim), warps=4, stages=1, blocks=2, queries=32, keys=64)
    return DenseTile(_whole(head_dim), warps=4, stages=1, blocks=2, queries=32, keys=32)


def _local(
    leads: int, smallest: int, parts: tuple[int, int], warps: int, stages: int, blocks: int, *, late: bool = False
) -> LocalTile:
    rows = local_rows(leads, smallest)
    return LocalTile(parts, warps, stages, blocks, rows, rows // leads - 1, late)


def is_split(heads: int, beats: int, leads: int) -> bool:
    """Whether the usual tile, of 64 rows, leaves a head of ``heads`` = B * H to several programs."""
    columns = max(1, 64 // leads - 1)
    return splits(heads, -(-beats // columns)) > 1


def splits(heads: int, tiles: int) -> int:
    """In how many parts the tiles of a head are split, for ``heads`` = B * H heads."""
    wanted = min(-(-WANTED_PROGRAMS // heads), tiles // FEWEST_TILES)
    if wanted <= 1:
        return 1
    return -(-tiles // -(-tiles // wanted))


def heads_per_program(heads: int, tile: LocalTile, target: Target) -> int:
    """How many of ``heads`` = B * H heads one program takes in turn."""
    return max(1, heads // (WAVES * tile.blocks * target.processors))


def merge_block(head_dim: int, parts: int) -> int:
    """How many of a class row's parts are merged at once."""
    return min(next_power_of_two(parts), max(16, 8192 // next_power_of_two(head_dim)))


def tile_share(heads: int, tiles: int) -> int:
    """How many programs share the ``tiles`` of a head whose real number only the device knows.

    Most of them may turn out to be empty: with many heads, one program walks through all tiles of its head.
    """
    return min(tiles, max(1, WANTED_PROGRAMS // heads))
