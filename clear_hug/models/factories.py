"""Named sizes. Numbers only: everything else is in `CLEARConfig` and `CLEAR`."""

from __future__ import annotations

from typing import Any

import torch

from clear_hug.models.clear import CLEAR
from clear_hug.models.config import CLEARConfig

TINY: dict[str, Any] = {
    "embed_dim": 128, "depth": 4, "heads": 4, "mlp_dim": 256,
    "decoder_dim": 64, "decoder_depth": 2, "decoder_heads": 4, "decoder_mlp_dim": 128,
}  # fmt: skip
BASE: dict[str, Any] = {
    "embed_dim": 768, "depth": 12, "heads": 8, "mlp_dim": 1024,
    "decoder_dim": 512, "decoder_depth": 4, "decoder_heads": 16, "decoder_mlp_dim": 1024,
}  # fmt: skip
LARGE: dict[str, Any] = {
    "embed_dim": 1024, "depth": 24, "heads": 16, "mlp_dim": 1024,
    "decoder_dim": 1024, "decoder_depth": 24, "decoder_heads": 16, "decoder_mlp_dim": 1024,
}  # fmt: skip

SIZES: dict[str, dict[str, Any]] = {"tiny": TINY, "base": BASE, "large": LARGE}


def clear_tiny(*, backend: str | None = None, **overrides: Any) -> CLEAR:
    """Small enough to pre-train on two CPU cores in minutes; `overrides` are fields of `CLEARConfig`."""
    return CLEAR(CLEARConfig.from_dict({**TINY, **overrides}), backend=backend)


def clear_base(*, backend: str | None = None, **overrides: Any) -> CLEAR:
    """The paper's base model (heads of 96 and 32 features); `overrides` are fields of `CLEARConfig`."""
    return CLEAR(CLEARConfig.from_dict({**BASE, **overrides}), backend=backend)


def clear_large(*, backend: str | None = None, **overrides: Any) -> CLEAR:
    """The paper's large model (heads of 64 features); `overrides` are fields of `CLEARConfig`."""
    return CLEAR(CLEARConfig.from_dict({**LARGE, **overrides}), backend=backend)


def untrained(config: CLEARConfig, seed: int, *, backend: str | None = None) -> CLEAR:
    """The random-encoder baseline: `CLEAR` with PyTorch-standard initial weights drawn from `seed`.

    The global generator is left as it was. Published self-supervised models are matched by such an encoder on many
    tasks (arXiv 2602.17531), so no gain should be reported without it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # not torch.manual_seed, which would reseed GPUs too
        return CLEAR(config, backend=backend)
