"""Tile sizes, warps and pipeline depth of the Triton kernels, from the shape, the dtype and the GPU.

Rules instead of a search: the first call never stalls, and two runs take the same kernels. What the choices cost in
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

# Compute capabilities whose matrix instructions Triton uses, and that read float32 as TF32 on request.
_MATRIX_CAPABILITY = 80


@dataclass(frozen=True)
class Target:
    """What the choice depends on: compute capability (major * 10 + minor), shared memory of a block (bytes), SMs."""

    capability: int
    shared: int
    processors: int


@dataclass(frozen=True)
class LocalTile:
    """Class rows and ``columns`` beat columns in ``rows`` rows; ``resident`` blocks are expected on one SM."""

    rows: int
    columns: int
    warps: int
    stages: int
    resident: int


@dataclass(frozen=True)
class DenseTile:
    """Query rows by key rows."""

    queries: int
    keys: int
    warps: int
    stages: int


def next_power_of_two(n: int) -> int:
    """The smallest power of two that is at least ``n``."""
    return 1 << max(n - 1, 0).bit_length()


def whole_head(head_dim: int) -> int:
    """Width of a row held in one power-of-two part: 96 gives 128."""
    return max(16, next_power_of_two(head_dim))


def head_parts(head_dim: int) -> tuple[int, int]:
    """Widths (D0, D1) of the one or two power-of-two parts a row is held in: 96 gives (64, 32), 80 gives (64, 16)."""
    whole = whole_head(head_dim)
    main = whole // 2
    tail = max(16, next_power_of_two(head_dim - main)) if main >= 16 else main
    return (whole, 0) if tail >= main else (main, tail)


def uses_matrix_units(itemsize: int, precision: str, target: Target) -> bool:
    """Whether dot products run on matrix units; otherwise they are plain float32 arithmetic and want small tiles."""
    return target.capability >= _MATRIX_CAPABILITY and (itemsize == 2 or precision == "tf32")


def _rows(leads: int, smallest: int) -> int:
    """Rows of a local tile: a power of two with room for the class rows and one column."""
    return max(smallest, next_power_of_two(2 * leads))


def local_forward_tile(leads: int, head_dim: int, itemsize: int, precision: str, target: Target) -> LocalTile:
    """The tile of ``local_forward``."""
    matrix = uses_matrix_units(itemsize, precision, target)
    rows = _rows(leads, 64 if matrix else 32)
    width = sum(head_parts(head_dim)) * itemsize
    warps = 4 if rows <= 64 and width <= 256 and matrix else 8
    # Each stage holds q, k and v; two blocks should fit on an SM.
    stages = 2 if matrix and 2 * (3 * rows * width * 2) <= target.shared else 1
    return LocalTile(rows, rows // leads - 1, warps, stages, resident=3 if width <= 128 else 2)


def local_backward_tile(leads: int, head_dim: int, itemsize: int, precision: str, target: Target) -> LocalTile:
    """The tile of ``local_backward``."""
    matrix = uses_matrix_units(itemsize, precision, target)
    # Warp-group products read their operands from shared memory; elsewhere a large tile would not fit the registers.
    large = matrix and target.capability in (90, 100, 103) and head_dim <= 64 and itemsize == 2
    rows = _rows(leads, 64 if large else 32)
    warps = 4 if rows <= 64 and matrix else 8
    return LocalTile(rows, rows // leads - 1, warps, 1, resident=2)


def dense_forward_tile(head_dim: int, itemsize: int, precision: str, target: Target) -> DenseTile:
    """The tile of ``dense_forward``."""
    matrix = uses_matrix_units(itemsize, precision, target)
    size = 64 if matrix else 32
    width = sum(head_parts(head_dim)) * itemsize
    stages = 2 if matrix and 2 * (2 * 2 + 1) * size * width <= target.shared else 1
    return DenseTile(size, size, 4 if width <= 256 and matrix else 8, stages)


def dense_backward_tile(head_dim: int, itemsize: int, precision: str, target: Target) -> DenseTile:
    """The tile of ``dense_backward_query``, ``dense_backward_key`` and ``tile_backward``."""
    matrix = uses_matrix_units(itemsize, precision, target)
    size = 64 if matrix else 32
    return DenseTile(size, size, 4 if head_dim <= 64 and matrix else 8, 1)


def splits(heads: int, tiles: int) -> int:
    """In how many parts the tiles of a head are split, for ``heads`` = B * H heads."""
    wanted = min(-(-WANTED_PROGRAMS // heads), tiles // FEWEST_TILES)
    if wanted <= 1:
        return 1
    return -(-tiles // -(-tiles // wanted))


def heads_per_program(heads: int, tile: LocalTile, target: Target) -> int:
    """How many of ``heads`` = B * H heads one program takes in turn."""
    return max(1, heads // (WAVES * tile.resident * target.processors))


def merge_block(head_dim: int, parts: int) -> int:
    """How many of a class row's parts are merged at once."""
    return min(next_power_of_two(parts), max(16, 8192 // next_power_of_two(head_dim)))


def tile_share(heads: int, tiles: int) -> int:
    """How many programs share the ``tiles`` of a head whose real number only the device knows.

    Most of them may turn out to be empty: with many heads, one program walks through all tiles of its head.
    """
    return min(tiles, max(1, WANTED_PROGRAMS // heads))
