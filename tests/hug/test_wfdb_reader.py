"""`read_wfdb`: the same numbers as the wfdb package, and a plain sentence for every broken record."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import synthetic_ecg as made
import wfdb

from clear_hug.data import RecordError, read_wfdb
from clear_hug.leads import STANDARD_LEADS, canonical_leads

SIGNAL = made.twelve_leads(500.0, made.r_times(2.0, 72.0), 2.0)


@pytest.mark.parametrize("folder", ["ptbxl/records100", "ptbxl/records500", "cinc2021", "ludb", "mitdb", "code15"])
def test_same_samples_as_the_wfdb_package(shared_dir: Path, folder: str) -> None:
    headers = sorted((shared_dir / "data" / folder).rglob("*.hea"))
    for header in headers[:: max(1, len(headers) // 12)]:
        ours, theirs = read_wfdb(header), wfdb.rdrecord(str(header.with_suffix("")))
        np.testing.assert_array_equal(ours.signal, theirs.p_signal)
        assert ours.fs == theirs.fs
        assert ours.leads == canonical_leads(theirs.sig_name)
        assert ours.notes == ()


@pytest.mark.parametrize("fmt", ["16", "24", "32", "80", "212"])
@pytest.mark.parametrize(("units", "per_mv"), [("mV", 1.0), ("uV", 1e3), ("V", 1e-3)])
def test_every_unit_and_format_ends_up_in_millivolts(tmp_path: Path, fmt: str, units: str, per_mv: float) -> None:
    path = made.write_record(tmp_path, "r", SIGNAL * per_mv, units=units, fmt=fmt)
    step = 2 * np.ptp(SIGNAL) / 2 ** {"16": 16, "24": 24, "32": 32, "80": 8, "212": 12}[fmt]
    np.testing.assert_allclose(read_wfdb(path).signal, SIGNAL, atol=max(step, 1e-6))


@pytest.mark.parametrize("suffix", ["", ".hea", ".dat"])
def test_leads_come_by_name_whatever_the_suffix_of_the_path(tmp_path: Path, suffix: str) -> None:
    order = (4, 1, 0)
    made.write_record(tmp_path, "r", SIGNAL[:, order], leads=("avl", "ii", "I"))
    found = read_wfdb(tmp_path / f"r{suffix}")
    assert found.name == "r"
    assert found.leads == ("aVL", "II", "I")
    np.testing.assert_allclose(found.signal, SIGNAL[:, order], atol=1e-4)


def test_a_header_that_names_another_records_signal_is_refused(tmp_path: Path) -> None:
    made.write_record(tmp_path, "a", SIGNAL)
    made.write_record(tmp_path, "b", SIGNAL[::-1])
    header = (tmp_path / "b.hea").read_text()
    (tmp_path / "b.hea").write_text(header.replace("b.dat", "a.dat"))
    with pytest.raises(RecordError, match=r"record b: the header names a\.dat, the signal of record a; correct"):
        read_wfdb(tmp_path / "b")
    (tmp_path / "b.dat").rename(tmp_path / "c.dat")  # of no other record: files may have another name
    (tmp_path / "b.hea").write_text(header.replace("b.dat", "c.dat"))
    np.testing.assert_allclose(read_wfdb(tmp_path / "b").signal, SIGNAL[::-1], atol=1e-4)


def test_missing_samples_become_nan(tmp_path: Path) -> None:
    signal = SIGNAL.copy()
    signal[100:120, 3] = np.nan
    found = read_wfdb(made.write_record(tmp_path, "r", signal)).signal
    np.testing.assert_array_equal(np.isnan(found), np.isnan(signal))


def test_signals_that_are_no_leads_are_left_out_with_a_note(tmp_path: Path) -> None:
    path = made.write_record(tmp_path, "r", SIGNAL[:, :3], leads=("I", "Resp", "II"))
    found = read_wfdb(path)
    assert found.leads == ("I", "II")
    assert any("'Resp'" in note for note in found.notes)


def test_a_changed_file_is_noticed_by_its_checksum(tmp_path: Path) -> None:
    path = made.write_record(tmp_path, "r", SIGNAL)
    data = path.with_suffix(".dat")
    content = bytearray(data.read_bytes())
    content[2] ^= 0x40  # the first sample of the second lead
    data.write_bytes(content)
    assert [note.split()[0] for note in read_wfdb(path).notes] == ["II"]


def _truncate(path: Path) -> None:
    data = path.with_suffix(".dat")
    data.write_bytes(data.read_bytes()[:-2])


def _remove(path: Path) -> None:
    path.with_suffix(".dat").unlink()


def _first_line(path: Path, line: str) -> None:
    header = path.with_suffix(".hea")
    header.write_text("\n".join([line, *header.read_text().splitlines()[1:]]))


def _compressed(path: Path, line: str) -> None:
    made.edit_header(path, "r.dat 16 ", "r.dat 516 ")
    _first_line(path, line)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: _compressed(p, "r 12 500 20000000"), "20000000 samples of 12 signals, but r.dat has 24000 bytes"),
        (lambda p: _compressed(p, "r 12 500"), "names no samples of 12 signals"),
        (_truncate, "truncated: it holds 999 of 1000 samples"),
        (_remove, "missing"),
        (lambda p: p.with_suffix(".hea").unlink(), "cannot be read"),
        (lambda p: p.with_suffix(".hea").write_text(""), "header is empty"),
        (lambda p: p.with_suffix(".hea").write_bytes(b"\x00\xff" * 50), "header"),
        (lambda p: p.with_suffix(".dat").write_bytes(b""), "truncated: it holds 0"),
        (lambda p: made.edit_header(p, "/mV", "/mmHg"), "'mmHg', which is no unit of voltage"),
        (lambda p: _first_line(p, "r/3 12 500 1000"), "multi-segment"),
        (lambda p: _first_line(p, "r 12 0 1000"), "'0' is no positive number"),
        (lambda p: _first_line(p, "r 12 500 -5"), "-5 samples"),
        (lambda p: _first_line(p, "r 12 500 999999999999999"), "truncated"),
        (lambda p: _first_line(p, "r 0 500 1000"), "0 signals"),
        (lambda p: _first_line(p, "r 40 500 1000"), "describes 12"),
        (lambda p: _first_line(p, "r many 500 1000"), "'many' is no whole number"),
        (lambda p: made.edit_header(p, "r.dat 16 ", "r.dat 16x2 "), "several rates"),
        (lambda p: made.edit_header(p, "r.dat 16 ", "r.dat 17 "), "cannot be decoded"),
        (lambda p: made.edit_header(p, "r.dat 16 ", "../r.dat 16 "), "'../r.dat' is no plain name"),
        (lambda p: made.edit_header(p, "r.dat 16 ", "/etc/passwd 16 "), "no plain name"),
        (lambda p: made.edit_header(p, "r.dat 16 ", "C:\\r.dat 16 "), "no plain name"),
    ],
)
def test_broken_records_are_refused_in_a_sentence(tmp_path: Path, damage: object, message: str) -> None:
    path = made.write_record(tmp_path, "r", SIGNAL)
    damage(path)  # type: ignore[operator]
    with pytest.raises(RecordError, match=message.replace("\\", "\\\\")) as caught:
        read_wfdb(path)
    assert "record r" in str(caught.value)


@pytest.mark.parametrize(
    ("gain", "message"),
    [("0", "gain 0"), ("nan", "gain nan"), ("inf", "gain inf"), ("1e-300", "gain 1e-300, which makes each")],
)
def test_a_gain_that_says_nothing_is_refused(tmp_path: Path, gain: str, message: str) -> None:
    path = made.write_record(tmp_path, "r", SIGNAL[:, :1], leads=("II",))
    header = path.with_suffix(".hea").read_text().splitlines()
    fields = header[1].split()
    fields[2] = gain + fields[2][fields[2].index("(") :]
    path.with_suffix(".hea").write_text("\n".join([header[0], " ".join(fields)]))
    with pytest.raises(RecordError, match=message):
        read_wfdb(path)


@pytest.mark.parametrize(
    ("leads", "message"),
    [(("X1", "ABP"), "no signal is a standard lead"), (("II", "MLII"), "both are lead II")],
)
def test_lead_names_that_cannot_be_used(tmp_path: Path, leads: tuple[str, ...], message: str) -> None:
    path = made.write_record(tmp_path, "r", SIGNAL[:, : len(leads)], leads=leads)
    with pytest.raises(RecordError, match=message):
        read_wfdb(path)


def test_a_record_of_missing_samples_only_is_refused(tmp_path: Path) -> None:
    path = made.write_record(tmp_path, "r", SIGNAL[:, :2], leads=("I", "II"))
    path.with_suffix(".dat").write_bytes(np.full((1000, 2), -32768, "<i2").tobytes())
    with pytest.raises(RecordError, match="single sample"):
        read_wfdb(path)


def test_every_standard_name_is_read_back(tmp_path: Path) -> None:
    assert read_wfdb(made.write_record(tmp_path, "r", SIGNAL)).leads == STANDARD_LEADS


def test_a_dot_in_the_name_of_a_record(tmp_path: Path) -> None:
    path = made.write_record(tmp_path, "r", SIGNAL)
    path.with_suffix(".hea").rename(tmp_path / "patient.7.hea")
    assert read_wfdb(tmp_path / "patient.7").name == "patient.7"


@pytest.mark.parametrize("fmt", ["16", "212", "24"])
def test_no_damage_makes_it_crash_or_hang(tmp_path: Path, fmt: str) -> None:
    """Random bytes, fields and lengths: the answer is a record or a `RecordError`."""
    path = made.write_record(tmp_path, "r", SIGNAL, fmt=fmt)
    header, data = (path.with_suffix(suffix).read_bytes() for suffix in (".hea", ".dat"))
    rng = random.Random(0)
    odd = [b"0", b"-1", b"1e308", b"nan", b"99999999999", b"1e-300", b"", b"../x", b"212", b"310", b"508", b"8"]
    refused = 0
    for _ in range(120):
        text, stored = bytearray(header), bytearray(data)
        text[rng.randrange(len(text))] = rng.randrange(256)
        fields = bytes(text).split(b" ")
        fields[rng.randrange(len(fields))] = rng.choice([*odd, fields[0]])
        path.with_suffix(".hea").write_bytes(b" ".join(fields)[: rng.choice([None, rng.randrange(len(header))])])
        path.with_suffix(".dat").write_bytes(stored[: rng.choice([None, rng.randrange(len(data))])])
        try:
            found = read_wfdb(path)
        except RecordError:
            refused += 1
        else:
            assert found.signal.shape[1] == len(found.leads)
    assert 0 < refused < 120
