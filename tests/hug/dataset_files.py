"""Small data sets in the layouts of public ones, for tests."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
import scipy.io
import synthetic_ecg as made

from clear_hug.leads import STANDARD_LEADS

MIMIC_LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")


def write_challenge(folder: Path, codes: Mapping[str, str | None]) -> Path:
    """`NAME.hea` and `NAME.mat` with a `#Dx:` line (None: without one), all with the same signal; the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    signal = made.record(fs=500.0, seconds=4.0, bpm=60.0).signal
    counts = np.rint(signal * 1000).astype("<i2")
    for name, text in codes.items():
        scipy.io.savemat(folder / f"{name}.mat", {"val": counts.T}, format="4")
        lines = [f"{name} 12 500 {len(counts)}"]
        lines += [f"{name}.mat 16+24 1000/mV 16 0 {counts[0, i]} 0 0 {lead}" for i, lead in enumerate(STANDARD_LEADS)]
        lines += ["#Age: 59", "#Sex: Female"] + ([] if text is None else [f"#Dx: {text}"]) + ["#Rx: Unknown"]
        (folder / f"{name}.hea").write_text("\n".join(lines) + "\n")
    return folder


def write_plain_csn(root: Path, codes: Mapping[str, str]) -> Path:
    """CSN's own layout: WFDBRecords/01/010/JS00001 …, RECORDS that lists folders, and the table of names."""
    for number, (name, text) in enumerate(codes.items()):
        write_challenge(
            root / "WFDBRecords" / f"{1 + number // 4:02d}" / f"{10 * (1 + number // 4) + number % 4:03d}", {name: text}
        )
    folders = sorted({path.parent.relative_to(root).as_posix() + "/" for path in root.rglob("*.hea")})
    (root / "RECORDS").write_text("\n".join(folders) + "\n")
    (root / "ConditionNames_SNOMED-CT.csv").write_text("Acronym Name,Full Name,Snomed_CT\n1AVB,x,270492004\n")
    return root


def write_contest_cpsc2018(root: Path, labels: Mapping[str, Sequence[int]], seconds: float = 4.0) -> Path:
    """CPSC2018's own layout: TrainingSet1/A0001.mat …, a MATLAB structure each, and REFERENCE.csv."""
    (root / "TrainingSet1").mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(labels):
        signal = made.record(fs=500.0, seconds=seconds, bpm=60.0 + 5 * number).signal
        structure = {"sex": "Female", "age": 40 + number, "data": signal.T}
        scipy.io.savemat(root / "TrainingSet1" / f"{name}.mat", {"ECG": structure})
    with (root / "REFERENCE.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("Recording", "First_label", "Second_label", "Third_label"))
        writer.writerows((name, *own, *[""] * (3 - len(own))) for name, own in labels.items())
    return root


def write_mimic(root: Path, studies: Sequence[tuple[int, int]]) -> Path:
    """MIMIC-IV-ECG's layout, from pairs of subject and study; aVF comes before aVL, as there."""
    signal = made.record(fs=500.0, seconds=4.0, bpm=60.0).signal
    columns = [STANDARD_LEADS.index(lead) for lead in MIMIC_LEADS]
    first: Path | None = None
    rows = []
    for subject, study in studies:
        path = f"files/p{subject // 10000}/p{subject}/s{study}/{study}"
        folder = (root / path).parent
        if first is None:
            first = made.write_record(folder, str(study), signal[:, columns], leads=MIMIC_LEADS)
        else:
            folder.mkdir(parents=True)
            shutil.copy(first.with_suffix(".dat"), folder / f"{study}.dat")
            header = first.with_suffix(".hea").read_text().replace(first.name, str(study))
            (folder / f"{study}.hea").write_text(header)
        rows.append((subject, study, study, "2180-07-23 08:44:00", path))
    with (root / "record_list.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows((("subject_id", "study_id", "file_name", "ecg_time", "path"), *rows))
    return root


def write_code15(root: Path, exams: Sequence[tuple[int, int, Sequence[str]]], per_file: int = 2) -> Path:
    """CODE-15 %'s own layout, from exam, patient and classes: HDF5 files padded with zeros, a filler, exams.csv."""
    root.mkdir(parents=True, exist_ok=True)
    for part in range(0, len(exams), per_file):
        own = exams[part : part + per_file]
        tracings = np.zeros((len(own) + 1, 4096, 12), dtype=np.float32)
        for row, _ in enumerate(own):
            signal = made.record(fs=400.0, seconds=7.0, bpm=60.0 + 10 * row).signal
            begin = (4096 - len(signal)) // 2
            tracings[row, begin : begin + len(signal)] = signal + 0.01
        with h5py.File(root / f"exams_part{part // per_file}.hdf5", "w") as stream:
            stream["exam_id"] = np.array([exam for exam, _, _ in own] + [0])
            stream["tracings"] = tracings
    classes = ("1dAVb", "RBBB", "LBBB", "SB", "ST", "AF")
    with (root / "exams.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("exam_id", "age", "is_male", *classes, "patient_id", "normal_ecg", "trace_file"))
        for number, (exam, patient, has) in enumerate(exams):
            values = [str(name in has) for name in classes]
            writer.writerow((exam, 50, "True", *values, patient, "False", f"exams_part{number // per_file}.hdf5"))
    return root


def class_counts(tasks_or_store, task: str) -> dict[str, int]:
    """Positives of each class that has some."""
    store = tasks_or_store
    sums = np.asarray(store.labels(task))[np.asarray(store.labelled(task))].sum(axis=0).tolist()
    return {name: count for name, count in zip(store.classes(task), sums, strict=True) if count}
