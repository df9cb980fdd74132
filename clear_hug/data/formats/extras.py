"""Optional packages: imported when a file needs them, and named with the command that installs them."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from clear_hug.data.record import RecordError

__all__ = ["optional"]


def optional(package: str, extra: str, path: Path) -> ModuleType:
    """The package.

    Raises:
        RecordError: it is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise RecordError(
            f"record {path.stem}: reading {path} needs the package {package}, which is not installed; "
            f"pip install 'clear-hug[{extra}]'"
        ) from error
