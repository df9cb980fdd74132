"""The smallest demonstration, run once per test session and shared by the tests of predict, command line and demo."""

from __future__ import annotations

from clear_hug.demo import DemoConfig

MICRO_MODEL = {
    "embed_dim": 16, "depth": 1, "heads": 2, "mlp_dim": 16,
    "decoder_dim": 8, "decoder_depth": 1, "decoder_heads": 2, "decoder_mlp_dim": 8,
}  # fmt: skip
MICRO = DemoConfig(
    records=60,
    fs=125,
    model=MICRO_MODEL,
    beats=14,
    record_views=84,
    probe_epochs=4,
    resamples=60,
    device="cpu",
)
