"""SCP-ECG and Philips' XLI: every way of coding gives the samples back, and damage is refused in words."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import synthetic_ecg as made
from ecg_files import pick, twelve
from philips_files import write_philips, xli_chunk
from scp_files import write_scp

from clear_hug.data import RecordError
from clear_hug.data.formats import read_ecg
from clear_hug.data.formats.scp_huffman import decode_huffman, parse_tables, undo_differences
from clear_hug.data.formats.xli import unpack_xli
from clear_hug.leads import STANDARD_LEADS

SIGNAL = twelve()
BEATS = tuple(round(t * 250) for t in made.r_times(4.0, 72.0))


@pytest.mark.parametrize("huffman", ["default", "own", "none"])
@pytest.mark.parametrize("differences", [0, 1, 2])
@pytest.mark.parametrize("beats", [(), BEATS])
def test_lossless_scp(tmp_path: Path, huffman: str, differences: int, beats: tuple[int, ...]) -> None:
    path = write_scp(tmp_path / "a.scp", SIGNAL, huffman=huffman, differences=differences, beats=beats)
    found = read_ecg(path)
    assert found.notes == ()
    np.testing.assert_allclose(found.signal, SIGNAL, atol=1e-9)


def test_bimodal_scp_keeps_the_zones_exactly_and_the_rest_nearly(tmp_path: Path) -> None:
    found = read_ecg(write_scp(tmp_path / "a.scp", SIGNAL, beats=BEATS, bimodal=4))
    assert (found.fs, found.signal.shape) == (250.0, SIGNAL.shape)
    error = np.abs(found.signal - SIGNAL)
    assert error.max() < 0.06
    for beat in BEATS:
        assert error[beat - 24 : beat + 24].max() < 1e-9


def test_leads_that_begin_later_are_filled_up(tmp_path: Path) -> None:
    path = write_scp(tmp_path / "a.scp", pick(SIGNAL, ("I", "II")), ("I", "II"), huffman="none", differences=0)
    content = bytearray(path.read_bytes())
    at = content.index(struct.pack("<IIB", 1, 1000, 2))
    content[at : at + 9] = struct.pack("<IIB", 11, 1000, 2)
    path.write_bytes(content)
    found = read_ecg(path)
    assert np.isnan(found.signal[:10, 1]).all()
    np.testing.assert_allclose(found.signal[10:, 1], SIGNAL[:990, 1], atol=1e-9)
    assert any("checksum of record, section 3 differs" in note for note in found.notes)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (struct.pack("<HH", 5000, 4000), struct.pack("<HH", 0, 4000), "step of 0"),
        (struct.pack("<HH", 5000, 4000), struct.pack("<HH", 5000, 0), "time between samples is 0"),
        (struct.pack("<IIB", 1, 1000, 1), struct.pack("<IIB", 1, 0xFFFFFFFF, 1), "samples are promised"),
        (struct.pack("<IIB", 1, 1000, 1), struct.pack("<IIB", 9, 3, 1), "reaches from sample 9 to 3"),
        (struct.pack("<HI", 6, 0)[:2], b"", "bytes are promised"),
        (struct.pack("<H", 19999), struct.pack("<H", 19998), "promises 19998 Huffman tables"),
    ],
)
def test_damaged_scp(tmp_path: Path, old: bytes, new: bytes, message: str) -> None:
    path = write_scp(tmp_path / "a.scp", SIGNAL)
    content = path.read_bytes()
    at = content.rindex(old)
    path.write_bytes(content[:at] + new + content[at + len(old) :])
    with pytest.raises(RecordError, match=message):
        read_ecg(path)


def test_the_default_huffman_table() -> None:
    tables = parse_tables(struct.pack("<H", 19999))
    bits = "0" + "100" + "101" + "1111111100" + "1111111101" + "111111111010000000" + "11111111110111111111111111"
    bits += "1" * (-len(bits) % 8)
    content = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
    assert decode_huffman(content, 7, tables).tolist() == [0, 1, -1, 8, -8, -128, 32767]


def test_tables_may_be_switched() -> None:
    first = [(1, 1, 1, 5, 0), (1, 1, 0, 2, 1)]  # 0 → 5, 1 → to the second table
    second = [(1, 1, 1, 7, 0), (1, 1, 0, 1, 1)]  # 0 → 7, 1 → back
    body = struct.pack("<H", 2)
    for table in (first, second):
        body += struct.pack("<H", 2) + b"".join(struct.pack("<BBBhI", *code) for code in table)
    assert decode_huffman(b"\x48", 5, parse_tables(body)).tolist() == [5, 7, 7, 5, 5]


def test_differences_wrap_at_sixteen_bits() -> None:
    wanted = np.array([32000, -32000, 31000, 5, -7])
    for kind in (1, 2):
        coded = np.concatenate((wanted[:kind], np.diff(wanted, kind))).astype(np.int16).astype(np.int64)
        np.testing.assert_array_equal(undo_differences(coded, kind), wanted)


@pytest.mark.parametrize("packing", ["XLI", "Base64", "Plain"])
@pytest.mark.parametrize(("encoding", "version"), [("utf-16", "1.04"), ("utf-8", "1.04.01"), ("ascii", "1.03")])
def test_philips(tmp_path: Path, packing: str, encoding: str, version: str) -> None:
    found = read_ecg(write_philips(tmp_path / "a.xml", SIGNAL, packing=packing, encoding=encoding, version=version))
    assert found.leads == STANDARD_LEADS
    assert found.comments == ("Age: 61", "Sex: Female")
    np.testing.assert_allclose(found.signal, SIGNAL, atol=1e-9)


def test_a_calibration_pulse_at_the_end_is_no_heartbeat(tmp_path: Path) -> None:
    pulse = np.zeros((100, 12))
    pulse[30:80] = 1.0
    path = write_philips(tmp_path / "a.xml", np.concatenate((SIGNAL + 0.005 * np.arange(12), pulse)), packing="Base64")
    found = read_ecg(path)
    assert len(found.signal) == len(SIGNAL)
    assert found.notes == ("0.40 s of calibration pulse at the end left out",)


def test_xli_of_random_samples_and_damage() -> None:
    values = np.random.default_rng(0).integers(-3000, 3000, 2000)
    chunk = xli_chunk(values)
    np.testing.assert_array_equal(unpack_xli(chunk * 2, 2, 2000)[1], values)
    for content, leads, samples, message in (
        (chunk, 2, 2000, "chunk 2 of 2 is missing"),
        (chunk[:-5], 1, 2000, "promises"),
        (chunk, 1, 2001, "holds 2000 of 2001"),
        (chunk, 1, 500, "unpacks to more"),
        (struct.pack("<ihh", -8, 1, 0), 1, 10, "promises -8 bytes"),
        (struct.pack("<ihh", 4, 1, 0) + b"\x7f\xff\xff\x00", 1, 10, "before its word is known"),
    ):
        with pytest.raises(ValueError, match=message):
            unpack_xli(content, leads, samples)
