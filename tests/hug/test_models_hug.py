"""The HUG head against the formula, its sizes, and its behaviour with some of the leads."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from clear_hug.leads import STANDARD_LEADS
from clear_hug.models import HUG


def test_the_seven_groups_by_hand() -> None:
    head = HUG(6, num_classes=2)
    x = torch.randn(4, 12, 6)
    limb, augmented, precordial = (head.lead_level[name] for name in ("limb", "augmented", "precordial"))
    g1 = (limb(x[:, 0]) + limb(x[:, 1]) + limb(x[:, 2])) / 3
    g2 = (augmented(x[:, 3]) + augmented(x[:, 4]) + augmented(x[:, 5])) / 3
    g3 = sum(precordial(x[:, lead]) for lead in range(6, 12)) / 6
    pair = head.pair_level
    g12 = (pair["limb_augmented"](g1) + pair["limb_augmented"](g2)) / 2
    g23 = (pair["augmented_precordial"](g2) + pair["augmented_precordial"](g3)) / 2
    g13 = (pair["limb_precordial"](g1) + pair["limb_precordial"](g3)) / 2
    assert head.heart_level is not None
    g123 = (head.heart_level(g12) + head.heart_level(g23) + head.heart_level(g13)) / 3
    wanted = torch.stack([g1, g2, g3, g12, g23, g13, g123], dim=1)
    torch.testing.assert_close(head.groups(x), wanted)
    torch.testing.assert_close(head(x), head.classifier(wanted.flatten(1)))


def test_names_follow_the_order_of_the_vectors() -> None:
    assert HUG(4, num_classes=1).group_names == (
        "limb", "augmented", "precordial", "limb+augmented", "augmented+precordial", "limb+precordial", "all",
    )  # fmt: skip


def test_groups_are_found_by_lead_name_not_by_place() -> None:
    torch.manual_seed(0)
    head = HUG(5, num_classes=3)
    shuffled_leads = tuple(STANDARD_LEADS[place] for place in torch.randperm(12).tolist())
    shuffled = HUG(5, shuffled_leads, num_classes=3)
    shuffled.load_state_dict(head.state_dict())
    x = torch.randn(2, 12, 5)
    order = [STANDARD_LEADS.index(lead) for lead in shuffled_leads]
    torch.testing.assert_close(shuffled(x[:, order]), head(x))


@pytest.mark.parametrize(("combine", "inputs"), [("concat", 7 * 768), ("mean", 768)])
def test_parameter_counts_of_the_paper_and_of_the_authors_code(combine: Any, inputs: int) -> None:
    head = HUG(768, num_classes=5, combine=combine)
    expected = 7 * (768 * 768 + 768) + 5 * inputs + 5
    assert sum(parameter.numel() for parameter in head.parameters()) == expected


@pytest.mark.parametrize("combine", ["concat", "mean"])
def test_as_published_the_head_is_one_affine_map_and_gelu_changes_that(combine: Any) -> None:
    x, y = torch.randn(2, 3, 12, 8, dtype=torch.float64)

    def bend(head: nn.Module) -> float:
        middle = head((x + y) / 2) - (head(x) + head(y)) / 2
        return middle.abs().max().item()

    assert bend(HUG(8, num_classes=2, combine=combine).double()) < 1e-12
    assert bend(HUG(8, num_classes=2, combine=combine, nonlinearity="gelu").double()) > 1e-3


@pytest.mark.parametrize(
    ("leads", "names"),
    [
        (("II",), ("limb",)),
        (("V1", "V5"), ("precordial",)),
        (("aVF", "II", "I"), ("limb", "augmented", "limb+augmented")),
        (("V2", "I"), ("limb", "precordial", "limb+precordial")),
    ],
)
@pytest.mark.parametrize("combine", ["concat", "mean"])
def test_groups_without_leads_are_left_out(leads: tuple[str, ...], names: tuple[str, ...], combine: Any) -> None:
    head = HUG(6, leads, num_classes=4, combine=combine)
    assert head.group_names == names
    x = torch.randn(2, len(leads), 6)
    assert head.groups(x).shape == (2, len(names), 6)
    head(x).sum().backward()
    assert all(parameter.grad is not None for parameter in head.parameters())


def test_refusals() -> None:
    with pytest.raises(ValueError, match="'X1'"):
        HUG(4, ("I", "X1"), num_classes=2)
    with pytest.raises(ValueError, match="empty"):
        HUG(4, (), num_classes=2)
    with pytest.raises(ValueError, match="combine='sum'"):
        HUG(4, num_classes=2, combine="sum")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="nonlinearity='relu'"):
        HUG(4, num_classes=2, nonlinearity="relu")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\(2, 11, 4\).*L=12"):
        HUG(4, num_classes=2)(torch.zeros(2, 11, 4))
