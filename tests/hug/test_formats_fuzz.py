"""Damaged files of every format: a record or a `RecordError`, quickly, in little memory, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synthetic_ecg as made
from damage import Changes, check_row, damage, edits, examples, memory_below
from ecg_files import EIGHT, pick, twelve, write_aecg, write_csv, write_dicom, write_edf, write_muse, write_npz
from hypothesis import given
from philips_files import write_philips
from scp_files import write_scp

from clear_hug.data import RecordError
from clear_hug.data.formats import SignalFacts, read_ecg
from clear_hug.leads import STANDARD_LEADS

SIGNAL = pick(twelve(seconds=2.0), EIGHT)
BEATS = tuple(round(t * 250) for t in made.r_times(2.0, 72.0))
FACTS = SignalFacts(fs=250, leads=EIGHT, units="mV")
PEAK_BYTES = 48 << 20
"""The files have at most 50 kB, and a promise of more must not be allocated. Packages imported on the way take MB."""


def _npy(path: Path) -> Path:
    np.save(path, SIGNAL)
    return path


def _wfdb(path: Path) -> Path:
    return made.write_record(path.parent, path.stem, SIGNAL, fs=250.0, leads=EIGHT).with_suffix(".hea")


WRITERS = {
    "wfdb": ("hea", "", _wfdb),
    "csv": ("csv", "", lambda path: write_csv(path, SIGNAL, EIGHT)),
    "npy": ("npy", "", _npy),
    "npz": ("npz", "", lambda path: write_npz(path, SIGNAL, EIGHT)),
    "edf": ("edf", "pyedflib", lambda path: write_edf(path, SIGNAL, EIGHT)),
    "dicom": ("dcm", "pydicom", lambda path: write_dicom(path, SIGNAL, EIGHT)),
    "scp": ("scp", "", lambda path: write_scp(path, SIGNAL, EIGHT, beats=BEATS, huffman="own")),
    "scp-bimodal": ("scp", "", lambda path: write_scp(path, SIGNAL, EIGHT, beats=BEATS, bimodal=4)),
    "muse": ("xml", "", lambda path: write_muse(path, SIGNAL, EIGHT)),
    "philips": ("xml", "", lambda path: write_philips(path, SIGNAL, EIGHT, encoding="utf-8")),
    "aecg": ("xml", "", lambda path: write_aecg(path, SIGNAL, EIGHT)),
}


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One sound file of each format, where its package is installed."""
    folder = tmp_path_factory.mktemp("sound")
    found = {}
    for name, (suffix, package, writer) in WRITERS.items():
        if package:
            pytest.importorskip(package, reason=f"writing {name} needs {package}")
        path = writer(folder / f"{name}.{suffix}")
        assert read_ecg(path, FACTS).leads == EIGHT  # imports what is imported late, before memory is watched
        found[name] = path
    return found


def damaged(original: Path, folder: Path, changes: Changes) -> Path:
    """A damaged copy; of a WFDB record the header is damaged and the signal file is not."""
    path = folder / original.name
    path.write_bytes(damage(original.read_bytes(), changes))
    if path.suffix == ".hea":
        path.with_suffix(".dat").write_bytes(original.with_suffix(".dat").read_bytes())
    return path


@pytest.mark.parametrize("name", WRITERS)
@examples(30)
@given(changes=edits)
def test_no_damage_crashes_hangs_or_swells(
    tmp_path: Path, originals: dict[str, Path], name: str, changes: Changes
) -> None:
    path = damaged(originals[name], tmp_path, changes)
    before = sorted(item.name for item in tmp_path.parent.iterdir())
    found = None
    with memory_below(PEAK_BYTES):
        try:
            found = read_ecg(path, FACTS)
        except RecordError as error:
            refusal = str(error)
    if found is None:
        assert name in refusal
    else:
        assert found.signal.ndim == 2
        assert found.fs > 0
        assert set(found.leads) <= set(STANDARD_LEADS)
    assert sorted(item.name for item in tmp_path.parent.iterdir()) == before
    assert {item.name for item in tmp_path.iterdir()} <= {path.name, "wfdb.dat"}


@pytest.mark.parametrize("name", WRITERS)
@examples(6, seconds=20)
@given(changes=edits)
def test_damage_gives_a_row_and_its_reason(
    tmp_path: Path, originals: dict[str, Path], name: str, changes: Changes
) -> None:
    check_row(damaged(originals[name], tmp_path, changes), lambda file: read_ecg(file, FACTS))
