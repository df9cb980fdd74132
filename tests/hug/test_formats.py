"""Every format: the right millivolts, rate and lead names, and a plain sentence where that cannot be had."""

from __future__ import annotations

import builtins
import importlib
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import ecg_files as files
import numpy as np
import pytest
import synthetic_ecg as made
from ecg_files import EIGHT, pick, twelve
from philips_files import write_philips
from scp_files import write_scp

from clear_hug.data import PrepareSettings, Record, RecordError, prepare_record
from clear_hug.data.formats import SignalFacts, read_ecg
from clear_hug.leads import STANDARD_LEADS

SIGNAL = twelve()
WRITERS: dict[str, tuple[str, str, Callable[..., Path]]] = {
    "CSV": ("csv", "", files.write_csv),
    "NPZ": ("npz", "", files.write_npz),
    "EDF": ("edf", "pyedflib", files.write_edf),
    "DICOM": ("dcm", "pydicom", files.write_dicom),
    "SCP-ECG": ("scp", "", write_scp),
    "GE MUSE XML": ("xml", "", files.write_muse),
    "Philips XML": ("xml", "", write_philips),
    "HL7 aECG": ("xml", "", files.write_aecg),
}
"""Name of the format → suffix, package that it needs, writer."""


def write(name: str, folder: Path, signal: np.ndarray = SIGNAL, leads: tuple[str, ...] = STANDARD_LEADS) -> Path:
    suffix, package, writer = WRITERS[name]
    if package:
        pytest.importorskip(package, reason=f"reading {name} needs {package}")
    return writer(folder / f"r.{suffix}", signal, leads)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("leads", [STANDARD_LEADS, tuple(reversed(STANDARD_LEADS))])
def test_every_format_gives_the_same_millivolts(tmp_path: Path, name: str, leads: tuple[str, ...]) -> None:
    found = read_ecg(write(name, tmp_path, pick(SIGNAL, leads), leads))
    assert (found.name, found.fs, found.unit, found.file_format) == ("r", 250.0, "mV", name)
    assert found.leads == leads
    assert found.notes == ()
    np.testing.assert_allclose(found.signal[: len(SIGNAL)], pick(SIGNAL, leads), atol=1e-9)
    assert len(found.signal) == len(SIGNAL)
    if name not in ("CSV", "NPZ"):
        assert found.resolution == pytest.approx(dict.fromkeys(leads, 0.005))
        assert found.gain["V1"] == pytest.approx(200.0)


@pytest.mark.parametrize("name", WRITERS)
def test_eight_leads_become_twelve(tmp_path: Path, name: str) -> None:
    found = read_ecg(write(name, tmp_path, pick(SIGNAL, EIGHT), EIGHT))
    assert found.leads == EIGHT
    row = prepare_record(found, PrepareSettings())
    assert row.flag == ""
    assert row.valid.any(axis=1).all()
    assert "III aVR aVL aVF derived from I and II" in row.notes
    whole = prepare_record(Record(SIGNAL, 250.0, STANDARD_LEADS, "whole"), PrepareSettings())
    np.testing.assert_allclose(row.tokens, whole.tokens, atol=1e-5)


@pytest.mark.parametrize("name", WRITERS)
def test_contents_decide_where_the_suffix_says_nothing(tmp_path: Path, name: str) -> None:
    path = write(name, tmp_path)
    if name in ("CSV", "NPZ"):
        with pytest.raises(RecordError, match="in none of the formats known"):
            read_ecg(path.rename(tmp_path / "1.2.840.113"))
        return
    found = read_ecg(path.rename(tmp_path / "1.2.840.113"))
    assert (found.name, found.file_format) == ("1.2.840.113", name)


