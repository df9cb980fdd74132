"""Which beats the encoder sees in pre-training, drawn and packed without a Python loop or a device sync.

Every sample keeps its own number of beats, because padding differs. A packed tensor of the *largest* such number would
need that number on the host, hence a sync each step. `packed_size` needs shapes only: a record without padding keeps
the most, so its count bounds all others; the slots a sample leaves empty are marked invalid and ignored by attention.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Packing(NamedTuple):
    """Positions of the kept beats of each sample, in the order of the record.

    Attributes:
        position: int64 [B, K], lead-major place ``i * T + j`` of each kept beat; 0 in empty slots.
        valid: bool [B, K], False in empty slots.
        slot: int64 [B, L * T], where each kept beat lies in the packed order; arbitrary elsewhere.
    """

    position: Tensor
    valid: Tensor
    slot: Tensor


def kept_beats(valid_beats: int, mask_ratio: float) -> int:
    """Beats shown to the encoder out of `valid_beats`: the rounded share, at least one (none if there are none)."""
    return max(min(valid_beats, 1), round((1.0 - mask_ratio) * valid_beats))


def packed_size(leads: int, beats: int, mask_ratio: float) -> int:
    """K, slots of the packed sequence: what a record without padding keeps, the most any record can keep."""
    return kept_beats(leads * beats, mask_ratio)


def kept_table(leads: int, beats: int, mask_ratio: float) -> Tensor:
    """`kept_beats` of 0, 1, … L*T as int64 [L*T + 1], so that a device looks its counts up instead of rounding."""
    return torch.tensor([kept_beats(count, mask_ratio) for count in range(leads * beats + 1)])


def draw_visible(valid: Tensor, table: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw the beats the encoder may see, independently for each sample and uniformly over its valid beats.

    Args:
        valid: bool [B, L, T], True for real beats.
        table: int64 [L*T + 1] from `kept_table`, on the device of `valid`.
        generator: source of randomness. The draw happens on the generator's device (without one: on that of `valid`),
            so a CPU generator gives the same masks on every device.

    Returns:
        bool [B, L, T], True for exactly ``table[number of valid beats]`` valid beats of each sample.
    """
    flat = valid.flatten(1)  # [B, L*T]
    device = valid.device if generator is None else generator.device
    noise = torch.rand(flat.shape, generator=generator, device=device).to(valid.device)  # [B, L*T]
    order = noise.masked_fill(~flat, 2.0).argsort(dim=1)  # [B, L*T], padding last
    kept = table[flat.sum(dim=1)]  # [B]
    first = torch.arange(flat.shape[1], device=valid.device) < kept[:, None]  # [B, L*T]
    return torch.zeros_like(flat).scatter(1, order, first).view_as(valid)


def pack(visible: Tensor, size: int) -> Packing:
    """Positions of the visible beats, ascending: the packed sequence does not depend on the order of the draw.

    Args:
        visible: bool [B, L, T], at most `size` True per sample.
        size: K, slots per sample.
    """
    flat = visible.flatten(1)  # [B, L*T]
    slot = flat.long().cumsum(dim=1) - 1  # [B, L*T]
    place = torch.arange(flat.shape[1], device=flat.device).expand_as(flat)  # [B, L*T]
    # one slot more than wanted takes what is not visible
    position = place.new_zeros(flat.shape[0], size + 1)  # [B, K + 1]
    position = position.scatter(1, torch.where(flat, slot, size), place)[:, :size]  # [B, K]
    filled = torch.arange(size, device=flat.device) < flat.sum(dim=1, keepdim=True)  # [B, K]
    return Packing(position.masked_fill(~filled, 0), filled, slot.clamp(0, size - 1))
