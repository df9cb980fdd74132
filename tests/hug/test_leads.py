"""Lead names: spellings found in real files, and refusals that name what is known."""

from __future__ import annotations

import pytest

from clear_hug.leads import LEAD_GROUPS, STANDARD_LEADS, canonical_lead, canonical_leads


def test_order_and_groups_are_the_standard_ones() -> None:
    assert " ".join(STANDARD_LEADS) == "I II III aVR aVL aVF V1 V2 V3 V4 V5 V6"
    assert list(LEAD_GROUPS) == ["limb", "augmented", "precordial"]
    assert sum(LEAD_GROUPS.values(), ()) == STANDARD_LEADS


@pytest.mark.parametrize("lead", STANDARD_LEADS)
@pytest.mark.parametrize("spell", ["{}", " {} ", "Lead {}", "lead_{}", "ECG {}", "MDC_ECG_LEAD_{}"])
def test_every_lead_in_every_spelling(lead: str, spell: str) -> None:
    for name in (lead, lead.upper(), lead.lower()):
        assert canonical_lead(spell.format(name)) == lead


@pytest.mark.parametrize(
    ("name", "lead"),
    [("MLII", "II"), ("MLIII", "III"), ("mli", "I"), ("MV1", "V1"), ("ML II", "II"), ("aVR ", "aVR"), ("AVR", "aVR"),
     ("a V F", "aVF"), ("Lead 2", "II"), ("V-5", "V5"), ("ECG I", "I")],
)  # fmt: skip
def test_aliases(name: str, lead: str) -> None:
    assert canonical_lead(name) == lead


@pytest.mark.parametrize(
    "name", ["", "V7", "V0", "IV", "aV", "resp", "ECG", "lead", "V3R", "M", "X", "4", "1", "ECG1", "lead4"]
)
def test_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(ValueError, match="unknown lead name") as caught:
        canonical_lead(name)
    assert repr(name) in str(caught.value)
    assert "I II III aVR aVL aVF V1 V2 V3 V4 V5 V6" in str(caught.value)


def test_several_names() -> None:
    assert canonical_leads(["V1", "mlii", "avl"]) == ("V1", "II", "aVL")
    assert canonical_leads([]) == ()
    with pytest.raises(ValueError, match="'ii' and as 'MLII'"):
        canonical_leads(["ii", "MLII"])
    with pytest.raises(TypeError, match="single string 'V1'"):
        canonical_leads("V1")
    with pytest.raises(TypeError, match="a string, got 3"):
        canonical_leads([3])  # type: ignore[list-item]
