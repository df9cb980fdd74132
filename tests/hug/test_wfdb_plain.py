"""Records of the plainest kind are read as all others are: the compiled look at the header changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import synthetic_ecg as made
from hypothesis import HealthCheck, given, settings

from clear_hug.data import RecordError, native, read_wfdb
from clear_hug.data.wfdb_format16 import decode_format_16
from clear_hug.data.wfdb_leads import described_leads
from clear_hug.leads import STANDARD_LEADS

pytestmark = pytest.mark.skipif(native.KERNELS is None, reason="clear_hug._signal is not installed")

SIGNAL = np.random.default_rng(0).standard_normal((300, 12))
BLANKS = ["", " ", "\t", "\n", "\r\n"]
PIECES = [*BLANKS, "#", "/", "-", "ü", "\0", "+24", "x1", ":0", "(3)", "1e3", "0", "999", "mV", "uV", "16"]


def told(path: Path, dtype: type[np.floating] = np.float64) -> tuple[Any, ...]:
    """All that is read of a record, or what is said against it."""
    try:
        found = read_wfdb(path, dtype)
    except RecordError as error:
        return (str(error),)
    about = (found.fs, found.leads, found.comments, found.notes, found.resolution)
    return found.signal.dtype, found.signal.tobytes(), *about


def assert_same(path: Path) -> None:
    """With compiled kernels and without, in either precision."""
    for dtype in (np.float64, np.float32):
        compiled = told(path, dtype)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(native, "KERNELS", None)
            assert compiled == told(path, dtype)


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.write_record(tmp_path_factory.mktemp("plain"), "r", SIGNAL)


def test_the_header_is_of_the_plainest_kind(record: Path) -> None:
    text = record.with_name("r.hea").read_bytes()
    fs, samples, file, offset, signals, checksums, comments = native.KERNELS.plain_header(text + b"# sinus rhythm\n")
    assert (fs, samples, file, offset, comments) == (500.0, 300, "r.dat", 0, ("sinus rhythm",))
    assert tuple(name for name, *_ in signals) == STANDARD_LEADS
    assert len(checksums) == 12


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 4), st.sampled_from(PIECES) | st.text(max_size=3)), max_size=4
    )
)
def test_whatever_the_header_says(record: Path, changes: list[tuple[float, int, str]]) -> None:
    text = record.with_name("r.hea").read_bytes().decode()
    for where, taken, put in changes:
        at = int(where * len(text))
        text = text[:at] + put + text[at + taken :]
    changed = record.with_name("changed.hea")
    changed.write_bytes(text.encode("utf-8", "surrogatepass"))
    assert_same(changed)


@pytest.mark.parametrize("size", [0, 1, 7199, 7200, 7201])
def test_whatever_the_length_of_the_file(record: Path, size: int) -> None:
    text = record.with_name("r.hea").read_text()
    record.with_name("short.hea").write_text(text.replace("r.dat", "short.dat"))
    record.with_name("short.dat").write_bytes((record.with_name("r.dat").read_bytes() + b"\0")[:size])
    assert_same(record.with_name("short.hea"))


def test_damaged_samples_are_noted(record: Path) -> None:
    text = record.with_name("r.hea").read_text()
    held = bytearray(record.with_name("r.dat").read_bytes())
    held[2 * 5 : 2 * 6] = b"\x00\x80"  # no sample in aVF
    record.with_name("odd.dat").write_bytes(held)
    record.with_name("odd.hea").write_text(text.replace("r.dat", "odd.dat").replace("r 12", "odd 12", 1))
    assert_same(record.with_name("odd.hea"))
    found = read_wfdb(record.with_name("odd.hea"))
    assert np.isnan(found.signal[0, 5])
    assert found.notes == ("aVF differs from the checksum in its header, the file may be damaged",)


@pytest.mark.parametrize(
    ("said", "note"),
    [
        ("r 12", ()),
        ("r.mat 12", ()),
        ("r.x 12", ("its header names another record, r.x",)),
        ("other 12", ("its header names another record, other",)),
        ("# made by hand\n\nother 12", ("its header names another record, other",)),
        ("# made by hand\nr 12", ()),
    ],
)
def test_a_header_of_another_record_is_noted(record: Path, said: str, note: tuple[str, ...]) -> None:
    header = record.with_name("r.hea")
    text = header.read_text()
    header.write_text(text.replace("r 12", said, 1))
    try:
        assert_same(header)
        assert read_wfdb(header).notes == note
    finally:
        header.write_text(text)


@pytest.mark.parametrize("width", [1, 2, 12])
@pytest.mark.parametrize("gain", [1.0, 3.0, -7.0, 1000.0, 0.1, 1 / 3, 204.800003, 1e-30, 1.7e308, 5e-324, 2 - 2**-52])
def test_every_count(width: int, gain: float) -> None:
    counts = np.arange(-(2**15), 2**15).astype(np.int16)
    signals = tuple((lead, "uV", 1.0, True, baseline) for baseline, lead in enumerate(STANDARD_LEADS[:width]))
    leads = replace(described_leads(signals, "r"), gain=np.full(width, gain))
    held = np.repeat(counts[:, None], width, axis=1).tobytes()
    for dtype in (np.float64, np.float32):
        with np.errstate(over="ignore"):
            values, sums = decode_format_16(held, width, np.arange(width), leads, slice(None), dtype)
            expected = (counts[1:, None] - np.arange(width)) / np.float64(gain) * 1e-3
        assert set(sums.tolist()) == {-(2**15)}
        assert np.isnan(values[:, 0]).all()
        with np.errstate(over="ignore"):
            assert values[:, 1:].tobytes() == np.ascontiguousarray(expected.T.astype(dtype)).tobytes()


def test_real_headers(shared_dir: Path) -> None:
    for header in sorted((shared_dir / "data").rglob("*.hea"))[::7]:
        assert_same(header)
