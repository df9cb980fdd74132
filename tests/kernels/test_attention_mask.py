"""The dense mask against the attention table, read aloud token by token."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from clear_kernels import attention_mask
from clear_kernels.mask import packed_mask


def may_attend(query: tuple[int, int], key: tuple[int, int], valid: Tensor, visible: Tensor) -> bool:
    """The table. A token is (lead, beat), its class token (lead, -1)."""
    if query[1] == -1:
        return key == query or (key[1] >= 0 and key[0] == query[0] and bool(valid[key]))
    if not valid[query]:
        return False
    if key[1] == -1:
        return key[0] == query[0]
    if not valid[key]:
        return False
    if visible[query]:
        return bool(visible[key])
    return key[1] == query[1]


@given(leads=st.integers(1, 4), beats=st.integers(1, 4), seed=st.integers(0, 999), everything=st.booleans())
def test_equals_the_table(leads: int, beats: int, seed: int, everything: bool) -> None:
    torch.manual_seed(seed)
    valid = torch.rand(leads, beats) < 0.7
    visible = torch.ones(leads, beats, dtype=torch.bool) if everything else torch.rand(leads, beats) < 0.5
    tokens = [(i, -1) for i in range(leads)] + [(i, j) for i in range(leads) for j in range(beats)]
    expected = torch.tensor([[may_attend(a, b, valid, visible) for b in tokens] for a in tokens])
    assert torch.equal(attention_mask(leads, beats, True if everything else visible, valid), expected)


def test_counts_of_the_paper() -> None:
    local = attention_mask(12, 15)
    assert local.shape == (192, 192)
    assert int(local.sum()) == 2532  # 6.9 % of 36 864 pairs
    assert int(attention_mask(12, 15, True).sum()) == 12 * 16 + 180 * 181


def test_none_and_false_mean_local_and_full_valid() -> None:
    nothing, all_of_it = torch.zeros(3, 4, dtype=torch.bool), torch.ones(3, 4, dtype=torch.bool)
    assert torch.equal(attention_mask(3, 4), attention_mask(3, 4, nothing, all_of_it))
    assert torch.equal(attention_mask(3, 4), attention_mask(3, 4, False))
    assert torch.equal(attention_mask(3, 4, True), attention_mask(3, 4, all_of_it))


@pytest.mark.parametrize("batched", ["visible", "valid", "both"])
def test_a_batch_dimension_is_a_stack(batched: str) -> None:
    visible, valid = (torch.rand(3, 2, 4) < 0.6 for _ in range(2))
    if batched == "visible":
        stacked = attention_mask(2, 4, visible, valid[0])
        each = [attention_mask(2, 4, seen, valid[0]) for seen in visible]
    elif batched == "valid":
        stacked = attention_mask(2, 4, visible[0], valid)
        each = [attention_mask(2, 4, visible[0], real) for real in valid]
    else:
        stacked = attention_mask(2, 4, visible, valid)
        each = [attention_mask(2, 4, seen, real) for seen, real in zip(visible, valid, strict=True)]
    assert torch.equal(stacked, torch.stack(each))


@given(seed=st.integers(0, 999))
def test_packed_equals_the_rows_kept_of_the_grid(seed: int) -> None:
    torch.manual_seed(seed)
    leads, beats = 3, 5
    valid = torch.rand(leads * beats) < 0.7
    order = torch.randperm(leads * beats)
    tokens = torch.cat([torch.arange(leads), leads + order])
    full = attention_mask(leads, beats, True, valid.view(leads, beats))
    assert torch.equal(packed_mask(leads, (order // beats).int(), valid[order]), full[tokens][:, tokens])


def test_masks_of_the_wrong_kind_are_refused() -> None:
    with pytest.raises(TypeError, match=r"valid.dtype=torch.float32; pass a bool tensor"):
        attention_mask(2, 3, None, torch.ones(2, 3))
    with pytest.raises(ValueError, match=r"visible.shape=\(3, 2\); pass \(2, 3\) or \(B, 2, 3\)"):
        attention_mask(2, 3, torch.ones(3, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="leads=0; pass at least 1"):
        attention_mask(0, 3)
    with pytest.raises(TypeError, match=r"beats=1.5 has type float; pass an int"):
        attention_mask(2, 1.5)  # type: ignore[arg-type]
