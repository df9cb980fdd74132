"""The training records of the PhysioNet/CinC Challenge 2021 (Reyna et al. 2021, doi.org/10.13026/34va-7q14)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clear_hug.data.csn import csn_split
from clear_hug.data.snomed import CHALLENGE_CODES, diagnosis_codes
from clear_hug.data.source import Source, SourceError, multi_hot
from clear_hug.data.splits import hashed_split, known_split
from clear_hug.data.wfdb_folder import find_named

__all__ = ["CINC2021_CLASSES", "CINC2021_SETS", "cinc2021_source"]

CINC2021_CLASSES = tuple(dict.fromkeys(CHALLENGE_CODES.values()))

CINC2021_SETS = {
    "A": (r"A\d{4}", "CPSC2018"),
    "E": (r"E\d{5}", "Georgia"),
    "HR": (r"HR\d{5}", "PTB-XL"),
    "I": (r"I\d{4}", "St. Petersburg INCART"),
    "JS": (r"JS\d{5}", "Chapman-Shaoxing-Ningbo"),
    "Q": (r"Q\d{4}", "CPSC-Extra"),
    "S": (r"S\d{4}", "PTB"),
}
"""First letters of the record names → their pattern, and the data set."""

_SHARES = (0.7, 0.15, 0.15)
_SEVERAL_PER_PATIENT = ("S", "I")


def cinc2021_source(root: str | Path, sets: Sequence[str] = ()) -> Source:
    """Read Challenge records, task "cinc2021": the scored diagnoses, from the SNOMED CT codes in the headers.

    Records that another data set has a published split for get that split, by name: `A` that of CPSC2018, `JS` that of
    CSN, and `HR`, which are PTB-XL's recordings under another name, PTB-XL's own folds. Thus no recording that trains
    here is a test record there. PTB (`S`) and INCART (`I`) have several records per patient and do not say which; they
    are all for training. The others are drawn by name, 70/15/15.

    Args:
        root: the folder; its subfolders are searched.
        sets: keys of `CINC2021_SETS`, in any case; none for all that are there.

    Raises:
        SourceError: an unknown set, or no such record.
    """
    root = Path(root)
    unknown = [name for name in sets if name.upper() not in CINC2021_SETS]
    if unknown:
        raise SourceError(f"unknown Challenge set {unknown[0]!r}; choose from {', '.join(CINC2021_SETS)}")
    chosen = tuple(dict.fromkeys(name.upper() for name in sets)) or tuple(CINC2021_SETS)
    pattern = "|".join(CINC2021_SETS[name][0] for name in chosen)
    found = find_named(root, pattern, " or ".join(CINC2021_SETS[name][1] for name in chosen))
    codes = [diagnosis_codes(root / f"{path}.hea") for path in found.values()]
    own = [None if code is None else [CHALLENGE_CODES[c] for c in code if c in CHALLENGE_CODES] for code in codes]
    notes = [() if code else ("no diagnosis code in its header",) for code in codes]
    return Source(
        kind="cinc2021",
        root=root,
        names=tuple(found),
        paths=tuple(found.values()),
        split=np.array([_split(name) for name in found], dtype=np.int8),
        tasks={"cinc2021": multi_hot(CINC2021_CLASSES, own, keep_empty=True)},
        notes=tuple(notes),
        options={"sets": list(chosen)},
    )


def _split(name: str) -> int:
    letters = name.rstrip("0123456789")
    if letters in _SEVERAL_PER_PATIENT:
        return 0
    if letters == "JS":
        return csn_split(name)
    known = known_split(name)
    return int(hashed_split([name], _SHARES, "cinc2021")[0]) if known is None else known
