"""Which reader a file is for: by its first bytes where they say, by its suffix where they do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

from clear_hug.data.formats.aecg_xml import read_aecg
from clear_hug.data.formats.csv_table import read_csv
from clear_hug.data.formats.dicom import read_dicom
from clear_hug.data.formats.edf import read_edf
from clear_hug.data.formats.facts import SignalFacts
from clear_hug.data.formats.muse_xml import read_muse
from clear_hug.data.formats.numpy_arrays import read_npy, read_npz
from clear_hug.data.formats.philips_xml import read_philips
from clear_hug.data.formats.safe_xml import parse_xml
from clear_hug.data.formats.scp import looks_like_scp, read_scp
from clear_hug.data.record import Record, RecordError
from clear_hug.data.wfdb_reader import read_wfdb

__all__ = ["ECG_SUFFIXES", "holds_ecg", "read_ecg"]

_WFDB = (".hea", ".dat", ".mat")
_TABLES = (".csv", ".tsv", ".txt")
ECG_SUFFIXES = (*_WFDB, *_TABLES, ".npy", ".npz", ".edf", ".bdf", ".dcm", ".dicom", ".scp", ".ecg", ".xml")
"""Suffixes, in lower case, of files that `read_ecg` takes for recordings whatever they hold."""

_XML_ROOTS: dict[str, Callable[[Path, Element], Record]] = {
    "RestingECG": read_muse,
    "restingecgdata": read_philips,
    "AnnotatedECG": read_aecg,
}
_HEAD_BYTES = 256


@dataclass(frozen=True)
class _Start:
    """The first bytes of a file, and its suffix in lower case."""

    head: bytes
    suffix: str


def read_ecg(path: str | Path, facts: SignalFacts | None = None) -> Record:
    """Read an ECG recording of any format known: WFDB, CSV, NPY, NPZ, EDF, BDF, DICOM, SCP-ECG, and the XML of GE MUSE,
    Philips and HL7 aECG.

    Args:
        path: the file; a WFDB record may be given without suffix.
        facts: rate, leads and unit of tables and arrays that do not say them.

    Returns:
        The record in mV. Its name is the file's, never one from its contents.

    Raises:
        RecordError: no such file, no known format, an optional package that is missing (the message names the command
            that installs it), or a file that is damaged, cut off or contradicts itself.
    """
    path = Path(path)
    if not path.name:
        raise RecordError(f"{str(path)!r} is no file; name a recording")
    if path.suffix.lower() in _WFDB or path.with_name(path.name + ".hea").is_file():
        return read_wfdb(path)
    start = _Start(_head(path), path.suffix.lower())
    if _is_edf(start.head) or start.suffix in (".edf", ".bdf"):
        return read_edf(path)
    if _is_dicom(start.head) or start.suffix in (".dcm", ".dicom"):
        return read_dicom(path)
    if looks_like_scp(start.head) or start.suffix == ".scp":
        return read_scp(path)
    if _is_npy(start.head) or start.suffix == ".npy":
        return read_npy(path, facts)
    if start.suffix == ".npz":
        return read_npz(path, facts)
    if _is_xml(start):
        return _read_xml(path)
    if start.suffix in _TABLES:
        return read_csv(path, facts)
    raise RecordError(
        f"record {path.stem}: {path} is in none of the formats known (WFDB, CSV, NPY, NPZ, EDF, BDF, DICOM, SCP-ECG, "
        "GE MUSE XML, Philips XML, HL7 aECG); convert it to one of them"
    )


def holds_ecg(path: Path) -> bool:
    """Whether a file begins as EDF, BDF, DICOM, SCP-ECG or NumPy files do, whatever its suffix; False if unreadable."""
    try:
        head = _head(path)
    except RecordError:
        return False
    return _is_edf(head) or _is_dicom(head) or looks_like_scp(head) or _is_npy(head)


def _is_edf(head: bytes) -> bool:
    return head[:8] in (b"0       ", b"\xffBIOSEMI")


def _is_dicom(head: bytes) -> bool:
    return head[128:132] == b"DICM"


def _is_npy(head: bytes) -> bool:
    return head[:6] == b"\x93NUMPY"


def _head(path: Path) -> bytes:
    if path.exists() and not path.is_file():  # to open a pipe would wait forever
        raise RecordError(f"record {path.stem}: {path} is no file; name a recording")
    try:
        with path.open("rb") as stream:
            return stream.read(_HEAD_BYTES)
    except OSError as error:
        raise RecordError(f"record {path.stem}: {path} cannot be read ({error.strerror or error})") from error


def _is_xml(start: _Start) -> bool:
    head = start.head.removeprefix(b"\xef\xbb\xbf").lstrip()
    wide = head.startswith((b"\xff\xfe<\0", b"\xfe\xff\0<"))
    return wide or head.startswith(b"<") or start.suffix == ".xml"


def _read_xml(path: Path) -> Record:
    root = parse_xml(path)
    if root.tag not in _XML_ROOTS:
        raise RecordError(
            f"record {path.stem}: {path} is XML with the root {root.tag[:40]!r}; known are {', '.join(_XML_ROOTS)} (GE "
            "MUSE, Philips, HL7 aECG)"
        )
    return _XML_ROOTS[root.tag](path, root)
