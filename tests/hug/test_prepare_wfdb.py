"""`prepare` on any folder of WFDB records: which records, which labels, and folders or tables with mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synthetic_ecg as made

from clear_hug.data import SourceError, prepare, wfdb_source
from clear_hug.data.label_table import read_label_table

SIGNAL = made.record(fs=250.0, seconds=4.0).signal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Records b, a, and sub/c."""
    for place, name in (("", "b"), ("", "a"), ("sub", "c")):
        made.write_record(tmp_path / "in" / place, name, SIGNAL, fs=250.0)
    return tmp_path / "in"


def _table(folder: Path, text: str) -> Path:
    path = folder.parent / "labels.csv"
    path.write_text(text)
    return path


def test_subfolders_are_searched_in_order_of_path(folder: Path) -> None:
    source = wfdb_source(folder)
    assert source.names == ("a", "b", "c")
    assert source.paths == ("a", "b", "sub/c")
    assert source.tasks == {}


def test_a_records_file_sets_the_order(folder: Path) -> None:
    (folder / "RECORDS").write_text("sub/\nb.hea\n\n")
    assert wfdb_source(folder).paths == ("sub/c", "b")
    (folder / "RECORDS").write_text("b\nb\n")
    with pytest.raises(SourceError, match="'b' twice"):
        wfdb_source(folder)
    (folder / "RECORDS").write_text("../other/b\n")
    with pytest.raises(SourceError, match="no path inside"):
        wfdb_source(folder)


def test_a_record_that_is_listed_but_not_there_keeps_its_row(folder: Path, tmp_path: Path) -> None:
    (folder / "RECORDS").write_text("a\ngone\nb\n")
    store = prepare(wfdb_source(folder), tmp_path / "out").store
    assert store.names == ["a", "gone", "b"]
    assert store.flags[1].startswith("unreadable: record gone: the header")
    assert (store.flags[0], store.flags[2]) == ("", "")


def test_records_that_share_a_name_are_called_by_their_path(folder: Path) -> None:
    made.write_record(folder / "other", "c", SIGNAL, fs=250.0)
    assert wfdb_source(folder).names == ("a", "b", "other/c", "sub/c")
    with pytest.raises(SourceError, match="'c' is the name of 2 files; write its path"):
        wfdb_source(folder, _table(folder, "record,AF\na,1\nc,1\n"))
    labelled = wfdb_source(folder, _table(folder, "record,AF\nsub/c,1\na,0\n")).tasks["labels"]
    assert labelled.labels[:, 0].tolist() == [0, 0, 0, 1]
    assert labelled.labelled.tolist() == [True, False, False, True]


def test_labels_and_splits_follow_names_not_positions(folder: Path, tmp_path: Path) -> None:
    table = _table(folder, "\ufeffrecord,AF,split,LBBB\nc,1,test,0\na,0,train,1.0\nb,0,val,0\n")
    store = prepare(wfdb_source(folder, table), tmp_path / "out").store
    assert store.tasks == ["labels"]
    assert store.classes("labels") == ["AF", "LBBB"]
    assert store.labels("labels").tolist() == [[0, 1], [0, 0], [1, 0]]
    assert store.split.tolist() == [0, 1, 2]
    assert store.labelled("labels").all()


def test_a_record_without_a_row_is_not_labelled_and_says_so(folder: Path, tmp_path: Path) -> None:
    table = _table(folder, "record,split,AF\na,train,1\n")
    store = prepare(wfdb_source(folder, table), tmp_path / "out").store
    assert store.labelled("labels").tolist() == [True, False, False]
    assert store.split.tolist() == [0, -1, -1]
    assert store.notes[1:] == ["no row in labels.csv"] * 2


