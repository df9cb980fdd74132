"""Folders that are links: entered, once, and never in circles."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import synthetic_ecg as made
from dataset_files import write_challenge, write_code15

from clear_hug.data import SourceError, code15_source, csn_source, wfdb_source
from clear_hug.data.folder import folder_source
from clear_hug.data.walk import walk_files

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")


def test_links_come_last_and_once(tmp_path: Path) -> None:
    (tmp_path / "root" / "z" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for path in ("root/z/1", "root/z/deep/2", "elsewhere/3"):
        (tmp_path / path).write_text("")
    for link, target in (("a", "z"), ("b", "../elsewhere"), ("c", "../elsewhere"), ("loop", ".."), ("lost", "gone")):
        (tmp_path / "root" / link).symlink_to(target, target_is_directory=True)
    (tmp_path / "elsewhere" / "back").symlink_to("../root", target_is_directory=True)
    found = [
        (folder.relative_to(tmp_path / "root").as_posix(), files) for folder, files in walk_files(tmp_path / "root")
    ]
    assert found[:4] == [(".", ["lost"]), ("z", ["1"]), ("z/deep", ["2"]), ("b", ["3"])]
    assert [files for _, files in found[4:]] == [[]]  # the folder of all, through loop: nothing in it is new
    skipped = [files for _, files in walk_files(tmp_path / "root", lambda folder: folder.name in ("z", "loop"))]
    assert skipped == [["lost"], ["1"], ["2"], ["3"]]


def test_a_folder_that_cannot_be_read_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()
    real = os.scandir

    def scandir(path: str) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(SourceError, match=r"closed cannot be read \(Permission denied\); make it readable, or move it"):
        list(walk_files(tmp_path))


def test_records_behind_links_are_found(tmp_path: Path) -> None:
    """As where a large data set lies on another disk."""
    disk = tmp_path / "disk"
    write_challenge(disk / "g1", {"JS00001": "426783006"})
    write_code15(disk / "code", [(11, 7, ("SB",))])
    for number, name in enumerate(("csn", "own", "code")):
        (tmp_path / name / "inside").mkdir(parents=True)
        target = disk / ("code" if name == "code" else "g1")
        (tmp_path / name / "inside" / f"link{number}").symlink_to(target, target_is_directory=True)
        (tmp_path / name / "inside" / "up").symlink_to(tmp_path / name, target_is_directory=True)
    (tmp_path / "code" / "exams.csv").write_bytes((disk / "code" / "exams.csv").read_bytes())
    assert csn_source(tmp_path / "csn").paths == ("inside/link0/JS00001",)
    assert wfdb_source(tmp_path / "own").paths == ("inside/link1/JS00001",)
    assert folder_source(tmp_path / "own").paths == ("inside/link1/JS00001.hea",)
    assert code15_source(tmp_path / "code").paths == ("inside/link2/exams_part0.hdf5/11",)


def test_adding_a_link_changes_no_path(tmp_path: Path) -> None:
    made.write_record(tmp_path / "z", "r", made.record(fs=250.0, seconds=2.0).signal, fs=250.0)
    before = wfdb_source(tmp_path).paths
    (tmp_path / "a").symlink_to("z", target_is_directory=True)
    assert wfdb_source(tmp_path).paths == before == ("z/r",)
