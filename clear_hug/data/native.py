"""The compiled kernels of the preparation, where they are installed.

Every function that calls one has a twin in NumPy beside it, which gives the same bits: what a store holds does not
depend on whether a compiler was there when the package was installed. `CLEAR_HUG_NATIVE=0` does without them, and the
name of an instruction set (generic, avx2, avx512) takes another one than the fastest.
"""

from __future__ import annotations

import os
from typing import Any

__all__ = ["KERNELS"]


def _load() -> Any:
    if os.environ.get("CLEAR_HUG_NATIVE", "1") == "0":
        return None
    try:
        from clear_hug import _signal
    except ImportError:
        return None
    return _signal


KERNELS: Any = _load()
"""The module `clear_hug._signal`, or None."""
