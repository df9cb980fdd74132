"""Classifiers: frozen means frozen, classes are kept, sizes are those of the paper."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from models_common import random_batch, small_clear, small_config

from clear_hug.models import (
    HUG,
    CLEAREncoder,
    ECGClassifier,
    LinearHead,
    build_head,
    clear_base,
    clear_large,
    clear_tiny,
    format_parameter_counts,
    parameter_counts,
)

CLASSES = ("NORM", "MI")


def classifier(kind: Any = "linear", *, freeze: bool = True) -> ECGClassifier:
    model = small_clear()
    return ECGClassifier(model, build_head(kind, model.config, 2), CLASSES, freeze=freeze)


@pytest.mark.parametrize("kind", ["linear", "hug"])
def test_a_frozen_encoder_stays_as_it_is_while_the_head_trains(kind: str) -> None:
    model = classifier(kind).train()
    assert model.head.training
    assert not any(module.training for module in model.encoder.modules())
    batch = random_batch(model.config)
    before = {name: value.clone() for name, value in model.encoder.state_dict().items()}
    assert torch.equal(model(*batch), model(*batch))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model(*batch).square().sum().backward()
    optimizer.step()
    assert all(torch.equal(value, before[name]) for name, value in model.encoder.state_dict().items())
    assert all(parameter.grad is None for parameter in model.encoder.parameters())
    assert all(parameter.grad is not None for parameter in model.head.parameters())


def test_an_unfrozen_encoder_trains() -> None:
    model = classifier(freeze=False).train()
    assert all(module.training for module in model.modules())
    model(*random_batch(model.config)).sum().backward()
    assert model.encoder.embedding.projection.weight.grad is not None


def test_logits_come_from_the_lead_tokens_and_the_decoder_is_left_behind() -> None:
    clear = small_clear()
    model = ECGClassifier(clear, LinearHead(16, num_classes=2), CLASSES).eval()
    batch = random_batch(model.config)
    assert model.classes == CLASSES
    assert isinstance(model.encoder, CLEAREncoder)
    torch.testing.assert_close(model(*batch), model.head.classifier(clear.encode(*batch).mean(1)))
    other = classifier().eval()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(*batch), model(*batch))


def test_refusals() -> None:
    clear = small_clear()
    with pytest.raises(ValueError, match="distinct"):
        ECGClassifier(clear, LinearHead(16, num_classes=2), ("MI", "MI"))
    with pytest.raises(ValueError, match="distinct"):
        ECGClassifier(clear, LinearHead(16, num_classes=2), ())
    with pytest.raises(ValueError, match="3 logits for 2 classes"):
        ECGClassifier(clear, LinearHead(16, num_classes=3), CLASSES)(*random_batch(clear.config))
    with pytest.raises(ValueError, match="kind='mlp'"):
        build_head("mlp", clear.config, 2)  # type: ignore[arg-type]


def test_the_base_model_has_the_size_in_the_paper() -> None:
    """56.6 M parameters, 47.7 M downstream; ours embeds a beat alone, which saves 0.15 M of the token convolution."""
    with torch.device("meta"):
        base = clear_base(beats=15, beat_samples=96, seconds=16)
        official = clear_base(beats=15, beat_samples=96, seconds=16, compat="official")
    assert parameter_counts(base)["total"] == pytest.approx(56.6e6, rel=0.005)
    assert parameter_counts(base.encoder)["total"] == pytest.approx(47.7e6, rel=0.005)
    assert parameter_counts(official)["total"] == pytest.approx(56.6e6, abs=0.05e6)
    assert parameter_counts(official.encoder)["total"] == pytest.approx(47.7e6, abs=0.05e6)
    saved = (3 * 96 - 96 - 1) * 768
    unused_lead_rows = 4 * 768  # their lead table has 16 rows, of which 12 are used
    assert parameter_counts(official)["total"] - parameter_counts(base)["total"] == saved
    assert parameter_counts(official.encoder)["total"] + unused_lead_rows == 47_685_120


def test_head_dimensions_of_the_sizes() -> None:
    with torch.device("meta"):
        sizes = {"tiny": clear_tiny().config, "base": clear_base().config, "large": clear_large().config}
    heads = {name: (c.embed_dim // c.heads, c.decoder_dim // c.decoder_heads) for name, c in sizes.items()}
    assert heads == {"tiny": (32, 16), "base": (96, 32), "large": (64, 64)}
    assert sizes["large"].depth == sizes["large"].decoder_depth == 24


def test_parameter_counts_are_printed_by_part() -> None:
    model = ECGClassifier(small_clear(), HUG(16, small_config().leads, num_classes=2), CLASSES)
    counts = parameter_counts(model)
    assert counts["total"] == counts["encoder"] + counts["head"]
    assert counts["trainable"] == counts["head"]
    assert f"head {counts['head']:,}" in format_parameter_counts(model)


def test_importing_the_models_loads_no_reader_and_no_plotting() -> None:
    code = (
        "import sys, clear_hug; assert 'torch' not in sys.modules; clear_hug.STANDARD_LEADS; "
        "assert 'torch' not in sys.modules; clear_hug.CLEAR; "
        "print([name for name in ('matplotlib', 'wfdb', 'sklearn', 'pandas', 'scipy', 'typer') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
