"""Damaged recordings in data sets' own formats (CPSC2018's MATLAB files, CODE-15 %'s HDF5): a record or an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest
import scipy.io
import synthetic_ecg as made
from damage import Changes, check_row, damage, edits, examples, memory_below
from hypothesis import given

from clear_hug.data import Record, RecordError, SourceError
from clear_hug.data.code15_hdf5 import list_exams, read_code15_hdf5
from clear_hug.data.cpsc2018_mat import read_cpsc2018_mat
from clear_hug.data.mat5 import MatError, read_structure

SIGNAL = made.twelve_leads(400.0, made.r_times(2.0, 72.0), 2.0)  # [800, 12]
PEAK_BYTES = 24 << 20
"""The files have at most 140 kB."""


class Case(NamedTuple):
    """A sound file, the path by which its reader knows a recording in a copy of it, and the reader."""

    sound: Path
    recording: Callable[[Path], Path]
    read: Callable[[Path], Record]

    def damaged(self, folder: Path, changes: Changes) -> Path:
        """A damaged copy."""
        path = folder / self.sound.name
        path.write_bytes(damage(self.sound.read_bytes(), changes))
        return path


def _mat(folder: Path, compressed: bool) -> Path:
    structure = {"sex": "Male", "age": 59, "data": SIGNAL.T}
    path = folder / f"A000{1 + compressed}.mat"
    scipy.io.savemat(path, {"ECG": structure}, do_compression=compressed)
    return path


def _hdf5(folder: Path, **storage: object) -> Path:
    tracings = np.zeros((3, 1000, 12), dtype=np.float32)
    tracings[:2, 100:900] = SIGNAL
    path = folder / f"exams_part{len(storage)}.hdf5"
    with h5py.File(path, "w") as stream:
        stream["exam_id"] = np.array([11, 22, 0])
        stream.create_dataset("tracings", data=tracings, **storage)
    return path


def _exam(path: Path) -> Path:
    return path / "22"


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    folder = tmp_path_factory.mktemp("sound")
    found = {
        "mat": Case(_mat(folder, False), Path, read_cpsc2018_mat),
        "mat-compressed": Case(_mat(folder, True), Path, read_cpsc2018_mat),
        "hdf5": Case(_hdf5(folder), _exam, read_code15_hdf5),
        "hdf5-compressed": Case(_hdf5(folder, chunks=(1, 1000, 12), compression="gzip"), _exam, read_code15_hdf5),
    }
    for case in found.values():
        np.testing.assert_allclose(case.read(case.recording(case.sound)).signal, SIGNAL, atol=1e-6)
    return found


KINDS = ["mat", "mat-compressed", "hdf5", "hdf5-compressed"]


@pytest.mark.parametrize("kind", KINDS)
@examples(100)
@given(changes=edits)
def test_no_damage_crashes_hangs_or_swells(tmp_path: Path, cases: dict[str, Case], kind: str, changes: Changes) -> None:
    case = cases[kind]
    path = case.damaged(tmp_path, changes)
    list_exams.cache_clear()
    with memory_below(PEAK_BYTES):
        try:
            if kind.startswith("hdf5"):
                assert all(exam.isdigit() for exam in list_exams(path))
            found = case.read(case.recording(path))
            assert found.signal.shape[1] == 12
        except (RecordError, SourceError) as error:
            assert path.name in str(error)  # noqa: PT017
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", KINDS)
@examples(10, seconds=20)
@given(changes=edits)
def test_damage_gives_a_row_and_its_reason(tmp_path: Path, cases: dict[str, Case], kind: str, changes: Changes) -> None:
    case = cases[kind]
    path = case.damaged(tmp_path, changes)
    check_row(case.recording(path), case.read)


def test_a_promise_of_gigabytes_is_refused(tmp_path: Path, cases: dict[str, Case]) -> None:
    """The sizes of elements in a MATLAB file: scipy allocates them before it looks at the file."""
    sound = cases["mat"].sound.read_bytes()
    size = (SIGNAL.size * 8).to_bytes(4, "little")
    at = sound.rindex(size)
    path = tmp_path / "A0001.mat"
    path.write_bytes(sound[:at] + (2**31 - 8).to_bytes(4, "little") + sound[at + 4 :])
    with pytest.raises(RecordError, match="2147483640 bytes does not fit"):
        read_cpsc2018_mat(path)


@pytest.mark.parametrize("dtype", ["<i2", "<u1", "<f4", "<f8", "<i4"])
@pytest.mark.parametrize("compressed", [False, True])
def test_structures_as_scipy_writes_them(tmp_path: Path, dtype: str, compressed: bool) -> None:
    data = np.arange(36).reshape(12, 3).astype(dtype)
    structure = {"data": data, "sex": "Female", "age": np.nan, "more": {"x": 1}, "nothing": np.zeros((0, 0))}
    scipy.io.savemat(tmp_path / "x.mat", {"other": 1, "ECG": structure}, do_compression=compressed)
    found = read_structure((tmp_path / "x.mat").read_bytes(), "ECG", 1 << 20)
    np.testing.assert_array_equal(found.pop("data"), data)
    assert np.isnan(found.pop("age")).all()
    assert np.size(found.pop("nothing")) == 0
    assert found == {"sex": "Female", "more": None}


@pytest.mark.parametrize("version", ["6.1_SOL2", "6.5.1_GLNX86", "7.1_GLNX86", "7.4_GLNX86"])
def test_structures_as_matlab_writes_them(version: str) -> None:
    """Files of several versions of MATLAB, big-endian ones too, which scipy brings for its own tests."""
    folder = Path(scipy.io.matlab.__file__).parent / "tests" / "data"
    if not (folder / f"teststruct_{version}.mat").is_file():
        pytest.skip("scipy is installed without its tests' data")
    found = read_structure((folder / f"teststruct_{version}.mat").read_bytes(), "teststruct", 1 << 20)
    np.testing.assert_allclose(found.pop("doublefield"), [[np.sqrt(2), np.e, np.pi]], rtol=1e-15)
    assert found == {"stringfield": "Rats live on no evil star.", "complexfield": None}
    nested = read_structure((folder / f"teststructnest_{version}.mat").read_bytes(), "teststructnest", 1 << 20)
    assert (np.ravel(nested["one"]).tolist(), nested["two"]) == ([1], None)
    with pytest.raises(MatError, match="no structure"):
        read_structure((folder / f"teststructarr_{version}.mat").read_bytes(), "teststructarr", 1 << 20)


def test_hdf5_files_that_point_elsewhere_are_refused(tmp_path: Path, cases: dict[str, Case]) -> None:
    """Links to other files, external storage, and unwritten datasets of any size."""
    with h5py.File(tmp_path / "link.hdf5", "w") as stream:
        stream["exam_id"] = np.array([22])
        stream["tracings"] = h5py.ExternalLink(str(cases["hdf5"].sound), "/tracings")
    (tmp_path / "secret").write_bytes(bytes(4 * 12 * 1000))
    with h5py.File(tmp_path / "external.hdf5", "w") as stream:
        stream["exam_id"] = np.array([22])
        stream.create_dataset("tracings", (1, 1000, 12), "f4", external=[(str(tmp_path / "secret"), 0, 48_000)])
    with h5py.File(tmp_path / "many.hdf5", "w") as stream:
        stream.create_dataset("exam_id", (10**12,), "i8", chunks=(1000,))
        stream.create_dataset("tracings", (10**12, 1000, 12), "f4", chunks=(1, 1000, 12))
    with h5py.File(tmp_path / "chunk.hdf5", "w") as stream:
        stream["exam_id"] = np.zeros(30_000, dtype="i8")
        stream.create_dataset("tracings", (30_000, 1000, 12), "f4", chunks=(30_000, 1000, 12), compression="gzip")
    with h5py.File(tmp_path / "numbers.hdf5", "w") as stream:
        stream["exam_id"] = np.array([np.nan])
        stream["tracings"] = np.zeros((1, 1000, 12), dtype="f4")
    for path in sorted(tmp_path.glob("*.hdf5")):
        with pytest.raises(SourceError, match="fetch it again"):
            list_exams(path)
        with pytest.raises(RecordError, match="cannot be read"):
            read_code15_hdf5(path / "22")
