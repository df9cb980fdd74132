"""SNOMED CT codes in the headers of the PhysioNet/CinC Challenges and of Chapman–Shaoxing–Ningbo, and their classes."""

from __future__ import annotations

import re
from pathlib import Path

from clear_hug.files import check_regular

__all__ = ["CHALLENGE_CODES", "CPSC2018_CODES", "CSN_CODES", "diagnosis_codes"]

_DIAGNOSES = re.compile(r"^#\s*Dx\s*:(.*)$", re.MULTILINE | re.IGNORECASE)
_MAX_HEADER_BYTES = 1 << 20

CPSC2018_CODES = {
    "426783006": "NORM",
    "164889003": "AFIB",
    "270492004": "1AVB",
    "164909002": "CLBBB",
    "59118001": "CRBBB",
    "284470004": "PAC",
    "164884008": "VPC",
    "429622005": "STD",
    "164931005": "STE",
}
"""CPSC2018 in the Challenges (Perez Alday et al. 2020, doi.org/10.1088/1361-6579/abc960): code → class."""

CSN_CODES = {
    "270492004": "1AVB",
    "195042002": "2AVB",
    "54016002": "2AVB1",
    "28189009": "2AVB2",
    "27885002": "3AVB",
    "251173003": "ABI",
    "39732003": "ALS",
    "284470004": "APB",
    "164917005": "AQW",
    "47665007": "ARS",
    "233917008": "AVB",
    "251199005": "CCR",
    "251198002": "CR",
    "428417006": "ERV",
    "164942001": "FQRS",
    "698252002": "IDC",
    "426995002": "JEB",
    "251164006": "JPT",
    "164909002": "LBBB",
    "164873001": "LVH",
    "251146004": "LVQRSAL",
    "251148003": "LVQRSCL",
    "251147008": "LVQRSLL",
    "164865005": "MI",
    "164947007": "PRIE",
    "164912004": "PWC",
    "111975006": "QTIE",
    "446358003": "RAH",
    "59118001": "RBBB",
    "89792004": "RVH",
    "429622005": "STDD",
    "164930006": "STE",
    "428750005": "STTC",
    "164931005": "STTU",
    "164934002": "TWC",
    "59931005": "TWO",
    "164937009": "UW",
    "11157007": "VB",
    "75532003": "VEB",
    "13640000": "VFW",
    "17338001": "VPB",
    "195060002": "VPE",
    "251180001": "VET",
    "195101003": "WAVN",
    "74390002": "WPW",
    "426177001": "SB",
    "426783006": "SR",
    "164889003": "AFIB",
    "427084000": "ST",
    "164890007": "AF",
    "427393009": "SA",
    "426761007": "SVT",
    "713422000": "AT",
    "233896004": "AVNRT",
    "233897008": "AVRT",
}
"""ConditionNames_SNOMED-CT.csv of CSN (Zheng et al. 2022, doi.org/10.13026/wgex-er52): code → acronym, the first in
that table where several share one code (MI for all walls, LBBB, IDC)."""

CHALLENGE_CODES = {
    "164889003": "AF",
    "164890007": "AFL",
    "6374002": "BBB",
    "426627000": "Brady",
    "733534002": "CLBBB",
    "164909002": "CLBBB",
    "713427006": "CRBBB",
    "59118001": "CRBBB",
    "270492004": "IAVB",
    "713426002": "IRBBB",
    "39732003": "LAD",
    "445118002": "LAnFB",
    "164947007": "LPR",
    "251146004": "LQRSV",
    "111975006": "LQT",
    "698252002": "NSIVCB",
    "426783006": "NSR",
    "284470004": "PAC",
    "63593006": "PAC",
    "10370003": "PR",
    "365413008": "PRWP",
    "427172004": "PVC",
    "17338001": "PVC",
    "164917005": "QAb",
    "47665007": "RAD",
    "427393009": "SA",
    "426177001": "SB",
    "427084000": "STach",
    "164934002": "TAb",
    "59931005": "TInv",
}
"""The scored diagnoses of the Challenge 2021 (Reyna et al. 2021, doi.org/10.23919/CinC53138.2021.9662687): code →
class; four pairs of codes are scored as one."""


def diagnosis_codes(header: Path) -> tuple[str, ...] | None:
    """The codes on the `#Dx:` line of a header.

    Args:
        header: path of the `.hea` file.

    Returns:
        Codes in the file's order, each once, empty fields left out; None where the header cannot be read or names no
        code, so that nothing is known about the record.
    """
    try:
        check_regular(header)
        with header.open("rb") as stream:
            text = stream.read(_MAX_HEADER_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return None
    match = _DIAGNOSES.search(text)
    fields = [field.strip() for field in match[1].split(",")] if match else []
    return tuple(dict.fromkeys(field for field in fields if field.isdecimal())) or None
