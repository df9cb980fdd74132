"""Settings and fixtures of the attention tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from helpers import nan_filled_empty
from hypothesis import HealthCheck, settings

settings.register_profile(
    "attention",
    max_examples=int(os.environ.get("CLEAR_KERNELS_EXAMPLES", "25")),
    deadline=None,
    derandomize="CLEAR_KERNELS_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("attention")


@pytest.fixture
def nan_empty() -> Iterator[None]:
    """NaN-filled ``torch.empty`` for the whole test."""
    with nan_filled_empty():
        yield
