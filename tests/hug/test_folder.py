"""`prepare folder`: files of all formats become rows of one store, with their labels, whatever is wrong with some."""

from __future__ import annotations

from pathlib import Path

import ecg_files as files
import numpy as np
import pytest
import synthetic_ecg as made
import typer
from ecg_files import twelve
from philips_files import write_philips
from scp_files import write_scp
from typer.testing import CliRunner

from clear_hug.cli.prepare_folder import folder as folder_command
from clear_hug.data import BeatStore, SourceError, prepare
from clear_hug.data.folder import folder_source
from clear_hug.data.formats import SignalFacts

SIGNAL = twelve()


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Ten sound recordings in ten formats, and three that are not."""
    pytest.importorskip("pyedflib")
    pytest.importorskip("pydicom")
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    made.write_record(root, "wfdb", SIGNAL, fs=250.0)
    files.write_csv(root / "csv.csv", SIGNAL)
    np.save(root / "npy.npy", SIGNAL)
    files.write_npz(root / "npz.npz", SIGNAL)
    files.write_edf(root / "edf.edf", SIGNAL)
    files.write_dicom(root / "1.2.840.10008", SIGNAL)
    write_scp(root / "sub" / "scp.SCP", SIGNAL)
    files.write_muse(root / "sub" / "muse.xml", files.pick(SIGNAL, files.EIGHT))
    write_philips(root / "sub" / "philips.xml", SIGNAL)
    files.write_aecg(root / "sub" / "aecg.XML", SIGNAL)
    (root / "lost.dat").write_bytes(b"\x00" * 100)
    (root / "sub" / "empty.edf").write_bytes(b"")
    (root / "sub" / "other.xml").write_text("<html/>")
    (root / "README.txt").write_text("not a recording")
    (root / "side.json").write_text("{}")
    (root / ".hidden.csv").write_text("I\n1\n")
    return root


FACTS = SignalFacts(
    fs=250, leads=("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"), units="mV"
)


def test_every_file_keeps_its_row(mixed: Path, tmp_path: Path) -> None:
    table = mixed / "labels.csv"
    names = ["wfdb", "csv", "npy.npy", "npz", "edf.edf", "1.2.840.10008", "sub/scp.SCP", "sub/muse", "philips", "aecg"]
    lines = [f"{name},train,{index % 2}" for index, name in enumerate(names)]
    table.write_text("\n".join(["record,split,AF", *reversed(lines), "empty,test,1"]) + "\n")
    source = folder_source(mixed, table, facts=FACTS)
    store = prepare(source, tmp_path / "out").store
    flagged = {name: flag for name, flag in zip(store.names, store.flags, strict=True) if flag}
    assert set(flagged) == {"lost", "empty", "other"}
    assert "cannot be read" in flagged["lost"]
    assert flagged["empty"].startswith("unreadable: record empty")
    assert "root 'html'" in flagged["other"]
    assert len(store) == 13
    for index, name in enumerate(names):
        row = store.names.index(Path(name).stem if "." in name and name[0] != "1" else Path(name).name)
        assert store.labels("labels")[row].tolist() == [index % 2]
        assert store.split[row] == 0
        np.testing.assert_allclose(store.tokens[row], store.tokens[store.names.index("npz")], atol=1e-4)
        assert store.valid[row].any(axis=1).all()
    assert store.labelled("labels").sum() == 11
    assert store.quality[store.names.index("npz")] == ""


def test_the_same_store_again_even_inside_the_folder(mixed: Path) -> None:
    first = prepare(folder_source(mixed, facts=FACTS), mixed / "store")
    again = prepare(folder_source(mixed, facts=FACTS), mixed / "store")
    assert again.already_complete
    assert again.store.names == first.store.names


def test_workers_give_the_same_store(mixed: Path, tmp_path: Path) -> None:
    one = prepare(folder_source(mixed, facts=FACTS), tmp_path / "one").store
    two = prepare(folder_source(mixed, facts=FACTS), tmp_path / "two", workers=2).store
    np.testing.assert_array_equal(one.tokens, two.tokens)
    assert one.flags == two.flags


def test_files_that_share_a_name(tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / "in" / place).mkdir(parents=True)
        files.write_csv(tmp_path / "in" / place / "x.csv", SIGNAL)
    files.write_npz(tmp_path / "in" / "a" / "x.npz", SIGNAL)
    source = folder_source(tmp_path / "in")
    assert source.names == ("a/x.csv", "a/x.npz", "b/x")
    assert len(set(source.split.tolist())) == 1  # they may be one recording
    for record, problem in (("x", "stands for 3 files; write the whole path"), ("y", "is no file in the folder")):
        (tmp_path / "labels.csv").write_text(f"record,AF\n{record},1\n")
        with pytest.raises(SourceError, match=problem):
            folder_source(tmp_path / "in", tmp_path / "labels.csv")
    (tmp_path / "labels.csv").write_text("record,AF\nb/x,1\nb/x.csv,1\n")
    with pytest.raises(SourceError, match=r"'b/x' and 'b/x\.csv' are the same file"):
        folder_source(tmp_path / "in", tmp_path / "labels.csv")


def test_a_table_of_labels_in_the_folder_is_told_from_a_recording(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    files.write_csv(tmp_path / "in" / "x.csv", SIGNAL)
    (tmp_path / "in" / "labels.csv").write_text("Record;AF;SR\nx;yes;no\n")
    store = prepare(folder_source(tmp_path / "in"), tmp_path / "out").store
    assert store.names == ["labels", "x"]
    assert "labels.csv looks like a table of labels" in store.flags[0]
    assert "--labels labels.csv" in store.flags[0]
    assert store.flags[1] == ""
    source = folder_source(tmp_path / "in", tmp_path / "in" / "labels.csv")
    assert (source.names, source.tasks["labels"].labels.tolist()) == (("x",), [[1, 0]])


def test_folders_with_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no folder"):
        folder_source(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(SourceError, match="holds no recording"):
        folder_source(tmp_path)


def test_the_command(mixed: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(folder_command)
    options = ["--file-fs", "250", "--file-leads", ",".join(FACTS.leads or ()), "--file-units", "mV", "--fs", "125"]
    result = CliRunner().invoke(app, ["--root", str(mixed), "--out", str(tmp_path / "out"), *options])
    assert result.exit_code == 0, result.output
    assert "13 records" in result.output
    assert "flagged: 3" in result.output
    store = BeatStore.open(tmp_path / "out")
    assert store.fs == 125.0
    assert store.manifest["source"]["file_units"] == "mV"


def test_a_header_cannot_reach_outside_the_folder(tmp_path: Path) -> None:
    secret = made.write_record(tmp_path / "secret", "s", SIGNAL, fs=250.0)
    inside = made.write_record(tmp_path / "in", "r", SIGNAL, fs=250.0)
    for name in ("../secret/s.dat", str(secret.with_suffix(".dat"))):
        text = secret.with_suffix(".hea").read_text().replace("s.dat", name)
        inside.with_suffix(".hea").write_text(text)
        store = prepare(folder_source(tmp_path / "in"), tmp_path / "out", overwrite=True).store
        assert "is no plain name" in store.flags[0]
        assert not store.tokens[:].any()
