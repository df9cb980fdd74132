"""PTB-XL: labels, folds and remarks by the published rules, and tables that are not as published."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ptbxl_files import write_ptbxl

from clear_hug.data import PrepareSettings, SourceError, prepare, ptbxl_source

CLASSES = {
    "super": "CD HYP MI NORM STTC",
    "sub": "AMI _AVB CLBBB CRBBB ILBBB IMI IRBBB ISCA ISCI ISC_ IVCD LAFB/LPFB LAO/LAE LMI LVH NORM NST_ PMI RAO/RAE "
    "RVH SEHYP STTC WPW",
    "form": "ABQRS DIG HVOLT INVT LNGQT LOWT LPR LVOLT NDT NST_ NT_ PAC PRC(S) PVC QWAVE STD_ STE_ TAB_ VCLVH",
    "rhythm": "AFIB AFLT BIGU PACE PSVT SARRH SBRAD SR STACH SVARR SVTAC TRIGU",
}


def _labels(root: Path, task: str) -> dict[str, tuple[int, ...]]:
    source = ptbxl_source(root)
    labels = source.tasks[task]
    return {name: tuple(row) for name, row in zip(source.names, labels.labels.tolist(), strict=True)}


def test_labels_ignore_likelihoods_and_follow_the_statement_table(tmp_path: Path) -> None:
    codes = [
        "{'NORM': 100.0, 'SR': 0.0}",
        "{'IMI': 0.0, '1AVB': 50.0, 'NDT': 0}",
        "{'ABQRS': 0.0}",
        "{'UNKNOWN': 1.0}",
        "{}",
    ]
    root = write_ptbxl(tmp_path, [{"scp_codes": code} for code in codes], signals=False)
    source = ptbxl_source(root)
    assert source.names == ("00001_lr", "00002_lr", "00003_lr", "00004_lr", "00005_lr")
    assert {name: task.classes for name, task in source.tasks.items()} == {
        "super": ("CD", "MI", "NORM", "STTC"),
        "sub": ("_AVB", "IMI", "NORM", "STTC"),
        "form": ("ABQRS", "NDT"),
        "rhythm": ("AFIB", "SR"),
        "all": ("1AVB", "ABQRS", "AFIB", "IMI", "NDT", "NORM", "SR"),
        "diagnostic": ("1AVB", "IMI", "NDT", "NORM"),
    }
    none = (0, 0, 0, 0)
    assert list(_labels(root, "super").values()) == [(0, 0, 1, 0), (1, 1, 0, 1), none, none, none]
    assert list(_labels(root, "sub").values()) == [(0, 0, 1, 0), (1, 1, 0, 1), none, none, none]
    assert list(_labels(root, "form").values()) == [(0, 0), (0, 1), (1, 0), (0, 0), (0, 0)]
    assert source.tasks["super"].labelled.tolist() == [True, True, False, False, False]
    assert source.tasks["rhythm"].labelled.tolist() == [True, False, False, False, False]


def test_folds_become_splits(tmp_path: Path) -> None:
    rows = [{"strat_fold": fold} for fold in ("1", "8", "9", "10", "10.0")]
    assert ptbxl_source(write_ptbxl(tmp_path, rows, signals=False)).split.tolist() == [0, 0, 1, 2, 2]


def test_remarks_of_the_table_become_notes(tmp_path: Path) -> None:
    rows = [{"static_noise": " , I-V1,  ", "validated_by_human": "False"}, {"validated_by_human": "True"}]
    notes = ptbxl_source(write_ptbxl(tmp_path, rows, signals=False)).notes
    assert notes == (("static noise: I-V1", "report not validated by a human"), ())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"scp_codes": "__import__('os').getcwd()"}, "ecg_id 2: scp_codes"),
        ({"scp_codes": "['NORM']"}, "no dict of statement codes"),
        ({"strat_fold": "11"}, "strat_fold '11' is none of 1 to 10"),
        ({"strat_fold": ""}, "strat_fold ''"),
        ({"filename_lr": "../../secret"}, "no path inside"),
        ({"filename_lr": "/etc/passwd"}, "no path inside"),
        ({"filename_lr": ""}, "no path inside"),
    ],
)
def test_rows_that_are_not_as_published(tmp_path: Path, row: dict[str, str], message: str) -> None:
    root = write_ptbxl(tmp_path, [{}, row], signals=False)
    with pytest.raises(SourceError, match=message):
        ptbxl_source(root)


def test_folders_that_are_not_ptbxl(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="--root must be the folder of PTB-XL"):
        ptbxl_source(tmp_path)
    with pytest.raises(SourceError, match="not at 250 Hz"):
        ptbxl_source(tmp_path, rate=250)
    with pytest.raises(SourceError, match="lists no records"):
        ptbxl_source(write_ptbxl(tmp_path / "empty", []))
    root = write_ptbxl(tmp_path / "cut", [{}], signals=False)
    (root / "ptbxl_database.csv").write_text("ecg_id,scp_codes\n1,{}\n")
    with pytest.raises(SourceError, match="no column 'strat_fold'"):
        ptbxl_source(root)


def test_two_rows_for_one_file(tmp_path: Path) -> None:
    root = write_ptbxl(tmp_path, [{}, {"ecg_id": "1", "filename_lr": "records100/00000/00001_lr"}], signals=False)
    with pytest.raises(SourceError, match="'00001_lr' occurs twice"):
        ptbxl_source(root)


def test_a_column_that_has_shifted_is_no_table(tmp_path: Path) -> None:
    rows = [{"filename_lr": f"records100/00000/0000{other}_lr"} for other in (3, 1, 2)]
    root = write_ptbxl(tmp_path, rows, signals=False)
    with pytest.raises(SourceError, match="ecg_id 1 has the recording 00003_lr of another one"):
        ptbxl_source(root)


def test_an_empty_table_of_statements(tmp_path: Path) -> None:
    root = write_ptbxl(tmp_path, [{}], signals=False)
    (root / "scp_statements.csv").write_text("")
    with pytest.raises(SourceError, match=r"scp_statements\.csv has no column"):
        ptbxl_source(root)


def test_prepared_labels_stay_with_their_records(tmp_path: Path) -> None:
    """The middle record is unreadable; those after it keep their own labels."""
    codes = ["{'NORM': 1}", "{'IMI': 1}", "{'1AVB': 1}", "{'NDT': 1}"]
    root = write_ptbxl(tmp_path / "in", [{"scp_codes": code} for code in codes])
    (root / "records100" / "00000" / "00002_lr.dat").unlink()
    store = prepare(ptbxl_source(root), tmp_path / "out").store
    assert store.names == ["00001_lr", "00002_lr", "00003_lr", "00004_lr"]
    assert [bool(flag) for flag in store.flags] == [False, True, False, False]
    assert store.flags[1].startswith("unreadable: record 00002_lr: its signal file")
    assert [store.classes("super")[column] for column in store.labels("super").argmax(axis=1)] == [
        "NORM",
        "MI",
        "CD",
        "STTC",
    ]
    heart_rate = [60 * 100 / np.diff(r[r >= 0]).mean() for r in np.array(store.r_index)[[0, 2, 3]]]
    np.testing.assert_allclose(heart_rate, [51, 53, 54], atol=0.5)


def test_the_real_sample(shared_dir: Path, tmp_path: Path) -> None:
    root = shared_dir / "data" / "ptbxl"
    table = pd.read_csv(root / "ptbxl_database.csv")
    statements = pd.read_csv(root / "scp_statements.csv", index_col=0)
    store = prepare(ptbxl_source(root), tmp_path / "store", PrepareSettings(beats=20)).store
    assert len(store) == len(table) == 350
    assert store.names == [Path(name).name for name in table.filename_lr]
    np.testing.assert_array_equal(np.array(store.split), table.strat_fold.map({9: 1, 10: 2}).fillna(0))
    codes = [set(ast.literal_eval(text)) for text in table.scp_codes]
    diagnostic = statements[statements.diagnostic == 1]
    of_task = {
        "super": diagnostic.diagnostic_class,
        "sub": diagnostic.diagnostic_subclass,
        "form": pd.Series({code: code for code in statements.index[statements.form == 1]}),
        "rhythm": pd.Series({code: code for code in statements.index[statements.rhythm == 1]}),
    }
    for task, of_code in of_task.items():
        assert " ".join(store.classes(task)) == CLASSES[task]
        expected = [{of_code[code] for code in own if code in of_code.index} for own in codes]
        found = [{store.classes(task)[c] for c in np.flatnonzero(row)} for row in store.labels(task)]
        assert found == expected
        np.testing.assert_array_equal(store.labelled(task), [bool(classes) for classes in expected])
    assert (len(store.classes("all")), len(store.classes("diagnostic"))) == (71, 44)
    assert dict(zip(store.classes("super"), store.labels("super").sum(axis=0).tolist(), strict=True)) == {
        "CD": 59, "HYP": 20, "MI": 50, "NORM": 210, "STTC": 62,
    }  # fmt: skip
    assert store.flags == [""] * 350
    assert 4200 < store.manifest["counts"]["beats_found"] < 4350
