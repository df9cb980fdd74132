"""Beat detectors against annotated WFDB records: sensitivity, precision, and where the R peaks are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.beat_detectors import NamedDetector
from clear_hug.leads import STANDARD_LEADS, canonical_lead

__all__ = [
    "BEAT_SYMBOLS",
    "TOLERANCE_S",
    "AnnotatedRecord",
    "RecordScore",
    "Summary",
    "annotated_records",
    "compare_beats",
    "evaluate",
    "summarise",
]

TOLERANCE_S = 0.075
"""Half the match window of 150 ms in ANSI/AAMI EC57."""
BEAT_SYMBOLS = frozenset("NLRBAaJSVrFejnE/fQ?")
"""Every WFDB annotation that stands for a heartbeat."""
_LUDB_TABLE = "ludb.csv"


@dataclass(frozen=True, eq=False)
class AnnotatedRecord:
    """A recording and its marks.

    Attributes:
        name: of the record.
        signal: float64 [n, leads], mV.
        fs: rate, Hz.
        leads: standard names of the columns.
        marks: int64 [beats], increasing.
    """

    name: str
    signal: NDArray[np.float64]
    fs: float
    leads: tuple[str, ...]
    marks: NDArray[np.int64]


@dataclass(frozen=True)
class RecordScore:
    """One detector on one record: counts, summed distance of its R peaks from the marks in s, and time taken in s."""

    record: str
    detector: str
    found: int
    missed: int
    wrong: int
    offset_sum_s: float
    seconds: float

    @property
    def f1(self) -> float:
        """2 found / (2 found + missed + wrong); NaN without any beat."""
        return _f1(self.found, self.missed, self.wrong)


@dataclass(frozen=True)
class Summary:
    """One detector on all records: counts summed, not averaged; F1 with its 95 % bootstrap interval over records."""

    detector: str
    records: int
    beats: int
    sensitivity: float
    precision: float
    f1: float
    f1_low: float
    f1_high: float
    offset_ms: float
    ms_per_record: float


def annotated_records(
    root: str | Path, *, annotation: str | None = None, leads: Sequence[str] | None = None
) -> Iterator[AnnotatedRecord]:
    """Read every record below a folder that has an annotation file.

    LUDB (told by its `ludb.csv`) is read by its stored counts, since its headers' gains are wrong; its marks are those
    of lead II unless another extension is asked for.

    Args:
        root: folder, searched at any depth.
        annotation: extension of the annotation files; None for `atr`, or `ii` for LUDB.
        leads: only these leads; None for all that a record has.

    Raises:
        ValueError: there is no such folder, no record there has such a file, or, while it is read, a record has none
            of the leads.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"{root} is no folder; give the one with the annotated WFDB records")
    is_ludb = (root / _LUDB_TABLE).is_file() or (root.parent / _LUDB_TABLE).is_file()
    extension = (annotation or ("ii" if is_ludb else "atr")).lstrip(".")
    headers = [path for path in sorted(root.rglob("*.hea")) if path.with_suffix(f".{extension}").is_file()]
    if not headers:
        raise ValueError(f"no record below {root} has a .{extension} file; name the extension with --annotation")
    wanted = None if leads is None else {canonical_lead(lead) for lead in leads}
    records = (_read(header, extension, is_ludb, wanted) for header in headers)
    return (record for record in records if len(record.marks))


