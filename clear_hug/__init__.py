"""Self-supervised representation learning for 12-lead ECGs along the heart's conduction: CLEAR and HUG.

The public names below are imported on first use, so that reading a lead name does not load PyTorch, and building a
model loads neither a plotting nor a record-reading library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clear_hug.leads import STANDARD_LEADS
    from clear_hug.models import (
        CLEAR,
        HUG,
        CLEARConfig,
        CLEAROutput,
        ECGClassifier,
        LinearHead,
        clear_base,
        clear_large,
        clear_tiny,
        load_official_checkpoint,
    )

__all__ = [
    "CLEAR",
    "HUG",
    "STANDARD_LEADS",
    "CLEARConfig",
    "CLEAROutput",
    "ECGClassifier",
    "LinearHead",
    "clear_base",
    "clear_large",
    "clear_tiny",
    "load_official_checkpoint",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'clear_hug' has no attribute {name!r}; public names are {', '.join(__all__)}")
    home = "clear_hug.leads" if name == "STANDARD_LEADS" else "clear_hug.models"
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