@pytest.mark.parametrize(("package", "name"), [("pyedflib", "EDF"), ("pydicom", "DICOM")])
def test_a_missing_package_is_named_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, name: str
) -> None:
    path = write(name, tmp_path)
    whole = importlib.import_module

    def without(wanted: str, *rest: object) -> object:
        if wanted == package:
            raise ImportError(wanted)
        return whole(wanted, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(RecordError, match=rf"needs the package {package}.*pip install 'clear-hug\[\w+\]'") as caught:
        read_ecg(path)
    assert str(path) in str(caught.value)


def test_wfdb_goes_by_any_of_its_names(tmp_path: Path) -> None:
    path = made.write_record(tmp_path, "w", SIGNAL, fs=250.0)
    for suffix in ("", ".hea", ".dat"):
        found = read_ecg(path.with_name(f"w{suffix}"))
        assert (found.file_format, found.leads) == ("WFDB", STANDARD_LEADS)
    assert set(found.resolution) == set(STANDARD_LEADS)


def test_missing_samples_are_nan(tmp_path: Path) -> None:
    signal = SIGNAL.copy()
    signal[40:50, 3] = np.nan
    for name in ("CSV", "NPZ", "DICOM"):
        np.testing.assert_array_equal(np.isnan(read_ecg(write(name, tmp_path, signal)).signal), np.isnan(signal))


def test_a_padding_value_that_is_a_voltage_too_hides_nothing(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    found = read_ecg(files.write_dicom(tmp_path / "r.dcm", SIGNAL, padding=0))
    np.testing.assert_allclose(found.signal, SIGNAL, atol=1e-9)


def test_channels_that_are_no_leads_are_left_out_with_a_note(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("II [mV],Resp,V1 [mV]\n" + "0.1,5,0.2\n" * 20)
    found = read_ecg(tmp_path / "a.csv", SignalFacts(fs=100))
    assert found.leads == ("II", "V1")
    assert found.notes == ("'Resp' no standard lead, left out",)


@pytest.mark.parametrize(
    ("text", "facts", "fs", "scale"),
    [
        ("I,II\n0.5,1\n1.5,2\n2.5,\n", {"fs": 100.0}, 100.0, 0.5),
        ("time,I,II\n0,0.5,1\n0.002,1.5,2\n0.004,2.5,\n", {}, 500.0, 0.5),
        ("'Elapsed time','I','II'\n'seconds','mV','mV'\n0.0,1,2\n0.008,3,4\n0.016,5,\n", {}, 125.0, 1.0),
        ("time (ms);I (uV);II (uV)\n0;1;2\n4;3;4\n8;5;\n", {}, 250.0, 1e-3),
        ("# fs: 360 Hz\n# units: uV\nI\tII\n1\t2\n3\t4\n5\t\n", {}, 360.0, 1e-3),
        ("1 2\n3 4\n5 nan\n", {"fs": 200.0, "leads": ("I", "II"), "units": "V"}, 200.0, 1e3),
        ("I;II\n0,5;1,0\n1,5;2,0\n2,5;nan\n", {"fs": 100.0}, 100.0, 0.5),
        (",I,II\n0,1,2\n1,3,4\n2,5,\n", {"fs": 100.0, "units": "mV", "gain": 2.0}, 100.0, 0.5),
    ],
)
def test_tables_of_many_kinds(tmp_path: Path, text: str, facts: dict, fs: float, scale: float) -> None:
    (tmp_path / "t.csv").write_text(text)
    found = read_ecg(tmp_path / "t.csv", SignalFacts(**facts))
    assert found.fs == pytest.approx(fs)
    assert found.leads == ("I", "II")
    np.testing.assert_allclose(found.signal, np.array([[1, 2], [3, 4], [5, np.nan]]) * scale)


def test_integers_in_a_table_need_a_unit(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("time,I,II\n0,1,2\n0.002,3,4\n0.004,5,\n")
    with pytest.raises(RecordError, match=r"holds integers, and nothing says what voltage .*give --file-units"):
        read_ecg(tmp_path / "t.csv")
    assert np.nanmax(read_ecg(tmp_path / "t.csv", SignalFacts(units="uV")).signal) == pytest.approx(5e-3)


def test_arrays_take_their_facts_from_a_side_file_or_the_user(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", files.counts_of(SIGNAL).T)  # [leads, n]
    with pytest.raises(RecordError, match=r"nothing names the 1000 columns .*--file-leads, or a side file a\.json"):
        read_ecg(tmp_path / "a.npy")
    facts = SignalFacts(fs=250, leads=STANDARD_LEADS)
    with pytest.raises(RecordError, match="holds integers, and nothing says what voltage"):
        read_ecg(tmp_path / "a.npy", facts)
    (tmp_path / "a.json").write_text(json.dumps({"units": "mV", "gain": 200}))
    np.testing.assert_allclose(read_ecg(tmp_path / "a.npy", facts).signal, SIGNAL)
    (tmp_path / "a.json").write_text(json.dumps({"leads": 7}))
    with pytest.raises(RecordError, match=r"side file .*a\.json cannot be used \(leads must be a list"):
        read_ecg(tmp_path / "a.npy", facts)


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str, str]]:
            return builtins.open, (str(tmp_path / "sprung"), "w")

    np.save(tmp_path / "a.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "b.npz", signal=np.array([Trap()], dtype=object))
    for name in ("a.npy", "b.npz"):
        with pytest.raises(RecordError, match="holds no plain numbers"):
            read_ecg(tmp_path / name, SignalFacts(fs=100, leads=("I",)))
    assert not (tmp_path / "sprung").exists()


def test_archives_that_unpack_to_far_more_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("signal.npy", bytes(1 << 26))
    with pytest.raises(RecordError, match=r"unpacks from .* to 67108864 bytes, which is refused"):
        read_ecg(tmp_path / "bomb.npz")
    head = (
        b"\x93NUMPY\x01\x00v\x00"
        + b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 12), }".ljust(117)
        + b"\n"
    )
    (tmp_path / "huge.npy").write_bytes(head + bytes(800))
    with pytest.raises(RecordError, match="100 numbers are there"):
        read_ecg(tmp_path / "huge.npy", SignalFacts(fs=100, leads=STANDARD_LEADS))


def test_representative_beats_are_not_the_rhythm(tmp_path: Path) -> None:
    assert len(read_ecg(write("GE MUSE XML", tmp_path)).signal) == 1000
    path = write("HL7 aECG", tmp_path)
    text = path.read_text()
    series = text[text.index("<series>") : text.index("</series>") + 9].replace("RHYTHM", "REPRESENTATIVE_BEAT")
    path.write_text(text.replace("<component><series>", f"<component>{series}</component><component><series>", 1))
    assert read_ecg(path).notes == ()
    path.write_text(text.replace("RHYTHM", "REPRESENTATIVE_BEAT"))
    with pytest.raises(RecordError, match="no series"):
        read_ecg(path)


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE x [<!ATTLIST AnnotatedECG xmlns CDATA "y">]>',
        '<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x.dtd"> %p;]>',
    ],
)
def test_entities_are_refused(tmp_path: Path, head: str) -> None:
    path = write("HL7 aECG", tmp_path)
    text = path.read_text().replace("?>\n", f"?>\n{head}", 1).replace("<digits>", "<digits>&b; ", 1)
    path.write_text(text)
    with pytest.raises(RecordError, match="is refused: it declares"):
        read_ecg(path)


