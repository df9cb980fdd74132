"""The table of stages that were run, on disk after each of them."""

from __future__ import annotations

import csv
import os
from pathlib import Path


def read(path: Path) -> list[dict[str, str]]:
    """The rows of the table; none if there is no file yet."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def append(path: Path, row: dict[str, str]) -> None:
    """Add a row, in one step: a reader, or a power cut, finds the old table or the new one."""
    rows = [*read(path), row]
    columns = list(dict.fromkeys(name for each in rows for name in each))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


def passed(path: Path, device: str, commit: str) -> set[str]:
    """The stages whose last run on this device and commit passed."""
    last = {row["stage"]: row["status"] for row in read(path) if (row["device"], row["commit"]) == (device, commit)}
    return {stage for stage, status in last.items() if status == "passed"}
