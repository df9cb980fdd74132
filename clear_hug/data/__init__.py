"""Data: recordings, heartbeats, tokens, and the store they are kept in.

`read_wfdb` → `Record` → `prepare_record` cuts one recording; `prepare` cuts a whole data set into a `BeatStore`, which
`clear_hug.data.dataset.BeatDataset` feeds to PyTorch. Nothing here but that last module loads PyTorch.
"""

from clear_hug.data.beats import detect_beats
from clear_hug.data.cinc2021 import cinc2021_source
from clear_hug.data.code15 import code15_source
from clear_hug.data.cpsc2018 import cpsc2018_source
from clear_hug.data.csn import csn_source
from clear_hug.data.ludb import ludb_source
from clear_hug.data.mimic import mimic_source
from clear_hug.data.prepare import PrepareResult, prepare
from clear_hug.data.ptbxl import ptbxl_source
from clear_hug.data.record import Record, RecordError
from clear_hug.data.row import PreparedRow, prepare_record
from clear_hug.data.settings import PrepareSettings
from clear_hug.data.source import Source, SourceError, TaskLabels
from clear_hug.data.store import BeatStore, StoreError
from clear_hug.data.tokens import BeatGrid, cut_tokens
from clear_hug.data.wfdb_folder import wfdb_source
from clear_hug.data.wfdb_reader import read_wfdb

__all__ = [
    "BeatGrid",
    "BeatStore",
    "PrepareResult",
    "PrepareSettings",
    "PreparedRow",
    "Record",
    "RecordError",
    "Source",
    "SourceError",
    "StoreError",
    "TaskLabels",
    "cinc2021_source",
    "code15_source",
    "cpsc2018_source",
    "csn_source",
    "cut_tokens",
    "detect_beats",
    "ludb_source",
    "mimic_source",
    "prepare",
    "prepare_record",
    "ptbxl_source",
    "read_wfdb",
    "wfdb_source",
]
