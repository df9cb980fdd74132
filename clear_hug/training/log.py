"""The log of a run: one JSON object per line, rewritten as a whole so that it never disagrees with its state."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from clear_hug.files import write_text


def write_log(path: str | Path, entries: Iterable[Mapping[str, Any]]) -> Path:
    """Write the entries as JSON lines, atomically."""
    return write_text(path, "".join(json.dumps(entry, allow_nan=False) + "\n" for entry in entries))


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """The entries of a log.

    Raises:
        ValueError: a line is not JSON.
    """
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line]
