"""Fixtures shared by every test: where the optional real recordings lie, and thread settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch


def find_shared_dir() -> Path | None:
    """The folder with real recordings and reference vectors, or None where a checkout has none beside it."""
    beside = Path(__file__).resolve().parents[1].parent / "shared"
    candidate = Path(os.environ.get("CLEAR_SHARED", beside))
    return candidate if (candidate / "data").is_dir() else None


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Path of the optional real recordings; skips the test with the reason when they are absent."""
    found = find_shared_dir()
    if found is None:
        pytest.skip("real recordings are not on this machine (set CLEAR_SHARED to their folder)")
    return found


@pytest.fixture(autouse=True)
def _fixed_torch_seed() -> None:
    torch.manual_seed(0)
