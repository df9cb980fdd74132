"""Configurations: round trips, and refusals that name the value and the remedy."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clear_hug.leads import STANDARD_LEADS
from clear_hug.models import CLEARConfig


def test_defaults_are_the_base_model_on_the_data_layers_tokens() -> None:
    config = CLEARConfig()
    assert (config.leads, config.beats, config.beat_samples) == (STANDARD_LEADS, 30, 150)
    assert config.sequence_length == 12 * 31
    assert config.input_norm == "none"


def test_round_trip_through_json() -> None:
    config = CLEARConfig(leads=("II", "V5"), beats=7, mask_ratio=0.5, input_norm="token", compat="official")
    assert CLEARConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_other_spellings_of_leads_become_the_standard_names() -> None:
    assert CLEARConfig(leads=("avr", "Lead II")).leads == ("aVR", "II")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"leads": ()}, "name at least one lead"),
        ({"leads": "II"}, "must be a tuple of names"),
        ({"leads": ("II", "V7")}, "V7"),
        ({"leads": ("II", "ii")}, "twice"),
        ({"beats": 0}, "beats=0 must be an integer of at least 1"),
        ({"beats": 2.0}, r"beats=2\.0"),
        ({"beats": True}, "beats=True"),
        ({"beat_samples": 1}, "beat_samples=1"),
        ({"seconds": 1}, "seconds=1"),
        ({"depth": 0}, "depth=0"),
        ({"embed_dim": 770}, "embed_dim=770 does not divide into heads=8 equal heads; use embed_dim=768"),
        ({"decoder_heads": 5}, "decoder_dim=512 does not divide into decoder_heads=5"),
        ({"mask_ratio": 1.0}, r"mask_ratio=1\.0 must lie between 0 and 1"),
        ({"mask_ratio": 0.0}, r"mask_ratio=0\.0"),
        ({"dropout": 1.0}, r"dropout=1\.0"),
        ({"input_norm": "zscore"}, "input_norm='zscore' is not known; choose one of"),
        ({"compat": "theirs"}, "compat='theirs'"),
    ],
)
def test_impossible_values_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CLEARConfig(**values)


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown CLEARConfig fields \['width'\]"):
        CLEARConfig.from_dict({"width": 3})
