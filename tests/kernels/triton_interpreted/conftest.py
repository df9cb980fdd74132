"""Tests that run Triton's kernels in its interpreter; collected only under ``TRITON_INTERPRET=1``.

Triton wraps its functions when it is imported, so these run in a process of their own: ../test_triton_interpret.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

collect_ignore_glob = [] if os.environ.get("TRITON_INTERPRET") == "1" else ["test_*.py"]


@pytest.fixture(autouse=True)
def _rules_may_change() -> Iterator[None]:
    """Launches that were prepared under one test's rules serve no other test."""
    from clear_kernels.triton import prepared

    prepared.forget()
    yield
    prepared.forget()