def _read(header: Path, extension: str, is_ludb: bool, wanted: set[str] | None) -> AnnotatedRecord:
    import wfdb  # takes a second to import

    base = str(header.with_suffix(""))
    record = wfdb.rdrecord(base, physical=not is_ludb)
    signal = record.d_signal / 1000.0 if is_ludb else record.p_signal
    named = [(column, lead) for column, name in enumerate(record.sig_name) if (lead := _lead(name))]
    if not named:  # "ECG1", "ECG2": any name serves, since the detector only counts leads
        named = list(enumerate(STANDARD_LEADS[: signal.shape[1]]))
    first = {lead: column for column, lead in reversed(named)}  # of leads of one name, the first
    named = [(column, lead) for column, lead in named if first[lead] == column]
    if wanted is not None:
        named = [(column, lead) for column, lead in named if lead in wanted]
    if not named:
        raise ValueError(f"record {header.stem} has none of the leads asked for, only {' '.join(record.sig_name)}")
    marks = wfdb.rdann(base, extension)
    beats = np.array([symbol in BEAT_SYMBOLS for symbol in marks.symbol], dtype=bool)
    columns, names = [column for column, _ in named], tuple(lead for _, lead in named)
    places = np.unique(np.asarray(marks.sample, dtype=np.int64)[beats])
    return AnnotatedRecord(header.stem, np.asarray(signal[:, columns]), float(record.fs), names, places)


def _lead(name: str) -> str:
    try:
        return canonical_lead(name)
    except ValueError:
        return ""


def compare_beats(
    beats: NDArray[np.integer], marks: NDArray[np.integer], fs: float, tolerance_s: float = TOLERANCE_S
) -> tuple[int, int, int, float]:
    """Match one to one, the nearest free beat to each mark, between the first and the last mark.

    Returns:
        Beats found, missed and wrong, and the summed distance of those found, s.
    """
    reach = tolerance_s * fs
    inside = np.sort(beats[(beats >= marks[0] - reach) & (beats <= marks[-1] + reach)])
    free = np.ones(len(inside), dtype=bool)
    found, distance = 0, 0.0
    for mark in marks:
        first, last = np.searchsorted(inside, (mark - reach, mark + reach + 1e-9))
        near = [index for index in range(first, last) if free[index] and abs(inside[index] - mark) <= reach]
        if near:
            closest = min(near, key=lambda index: abs(int(inside[index]) - int(mark)))
            free[closest] = False
            found += 1
            distance += abs(int(inside[closest]) - int(mark)) / fs
    return found, len(marks) - found, int(free.sum()), distance


def evaluate(
    records: Iterator[AnnotatedRecord],
    detectors: Sequence[NamedDetector],
    *,
    tolerance_s: float = TOLERANCE_S,
    progress: Callable[[str], None] | None = None,
) -> list[RecordScore]:
    """Scores of every detector on every record; a detector that fails on a record has found no beat there."""
    scores = []
    for record in records:
        for detector in detectors:
            start = time.perf_counter()
            beats = detector.detect(record.signal, record.fs, record.leads)
            seconds = time.perf_counter() - start
            found, missed, wrong, distance = compare_beats(beats, record.marks, record.fs, tolerance_s)
            scores.append(RecordScore(record.name, detector.name, found, missed, wrong, distance, seconds))
        if progress is not None:
            progress(record.name)
    return scores


def summarise(scores: Sequence[RecordScore], *, draws: int = 1000, seed: int = 0) -> list[Summary]:
    """One line per detector, in the order in which they came."""
    out = []
    for name in dict.fromkeys(score.detector for score in scores):
        own = [score for score in scores if score.detector == name]
        counts = np.array([(score.found, score.missed, score.wrong) for score in own])  # [records, 3]
        found, missed, wrong = (int(total) for total in counts.sum(axis=0))
        drawn = np.random.default_rng(seed).integers(0, len(own), (draws, len(own)))
        spread = [_f1(*counts[rows].sum(axis=0)) for rows in drawn]
        low, high = np.nanpercentile(spread, (2.5, 97.5)) if not np.isnan(spread).all() else (np.nan, np.nan)
        out.append(
            Summary(
                name,
                len(own),
                found + missed,
                found / (found + missed) if found + missed else np.nan,
                found / (found + wrong) if found + wrong else np.nan,
                _f1(found, missed, wrong),
                float(low),
                float(high),
                1000 * sum(score.offset_sum_s for score in own) / found if found else np.nan,
                1000 * float(np.median([score.seconds for score in own])),
            )
        )
    return out


def _f1(found: float, missed: float, wrong: float) -> float:
    total = 2 * found + missed + wrong
    return float(2 * found / total) if total else float("nan")
