"""The three views of the beats that CLEAR's attention takes, as arguments of one transformer layer."""

from __future__ import annotations

from typing import Literal, NamedTuple

from torch import Tensor

from clear_kernels import BeatSparseAttention


class GridView(NamedTuple):
    """All beats are in the sequence, in lead-major order.

    Attributes:
        visible: True makes every beat global (view-guided, the encoder downstream); bool [B, L, T] makes those beats
            global and the others local (conduction view, the decoder).
        valid: bool [B, L, T], real beats.
    """

    visible: Literal[True] | Tensor
    valid: Tensor


class PackedView(NamedTuple):
    """Only K chosen beats are in the sequence, all of them global (view-guided, the encoder in pre-training).

    Attributes:
        lead: int64 [B, K], lead of each beat.
        valid: bool [B, K], False in slots that hold nothing.
    """

    lead: Tensor
    valid: Tensor


View = GridView | PackedView


def attend(attention: BeatSparseAttention, x: Tensor, view: View) -> Tensor:
    """Tokens [B, N, E] → [B, N, E], by the form of attention that `view` stands for."""
    if isinstance(view, PackedView):
        return attention.forward_packed(x, view.lead, view.valid)
    out: Tensor = attention(x, visible=view.visible, valid=view.valid)
    return out
