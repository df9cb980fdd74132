"""Batches that do not fit the model are refused with the value and the remedy."""

from __future__ import annotations

import pytest
import torch
from models_common import random_batch, small_clear, small_config

from clear_hug.models import check_batch


def test_a_good_batch_passes_and_int32_seconds_too() -> None:
    model = small_clear()
    tokens, valid, seconds = random_batch(model.config)
    check_batch(model.config, tokens, valid, seconds)
    assert torch.equal(model.encode(tokens, valid, seconds.int()), model.encode(tokens, valid, seconds))


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_wrong_leads_beats_or_samples(axis: int) -> None:
    tokens, valid, seconds = random_batch(small_config())
    short = tokens.narrow(axis, 0, tokens.shape[axis] - 1)
    with pytest.raises(ValueError, match=r"this model takes \[B, L=3, T=4, S=10\] with leads \['I', 'II', 'V1'\]"):
        small_clear().encode(short, valid, seconds)


def test_wrong_companions() -> None:
    model = small_clear()
    tokens, valid, seconds = random_batch(model.config)
    with pytest.raises(ValueError, match=r"tokens have shape \(3, 12, 10\)"):
        model(tokens.flatten(1, 2), valid, seconds)
    with pytest.raises(ValueError, match=r"valid has shape \(2, 3, 4\)"):
        model(tokens, valid[:2], seconds)
    with pytest.raises(ValueError, match=r"valid has dtype torch\.uint8"):
        model(tokens, valid.byte(), seconds)
    with pytest.raises(ValueError, match=r"seconds has shape \(3, 3\)"):
        model(tokens, valid, seconds[:, :3])
    with pytest.raises(ValueError, match=r"seconds has dtype torch\.float32"):
        model(tokens, valid, seconds.float())
    with pytest.raises(ValueError, match=r"tokens have dtype torch\.int16"):
        model(tokens.short(), valid, seconds)
    with pytest.raises(ValueError, match="visible has dtype"):
        model(tokens, valid, seconds, visible=valid.float())
    with pytest.raises(ValueError, match=r"visible has dtype torch\.bool and shape \(4,\)"):
        model(tokens, valid, seconds, visible=valid[0, 0])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_broken_samples_in_a_valid_beat(value: float) -> None:
    model = small_clear()
    tokens, valid, seconds = random_batch(model.config)
    tokens[2, 1, 0, 3] = value
    with pytest.raises(ValueError, match="beat 0 of lead II in sample 2 has NaN or infinite"):
        model(tokens, valid, seconds)


def test_seconds_beyond_the_table() -> None:
    model = small_clear()
    tokens, valid, seconds = random_batch(model.config)
    seconds[0, 1] = 12
    with pytest.raises(ValueError, match=r"seconds hold 12, but the time table has rows 0 to 11.*at least 13"):
        model.encode(tokens, valid, seconds)
    seconds[0, 1] = -1
    with pytest.raises(ValueError, match="seconds hold -1"):
        model.encode(tokens, valid, seconds)


def test_an_unknown_attention_backend_is_refused() -> None:
    with pytest.raises(ValueError, match="abacus"):
        small_clear(backend="abacus")
