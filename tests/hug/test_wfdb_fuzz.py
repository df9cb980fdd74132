"""WFDB's storage formats: each read back, and each damaged, in its header and in its signals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synthetic_ecg as made
from damage import Changes, check_row, damage, edits, examples, memory_below
from hypothesis import given
from hypothesis import strategies as st
from wfdb_formats import FORMATS, write_in_format

from clear_hug.data import RecordError, read_wfdb
from clear_hug.data.wfdb_header import parse_header

LEADS = ("I", "II", "III", "aVR")
FS = 250.0
SIGNAL = made.twelve_leads(FS, made.r_times(2.0, 72.0), 2.0)[:, :4]
SIGNAL *= 1.5 / np.abs(SIGNAL).max()
PEAK_BYTES = 24 << 20
"""The files have at most 8 kB."""


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One sound record of each format, without suffix."""
    folder = tmp_path_factory.mktemp("sound")
    for fmt in FORMATS:
        write_in_format(folder / f"r{fmt}", SIGNAL, LEADS, fmt, FS)
        read_wfdb(folder / f"r{fmt}")  # imports what is imported late, before memory is watched
    return {fmt: folder / f"r{fmt}" for fmt in FORMATS}


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("samples", [500, 499, 498])
def test_every_format_is_read(tmp_path: Path, fmt: str, samples: int) -> None:
    """Also where the last group of packed samples is not full, and where the header does not say how many there are."""
    step = write_in_format(tmp_path / "r", SIGNAL[:samples], LEADS, fmt, FS)
    found = read_wfdb(tmp_path / "r")
    assert (found.leads, found.fs) == (LEADS, FS)
    np.testing.assert_allclose(found.signal, SIGNAL[:samples], atol=0.51 * step)
    if not fmt.startswith("5"):
        made.edit_header(tmp_path / "r", f"r 4 250 {samples}\n", "r 4 250\n")
        np.testing.assert_array_equal(read_wfdb(tmp_path / "r").signal[:samples], found.signal)


@pytest.mark.parametrize("gain", ["2.52E+2(0)/mV", "+252.(0)/mV", ".252e3(0)/mV", "252/mV", "0252(00)/mV"])
def test_a_gain_means_the_same_in_every_format(tmp_path: Path, gain: str) -> None:
    step = write_in_format(tmp_path / "r", SIGNAL, LEADS, "310", FS)
    made.edit_header(tmp_path / "r", " 252(0)/mV ", f" {gain} ")
    np.testing.assert_allclose(read_wfdb(tmp_path / "r").signal, SIGNAL, atol=0.51 * step)


@pytest.mark.parametrize("skew", [500, 10**9, 10**17])
def test_a_skew_beyond_the_record_is_refused(tmp_path: Path, skew: int) -> None:
    write_in_format(tmp_path / "r", SIGNAL, LEADS, "16", FS)
    made.edit_header(tmp_path / "r", "r.dat 16 ", f"r.dat 16:{skew} ")
    with pytest.raises(RecordError, match=f"skewed by {skew} of 500 samples"):
        read_wfdb(tmp_path / "r")


def damaged(original: Path, folder: Path, part: str, changes: Changes) -> Path:
    """A copy whose header (.hea), signal file (.dat), or both (empty) are damaged."""
    for suffix in (".hea", ".dat"):
        content = original.with_name(original.name + suffix).read_bytes()
        touched = damage(content, changes) if part in ("", suffix) else content
        (folder / f"{original.name}{suffix}").write_bytes(touched)
    return folder / original.name


parts = st.sampled_from((".hea", ".dat", ""))


@pytest.mark.parametrize("fmt", FORMATS)
@examples(40)
@given(part=parts, changes=edits)
def test_no_damage_crashes_hangs_or_swells(
    tmp_path: Path, originals: dict[str, Path], fmt: str, part: str, changes: Changes
) -> None:
    path = damaged(originals[fmt], tmp_path, part, changes)
    found = None
    with memory_below(PEAK_BYTES):
        try:
            found = read_wfdb(path)
        except RecordError as error:
            assert f"record r{fmt}" in str(error)  # noqa: PT017
    assert sorted(item.name for item in tmp_path.iterdir()) == [f"r{fmt}.dat", f"r{fmt}.hea"]
    if found is not None:
        header = parse_header(path.with_name(f"{path.name}.hea").read_text(errors="replace"), path.name)
        assert header.samples in (None, len(found.signal))
        assert found.signal.shape[1] == len(found.leads)
        if part == ".dat":
            assert found.leads == LEADS


@pytest.mark.parametrize("fmt", FORMATS)
@examples(5, seconds=20)
@given(part=parts, changes=edits)
def test_damage_gives_a_row_and_its_reason(
    tmp_path: Path, originals: dict[str, Path], fmt: str, part: str, changes: Changes
) -> None:
    check_row(damaged(originals[fmt], tmp_path, part, changes), read_wfdb)