def test_an_entity_of_the_absent_dtd_is_refused_too(tmp_path: Path) -> None:
    path = write("GE MUSE XML", tmp_path)
    path.write_text(path.read_text().replace("FEMALE", "&sex;"))
    with pytest.raises(RecordError, match="refers to entities"):
        read_ecg(path)


def test_deep_or_endless_xml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deep.xml").write_text("<a>" * 100_000)
    (tmp_path / "wide.xml").write_text("<a>" + "<b/>" * 300_000 + "</a>")
    for name in ("deep.xml", "wide.xml"):
        with pytest.raises(RecordError, match="more or deeper elements"):
            read_ecg(tmp_path / name)


def test_deflated_dicom_is_refused(tmp_path: Path) -> None:
    path = write("DICOM", tmp_path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"ECG", b"1.2.840.10008.1.2.1.99", 1))
    with pytest.raises(RecordError, match=r"stored deflated.*dcmconv"):
        read_ecg(path)


def test_bdf_with_three_bytes_per_sample(tmp_path: Path) -> None:
    pytest.importorskip("pyedflib")
    found = read_ecg(files.write_edf(tmp_path / "r.bdf", SIGNAL))
    np.testing.assert_allclose(found.signal, SIGNAL, atol=1e-9)


@pytest.mark.parametrize(
    ("at", "text", "message"),
    [
        (192, b"EDF+D", "cannot be decoded as EDF"),
        (236, b"99999999", "is cut off: its header promises"),
        (252, b"9999", "names 9999 signals"),
        (252, b"-1  ", "names -1 signals"),
        (236, b"nan     ", "which is no number"),
    ],
)
def test_edf_headers_are_checked(tmp_path: Path, at: int, text: bytes, message: str) -> None:
    path = write("EDF", tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[:at] + text + content[at + len(text) :])
    with pytest.raises(RecordError, match=message):
        read_ecg(path)


