"""Who may attend whom: the attention table of CLEAR as a dense boolean mask.

Every token is the class token of a lead, or one beat seen by one lead. A beat is *padding* unless ``valid``; a valid
beat is *global* where ``visible`` and *local* elsewhere.

| query        | may attend                                                                         |
|--------------|------------------------------------------------------------------------------------|
| class token  | itself and every valid beat of its own lead                                        |
| local beat   | the class token of its lead and the same heartbeat in every lead where it is valid |
| global beat  | the class token of its lead and every global beat                                  |
| padding      | nothing, and nobody attends it                                                     |

Source: "Tracing the Heart's Pathways" (CLEAR-HUG), AAAI 2026, arXiv:2512.24002.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clear_kernels.checks import check_count, check_mask


def attention_mask(leads: int, beats: int, visible: Tensor | bool | None = None, valid: Tensor | None = None) -> Tensor:
    """Return the dense mask of :func:`clear_kernels.beat_sparse_attention`.

    Args:
        leads: Number of leads L.
        beats: Number of beat slots per lead T.
        visible: None (every beat is local), True (every beat is global), or bool [L, T] or [B, L, T].
        valid: Which beats are real: None (all), or bool [L, T] or [B, L, T].

    Returns:
        bool [N, N], or [B, N, N] when a mask has a batch dimension; N = leads * (beats + 1), class tokens first, then
        lead-major beats. ``mask[..., query, key]`` is True where the query may attend the key. Rows and columns of
        padding are False throughout. The device is that of the masks, the CPU without any.

    Raises:
        TypeError: If a mask is not a bool tensor, or a count not an int.
        ValueError: If a mask has another shape, or the masks differ in batch size or device.
    """
    check_count("leads", leads)
    check_count("beats", beats)
    if valid is not None:
        valid = check_mask("valid", valid, (leads, beats), None, None)
    device = valid.device if valid is not None else None
    batch = valid.shape[0] if valid is not None and valid.dim() == 3 else None
    all_visible = visible is True
    if isinstance(visible, bool):
        visible = None
    if visible is not None:
        visible = check_mask("visible", visible, (leads, beats), batch, device)
        device = visible.device
    return grid_mask(leads, beats, visible, valid, all_visible=all_visible, device=device)


def grid_mask(
    leads: int,
    beats: int,
    visible: Tensor | None,
    valid: Tensor | None,
    *,
    all_visible: bool,
    device: torch.device | None,
) -> Tensor:
    """:func:`attention_mask` for canonical arguments."""
    ones = torch.ones(leads, beats, dtype=torch.bool, device=device)  # [L, T]
    real = ones if valid is None else valid  # [(B), L, T]
    seen = ones & all_visible if visible is None else visible  # [(B), L, T]
    beat = torch.arange(beats, device=device)  # [T]
    return _mask(
        leads,
        lead=torch.arange(leads, device=device).repeat_interleave(beats),
        beat=beat.repeat(leads),
        valid=real.flatten(-2),
        is_global=(real & seen).flatten(-2),
    )


def packed_mask(leads: int, lead: Tensor, valid: Tensor | None) -> Tensor:
    """The dense mask of :func:`clear_kernels.packed_view_attention`: bool [L+n, L+n] or [B, L+n, L+n]."""
    real = torch.ones_like(lead, dtype=torch.bool) if valid is None else valid  # [(B), n]
    return _mask(leads, lead=lead, beat=None, valid=real, is_global=real)


def _mask(leads: int, *, lead: Tensor, beat: Tensor | None, valid: Tensor, is_global: Tensor) -> Tensor:
    """The table, from the coordinates of the beats; ``beat=None`` when no beat can be local."""
    class_lead = torch.arange(leads, device=lead.device, dtype=lead.dtype)  # [L]
    own_class = class_lead == lead[..., :, None]  # [(B), n, L] query beat, key class token
    among = is_global[..., :, None] & is_global[..., None, :]  # [(B), n, n] query beat, key beat
    if beat is not None:
        is_local = valid & ~is_global  # [(B), n]
        among = among | (is_local[..., :, None] & valid[..., None, :] & (beat[:, None] == beat))
    own_class = own_class & valid[..., :, None]
    batch = torch.broadcast_shapes(own_class.shape[:-2], among.shape[:-2])
    own_class = own_class.expand(*batch, -1, -1)
    itself = torch.eye(leads, dtype=torch.bool, device=lead.device).expand(*batch, -1, -1)  # [(B), L, L]
    class_rows = torch.cat([itself, own_class.transpose(-1, -2)], dim=-1)  # [(B), L, L + n]
    beat_rows = torch.cat([own_class, among.expand(*batch, -1, -1)], dim=-1)  # [(B), n, L + n]
    return torch.cat([class_rows, beat_rows], dim=-2)  # [(B), L + n, L + n]
