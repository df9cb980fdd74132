"""Chapman–Shaoxing–Ningbo: both layouts, the labels as published and as they are, one split for both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dataset_files import class_counts, write_challenge, write_plain_csn

from clear_hug.data import SourceError, prepare
from clear_hug.data.csn import CSN_CLASSES, CSN_CORRECTED_CLASSES, csn_source
from clear_hug.data.snomed import CSN_CODES, diagnosis_codes
from clear_hug.data.splits import known_split

CODES = {
    "JS00001": "164889003,59118001,164934002",  # AFIB RBBB TWC
    "JS00002": "426177001,164934002",  # SB TWC
    "JS00005": "164890007",  # AF
    "JS00006": "426177001",  # SB alone: the published split leaves it out
    "JS00008": "426783006,164930006",  # SR STE
    "JS05457": "427084000,999999999",  # ST, and a code without an acronym
    "JS06908": "270492004,,270492004",  # 1AVB, an empty field, and again
}


def _named(source, task: str) -> dict[str, set[str]]:
    of = source.tasks[task]
    return {
        name: {of.classes[column] for column in np.flatnonzero(row)}
        for name, row, known in zip(source.names, of.labels, of.labelled, strict=True)
        if known
    }


def test_classes_are_the_published_ones_in_their_order() -> None:
    assert " ".join(CSN_CLASSES) == (
        "AQW UW SR WPW 2AVB AT VB ARS STTC SA STE VPB TWO STTU ALS APB 2AVB1 PRIE CCR CR AF AVB QTIE LBBB VEB SVT "
        "RBBB 1AVB STDD MI AFIB TWC PWC ERV RVH LVH ST JEB"
    )
    assert (*CSN_CLASSES, "SB") == CSN_CORRECTED_CLASSES
    assert set(CSN_CORRECTED_CLASSES) <= set(CSN_CODES.values())


def test_published_labels_are_substrings_and_corrected_ones_are_codes(tmp_path: Path) -> None:
    source = csn_source(write_challenge(tmp_path, CODES))
    assert _named(source, "csn") == {
        "JS00001": {"AFIB", "AF", "RBBB", "TWC"},
        "JS00002": {"TWC"},
        "JS00005": {"AF"},
        "JS00008": {"SR", "STE", "ST"},
        "JS06908": {"1AVB", "AVB", "VB"},
    }
    assert _named(source, "csn-corrected") == {
        "JS00001": {"AFIB", "RBBB", "TWC"},
        "JS00002": {"SB", "TWC"},
        "JS00005": {"AF"},
        "JS00006": {"SB"},
        "JS00008": {"SR", "STE"},
        "JS05457": {"ST"},
        "JS06908": {"1AVB"},
    }


def test_both_layouts_are_one(tmp_path: Path) -> None:
    challenge = csn_source(write_challenge(tmp_path / "a" / "chapman_shaoxing" / "g1", CODES).parents[1])
    plain = csn_source(write_plain_csn(tmp_path / "b", CODES))
    assert challenge.names == plain.names == tuple(sorted(CODES))
    assert plain.paths[0] == "WFDBRecords/01/010/JS00001"
    np.testing.assert_array_equal(challenge.split, plain.split)
    for task in ("csn", "csn-corrected"):
        assert _named(challenge, task) == _named(plain, task)


def test_one_split_for_both_tasks_and_for_any_part(tmp_path: Path) -> None:
    root = write_challenge(tmp_path, CODES)
    source = csn_source(root)
    assert set(source.split.tolist()) <= {0, 1, 2}
    for name, side in zip(source.names, source.split, strict=True):
        assert known_split(name) in (side, -1)
    (root / "JS00001.hea").unlink()
    np.testing.assert_array_equal(csn_source(root).split, source.split[1:])


def test_headers_without_codes_are_not_labelled(tmp_path: Path) -> None:
    root = write_challenge(tmp_path, {"JS00001": None, "JS00002": "", "JS00005": "Unknown", "JS00008": "426783006"})
    source = csn_source(root)
    assert source.tasks["csn-corrected"].labelled.tolist() == [False, False, False, True]
    assert source.notes == (("no diagnosis code in its header",),) * 3 + ((),)
    assert diagnosis_codes(root / "nothing.hea") is None


def test_two_copies_of_a_record_are_refused(tmp_path: Path) -> None:
    write_challenge(tmp_path / "g1", {"JS00001": "426783006"})
    write_challenge(tmp_path / "g2", {"JS00001": "426783006"})
    with pytest.raises(SourceError, match="JS00001 twice, as g1/JS00001 and g2/JS00001"):
        csn_source(tmp_path)


def test_the_plain_layout_becomes_tokens(tmp_path: Path) -> None:
    root = write_plain_csn(tmp_path / "in", CODES)
    next(root.rglob("JS00002.mat")).write_bytes(b"")
    store = prepare(csn_source(root), tmp_path / "out").store
    assert store.names == sorted(CODES)
    assert [bool(flag) for flag in store.flags] == [name == "JS00002" for name in store.names]
    assert store.tasks == ["csn", "csn-corrected"]
    assert class_counts(store, "csn-corrected") == {
        "SR": 1, "STE": 1, "AF": 1, "RBBB": 1, "1AVB": 1, "AFIB": 1, "TWC": 2, "ST": 1, "SB": 2,
    }  # fmt: skip


def test_the_real_sample(shared_dir: Path, tmp_path: Path) -> None:
    store = prepare(csn_source(shared_dir / "data" / "cinc2021"), tmp_path / "out").store
    assert len(store) == 57
    assert store.flags == [""] * 57
    assert (int(store.labelled("csn").sum()), int(store.labelled("csn-corrected").sum())) == (26, 57)
    assert class_counts(store, "csn") == {
        "AQW": 1, "SR": 7, "VB": 1, "STTC": 2, "SA": 3, "TWO": 4, "ALS": 1, "APB": 7, "AF": 4, "AVB": 1, "RBBB": 2,
        "1AVB": 1, "STDD": 1, "AFIB": 1, "TWC": 7, "ST": 9,
    }  # fmt: skip
    assert class_counts(store, "csn-corrected") == {
        "AQW": 2, "SR": 10, "AT": 1, "ARS": 1, "STTC": 2, "SA": 4, "STE": 2, "TWO": 7, "ALS": 1, "APB": 14, "AF": 6,
        "RBBB": 2, "1AVB": 3, "STDD": 2, "AFIB": 1, "TWC": 11, "RVH": 2, "LVH": 1, "ST": 14, "SB": 15,
    }  # fmt: skip
    sides = dict(zip(store.names, store.split.tolist(), strict=True))
    # As in the public split files.
    assert [sides[name] for name in ("JS00001", "JS00008", "JS11438", "JS19852", "JS36889", "JS40383")] == [
        0, 2, 2, 2, 2, 0,
    ]  # fmt: skip