def test_leads_at_several_rates(tmp_path: Path) -> None:
    pyedflib = pytest.importorskip("pyedflib")
    writer = pyedflib.EdfWriter(str(tmp_path / "r.edf"), 3)
    for index, (label, fs) in enumerate((("I", 250), ("II", 250), ("V1", 125))):
        limits = {"physical_max": 5, "physical_min": -5, "digital_max": 5000, "digital_min": -5000}
        writer.setSignalHeader(
            index,
            {"label": label, "dimension": "mV", "sample_frequency": fs, "prefilter": "", "transducer": "", **limits},
        )
    writer.writeSamples([np.zeros(1000) + 0.1, np.ones(1000), np.ones(500)])
    writer.close()
    found = read_ecg(tmp_path / "r.edf")
    assert (found.leads, found.fs) == (("I", "II"), 250.0)
    assert found.notes == ("V1 not at 250 Hz as the other leads, left out",)
    assert found.resolution == pytest.approx({"I": 1e-3, "II": 1e-3})


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(RecordError, match="is no file"):
        read_ecg(tmp_path / "pipe.csv")
    with pytest.raises(RecordError, match="cannot be read"):
        read_ecg(tmp_path / "nothing.csv")
    for folder in (tmp_path, "", "/"):
        with pytest.raises(RecordError, match="is no file"):
            read_ecg(folder)


def test_a_real_dicom_ecg(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    example = importlib.import_module("pydicom.data").get_testdata_file("waveform_ecg.dcm", download=False)
    if example is None:
        pytest.skip("this pydicom brings no example")
    found = read_ecg(example)
    theirs = pydicom.waveforms.multiplex_array(pydicom.dcmread(example), 0, as_raw=False)
    assert (found.fs, found.leads) == (1000.0, STANDARD_LEADS)
    np.testing.assert_allclose(found.signal, theirs / 1000, atol=1e-9)
    assert found.comments == ("Age: 042Y", "Sex: F")


def test_names_come_from_the_file_not_from_its_contents(tmp_path: Path) -> None:
    for name in ("DICOM", "GE MUSE XML", "Philips XML"):
        found = read_ecg(write(name, tmp_path))
        said = " ".join((found.name, *found.comments, *found.notes))
        assert "Nobody" not in said
        assert found.name == "r"


@pytest.mark.parametrize(
    ("separator", "point"), [(",", "."), (";", "."), (";", ","), ("\t", "."), ("\t", ","), (" ", ".")]
)
def test_numbers_as_spreadsheets_write_them(tmp_path: Path, separator: str, point: str) -> None:
    leads = ("I", "II", "V1")
    rows = [separator.join(f"{value:.3f}".replace(".", point) for value in row) for row in pick(SIGNAL, leads)]
    (tmp_path / "r.csv").write_text("\n".join(("# fs: 250", separator.join(leads), *rows)), encoding="utf-8")
    found = read_ecg(tmp_path / "r.csv")
    assert found.leads == leads
    np.testing.assert_allclose(found.signal, pick(SIGNAL, leads), atol=5.1e-4)


def test_lines_of_different_lengths_are_named(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("# fs: 250\nI,II\n1,2\n3\n", encoding="utf-8")
    with pytest.raises(RecordError, match=r"row 3 of r\.csv has 1 fields instead of 2"):
        read_ecg(tmp_path / "r.csv")


def test_a_dicom_channel_without_a_unit_of_voltage_is_refused(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom", reason="reading DICOM needs pydicom")
    path = write("DICOM", tmp_path)
    dataset = pydicom.dcmread(path)
    del dataset.WaveformSequence[0].ChannelDefinitionSequence[0].ChannelSensitivityUnitsSequence
    dataset.save_as(path)
    with pytest.raises(RecordError, match=r"lead I of r\.dcm has no sensitivity with a unit"):
        read_ecg(path)
