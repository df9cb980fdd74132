"""Who belongs to training, validation and test: published splits by record number, and splits drawn by name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

__all__ = ["hashed_split", "known_split", "published_split", "same_recording", "sides_of_recordings"]

_PUBLISHED = ((re.compile(r"A(\d{4})"), "cpsc2018"), (re.compile(r"JS(\d{5})"), "csn"))
_PTBXL = re.compile(r"HR(\d{5})|(\d{5})_[lh]r")
UNASSIGNED = -1


@lru_cache(maxsize=8)
def published_split(data_set: str) -> NDArray[np.int8]:
    """A published split, kept in this package as a table because no rule makes it again.

    Args:
        data_set: "cpsc2018" (record A0001 …), "csn" (JS00001 …) or "ptbxl" (ecg_id 1 …).

    Returns:
        int8, read-only: element n belongs to record number n + 1; 0 train, 1 validation, 2 test, -1 not in the split.
    """
    text = files("clear_hug.data").joinpath("split_tables").joinpath(f"{data_set}.txt").read_text(encoding="ascii")
    places = "".join(line for line in text.splitlines() if not line.startswith("#"))
    split = np.array([UNASSIGNED if place == "-" else int(place) for place in places], dtype=np.int8)
    split.flags.writeable = False
    return split


def known_split(name: str) -> int | None:
    """The published split of a record, by its name.

    Args:
        name: a record of CPSC2018 (A0001), CSN (JS00001) or PTB-XL (00001_lr, 00001_hr; in the Challenges HR00001).

    Returns:
        0 train, 1 validation, 2 test, -1 a record of that data set which the split leaves out, None any other name.
    """
    for pattern, data_set in _PUBLISHED:
        if match := pattern.fullmatch(name):
            return _at(data_set, int(match[1]))
    ptbxl = _ptbxl_number(name)
    return None if ptbxl is None else _at("ptbxl", ptbxl)


def same_recording(name: str) -> str:
    """One key for all names of one recording: PTB-XL's 00001_lr, 00001_hr and the Challenges' HR00001 share theirs."""
    number = _ptbxl_number(name)
    return name if number is None else f"PTB-XL {number}"


def sides_of_recordings(names: Iterable[str], drawn: NDArray[np.int8]) -> NDArray[np.int8]:
    """A drawn split, with one side for all copies of a recording: the published one, else that of the first of them.

    Args:
        names: of the records, or of their files.
        drawn: int8 [records].
    """
    first: dict[str, int] = {}
    sides = []
    for row, name in enumerate(names):
        known = known_split(name)
        place = first.setdefault(same_recording(name), row)
        sides.append(known if known is not None and known != UNASSIGNED else drawn[place])
    return np.array(sides, dtype=np.int8)


def hashed_split(keys: Iterable[str], shares: Sequence[float], salt: str) -> NDArray[np.int8]:
    """A split drawn by key: the same for a key whatever other records there are, and in whatever order.

    Args:
        keys: one per record; records with the same key (one patient) come to the same side.
        shares: of train, validation and test, e.g. (0.7, 0.15, 0.15).
        salt: tells the draws of one data set from those of another.

    Returns:
        int8 [records], 0 train, 1 validation, 2 test; the shares hold on average.
    """
    drawn: dict[str, float] = {}
    places = np.array([drawn[key] if key in drawn else drawn.setdefault(key, _uniform(salt, key)) for key in keys])
    return np.searchsorted(np.cumsum(shares)[:-1], places, side="right").astype(np.int8)


def _uniform(salt: str, key: str) -> float:
    return int.from_bytes(hashlib.sha256(f"{salt}\0{key}".encode()).digest()[:6], "big") / 2**48


def _at(data_set: str, number: int) -> int:
    split = published_split(data_set)
    return int(split[number - 1]) if 1 <= number <= len(split) else UNASSIGNED


def _ptbxl_number(name: str) -> int | None:
    match = _PTBXL.fullmatch(name)
    return int(match[1] or match[2]) if match else None