def test_without_a_split_column_the_seed_decides(folder: Path) -> None:
    for number in range(37):
        for suffix in (".hea", ".dat"):
            (folder / f"n{number}{suffix}").write_bytes((folder / f"a{suffix}").read_bytes())
    one, same, other = (wfdb_source(folder, seed=seed).split for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    assert np.bincount(one).tolist() == [28, 6, 6]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("record,AF\n", "not a single record"),
        ("name,AF\na,1\n", "no column 'record'"),
        ("record,split\na,train\n", "no class columns"),
        ("record,AF,AF\na,1,1\n", "unique"),
        ("record,AF,\na,1,1\n", "not empty"),
        ("record,AF\na,2\n", "row 2, column 'AF': '2' is neither 0 nor 1"),
        ("record,AF\na,maybe\n", "'maybe' is neither"),
        ("record,AF\na,\n", "'' is neither"),
        ("record,AF\na,nan\n", "'nan' is neither"),
        ("record,AF\na,1,0\n", "3 fields for 2 columns"),
        ("record,AF\n,1\n", "no name"),
        ("record,AF\na,1\nb,0\na,1\n", "'a' has two rows, 2 and 4"),
        ("record,AF\na,1\nsub/c,0\nc,1\n", "'sub/c' has several rows"),
        ("record,AF\na,1\nz,0\n", "'z' has no .hea file"),
        ("record,split,AF\na,dev,1\n", "split 'dev' is none of train, val, test"),
    ],
)
def test_tables_with_mistakes(folder: Path, text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        wfdb_source(folder, _table(folder, text))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("record,split,AF\na,train,1\nb,val,0\n", "utf-8-sig"),
        ("record;split;AF\r\na;train;1\r\nb;val;0\r\n", "utf-8"),
        ("record;split;AF\na;train;1,0\nb;val;0,0\n", "utf-8"),
        ("record\tsplit\tAF\na\ttrain\t1\nb\tval\t0\n", "utf-16"),
        ('"Record","Split","AF"\n"a","train","1"\n"b","val","0"\n', "utf-8"),
        ('Record;SPLIT;"AF"\na;train;1.0\nb;val;0.0\n', "utf-8"),
        ("record,split,AF\na,Train,TRUE\nb,Validation,False\n", "utf-8"),
        ("record,split,AF\na,TRAINING,yes\nb,Valid,No\n", "utf-8"),
    ],
)
def test_tables_as_spreadsheets_write_them(folder: Path, tmp_path: Path, text: str, encoding: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode(encoding))
    table = read_label_table(path)
    assert (table.records, table.classes, table.labels.tolist()) == (("a", "b"), ("AF",), [[1], [0]])
    assert table.split is not None
    assert table.split.tolist() == [0, 1]


def test_tables_in_other_encodings_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes("record,ü\na,1\n".encode("latin-1"))
    with pytest.raises(SourceError, match=r"labels\.csv is no text in UTF-8 .*; save it as CSV in UTF-8"):
        read_label_table(tmp_path / "labels.csv")


def test_folders_with_nothing_to_read(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="holds no WFDB records"):
        wfdb_source(tmp_path / "empty")
    with pytest.raises(SourceError, match="there is no folder"):
        wfdb_source(tmp_path / "nowhere")
    with pytest.raises(SourceError, match=r"labels .*nothing\.csv cannot be read"):
        wfdb_source(folder, tmp_path / "nothing.csv")


def test_challenge_records_with_flat_leads(shared_dir: Path, tmp_path: Path) -> None:
    store = prepare(wfdb_source(shared_dir / "data" / "cinc2021"), tmp_path / "out").store
    assert len(store) == 159
    assert store.flags == [""] * 159
    said = {name: note.split("; ") for name, note in zip(store.names, store.notes, strict=True)}
    flat = {name: note for name, notes in said.items() for note in notes if note.endswith("flat")}
    assert flat == {
        "JS11438": "V1 V2 V3 V4 V5 V6 flat",
        "JS20004": "V2 V4 V6 flat",
        "JS20008": "V2 V4 V6 flat",
        "JS45542": "V1 V2 V3 V4 V5 V6 flat",
        "JS45551": "V4 V5 V6 flat",
    }
    row = store.names.index("JS11438")
    np.testing.assert_array_equal(store.valid[row].any(axis=1), np.arange(12) < 6)
    assert not store.tokens[row, 6:].any()
