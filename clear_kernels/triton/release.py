"""Which release of Triton is installed. Imports no Triton."""

from __future__ import annotations

import functools
import importlib.metadata


@functools.cache
def release() -> tuple[int, ...]:
    """Major and minor number, (3, 7) for 3.7.1."""
    return tuple(int(part) for part in importlib.metadata.version("triton").split(".")[:2])
