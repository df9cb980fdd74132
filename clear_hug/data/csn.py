"""Chapman–Shaoxing–Ningbo (Zheng et al. 2022, doi.org/10.13026/wgex-er52): `JS00001.hea` and `.mat` in folders.

Its own distribution (WFDBRecords/01/010/…) and the Challenges' (chapman_shaoxing/g1/…, ningbo/g1/…) differ in nothing
but their folders.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clear_hug.data.snomed import CSN_CODES, diagnosis_codes
from clear_hug.data.source import Source, multi_hot
from clear_hug.data.splits import hashed_split, known_split
from clear_hug.data.wfdb_folder import find_named

__all__ = ["CSN_CLASSES", "CSN_CORRECTED_CLASSES", "csn_source", "csn_split"]

# fmt: off
CSN_CLASSES = (
    "AQW", "UW", "SR", "WPW", "2AVB", "AT", "VB", "ARS", "STTC", "SA", "STE", "VPB", "TWO",
    "STTU", "ALS", "APB", "2AVB1", "PRIE", "CCR", "CR", "AF", "AVB", "QTIE", "LBBB", "VEB", "SVT",
    "RBBB", "1AVB", "STDD", "MI", "AFIB", "TWC", "PWC", "ERV", "RVH", "LVH", "ST", "JEB",
)
# fmt: on
CSN_CORRECTED_CLASSES = (*CSN_CLASSES, "SB")

_SHARES = (0.72, 0.08, 0.20)  # the published shares, for the records that the published split leaves out


def csn_source(root: str | Path) -> Source:
    """Read a folder of CSN, tasks "csn" and "csn-corrected".

    "csn" repeats the published labels, mistakes included: of the records in the published split whose codes all have
    an acronym, a class is positive when its name is *part of* any of the record's acronyms (AF in AFIB, ST in STE).
    "csn-corrected" takes the codes as they are, for every record with a code, sinus bradycardia (SB) included.

    The split is the published one, by record name; records outside it are drawn by name in the same shares, so that
    no record changes sides between the two tasks.

    Raises:
        SourceError: no such record in the folder.
    """
    root = Path(root)
    found = find_named(root, r"JS\d{5}", "CSN")
    names = tuple(found)
    codes = [diagnosis_codes(root / f"{path}.hea") for path in found.values()]
    published = [_published(name) for name in names]
    as_published = [_substring_classes(own) if side >= 0 else None for own, side in zip(codes, published, strict=True)]
    exact = [None if own is None else [CSN_CODES[code] for code in own if code in CSN_CODES] for own in codes]
    return Source(
        kind="csn",
        root=root,
        names=names,
        paths=tuple(found.values()),
        split=np.array([csn_split(name) for name in names], dtype=np.int8),
        tasks={
            "csn": multi_hot(CSN_CLASSES, as_published, keep_empty=True),
            "csn-corrected": multi_hot(CSN_CORRECTED_CLASSES, exact, keep_empty=True),
        },
        notes=tuple(() if own else ("no diagnosis code in its header",) for own in codes),
    )


def csn_split(name: str) -> int:
    """0 train, 1 validation or 2 test, for a record JS00001 …, in the published split or not."""
    side = _published(name)
    return side if side >= 0 else int(hashed_split([name], _SHARES, "csn")[0])


def _published(name: str) -> int:
    side = known_split(name)
    return -1 if side is None else side


def _substring_classes(codes: tuple[str, ...] | None) -> list[str] | None:
    """The published rule; None where a code has no acronym, which left the record out."""
    if codes is None or any(code not in CSN_CODES for code in codes):
        return None
    acronyms = [CSN_CODES[code] for code in codes]
    return [name for name in CSN_CLASSES if any(name in acronym for acronym in acronyms)]
