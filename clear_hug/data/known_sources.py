"""The data sets known by name: their readers, each from the folder that `clear-hug prepare NAME --root` takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from clear_hug.data.cinc2021 import cinc2021_source
from clear_hug.data.code15 import code15_source
from clear_hug.data.cpsc2018 import cpsc2018_source
from clear_hug.data.csn import csn_source
from clear_hug.data.ludb import ludb_source
from clear_hug.data.mimic import mimic_source
from clear_hug.data.ptbxl import ptbxl_source
from clear_hug.data.source import Source

__all__ = ["KNOWN_SOURCES"]

KNOWN_SOURCES: dict[str, Callable[[Path], Source]] = {
    "ptbxl": ptbxl_source,
    "cpsc2018": cpsc2018_source,
    "csn": csn_source,
    "mimic-iv-ecg": mimic_source,
    "ludb": ludb_source,
    "code15": code15_source,
    "cinc2021": cinc2021_source,
}
