"""Tables of numbers in text, one column per lead (CSV, TSV, or blanks between): RFC 4180 without line breaks in fields.

Names come from the first line; a unit may stand in brackets (``V1 [uV]``, ``II (mV)``) or in a second line of units,
as `rdsamp` writes it. A column of time gives the rate. Lines with ``#`` may say ``# fs: 500`` or ``# units: uV``.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.formats.channels import Channel, read_bytes, record_of_channels
from clear_hug.data.formats.facts import SignalFacts, side_facts
from clear_hug.data.record import Record, RecordError
from clear_hug.data.units import millivolts
from clear_hug.leads import canonical_lead

__all__ = ["read_csv"]

_DELIMITERS = ("\t", ";", ",")
_UNIT = re.compile(r"^(.*?)\s*[\[(]\s*([^\[\]()]*?)\s*[\])]$")
_TIMES = {"time", "t", "elapsedtime", "seconds", "times"}
_COUNTERS = {"", "sample", "samples", "index", "n", "unnamed:0", "sample#"}
_SECONDS = {"": 1.0, "s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}
_FACT = re.compile(r"^#+\s*(fs|rate|sampling[ _]rate|units?|gain)\s*[:=]\s*(.+?)\s*(?:hz)?\s*$", re.IGNORECASE)
_MAX_COLUMNS = 512
_JITTER = 0.02
_LONGEST_STEP, _ROUNDING_S = 1.5, 6e-4
"""A step of time may be this many usual ones, and a rounding to milliseconds, before samples must be missing."""


def read_csv(path: str | Path, facts: SignalFacts | None = None) -> Record:
    """Read a table of samples.

    Args:
        path: the file, UTF-8.
        facts: rate, names and unit where neither the table nor a side file (`facts.side_facts`) says; mV without any.

    Raises:
        RecordError: no table of numbers, lines of different lengths, unknown names, no rate, or uneven times.
    """
    path = Path(path)
    text = _text(path)
    lines = [line for line in text.splitlines() if line.strip()]
    own = _said_in_comments([line for line in lines if line.lstrip().startswith("#")], path)
    rows = _split([line for line in lines if not line.lstrip().startswith("#")], path)
    if _is_table_of_labels(rows[0]):
        raise RecordError(
            f"record {path.stem}: {path.name} looks like a table of labels (it has a column record); name it with "
            f"--labels {path.name}, or move it out of the folder"
        )
    head = _head_length(rows)
    if head == len(rows):
        raise RecordError(f"record {path.stem}: {path.name} holds no line of numbers")
    known = own.over(side_facts(path)).over(facts or SignalFacts())
    values = _numbers(rows[head:], path, head + 1)  # [n, columns]
    names = [name.strip().strip("'\"") for name in rows[0]] if head else list(known.known_leads(path, values.shape[1]))
    if len(names) != values.shape[1]:
        raise RecordError(f"record {path.stem}: {len(names)} names for the {values.shape[1]} columns of {path.name}")
    units = [unit.strip().strip("'\"") for unit in rows[1]] if head > 1 else [""] * len(names)
    channels: list[Channel] = []
    has_unit = bool(known.units or any(units) or any(_UNIT.match(name) for name in names))
    notes = [] if has_unit else ["no unit given, mV assumed"]
    whole = True
    for column, (name, unit) in enumerate(zip(names, units, strict=False)):
        bracket = _UNIT.match(name)
        bare, unit = (bracket[1], bracket[2]) if bracket else (name, unit)
        folded = re.sub(r"[\s_]", "", bare).casefold()
        if folded in _COUNTERS:
            continue
        if folded in _TIMES:
            known = replace(known, fs=known.fs or _rate(values[:, column], unit, path))
            continue
        scale = _scale(unit, known, path, bare)
        whole = whole and _is_whole(values[:, column])
        channels.append(Channel(bare, values[:, column] * scale, 1 / known.gain if known.gain else None))
    if channels and whole and not has_unit:
        raise RecordError(
            f"record {path.stem}: {path.name} holds integers, and nothing says what voltage one of them is; give "
            '--file-units, or a line "# units: …" (and "# gain: …", numbers per unit)'
        )
    return record_of_channels(path, "CSV", channels, known.known_fs(path), notes=notes)


def _is_whole(values: NDArray[np.float64]) -> bool:
    """Whether all are integers, as of a converter."""
    return bool(np.all(np.isnan(values) | (values == np.rint(values))))


def _text(path: Path) -> str:
    content = read_bytes(path)
    try:
        return content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordError(f"record {path.stem}: {path} is no text in UTF-8 ({error.reason})") from error


def _said_in_comments(lines: list[str], path: Path) -> SignalFacts:
    said: dict[str, str] = {}
    for line in lines:
        found = _FACT.match(line.strip())
        if found:
            key = found[1].casefold()
            said["fs" if key.startswith(("fs", "rate", "sampling")) else key.rstrip("s")] = found[2]
    try:
        return SignalFacts(
            fs=float(said["fs"]) if "fs" in said else None,
            units=said.get("unit"),
            gain=float(said["gain"]) if "gain" in said else None,
        )
    except ValueError as error:
        raise RecordError(f"record {path.stem}: the comments of {path.name}: {error}") from error


def _split(lines: list[str], path: Path) -> list[list[str]]:
    if not lines:
        raise RecordError(f"record {path.stem}: {path.name} holds no line of numbers")
    ends = f"{lines[0]}\n{lines[-1]}"
    delimiter = next((mark for mark in _DELIMITERS if mark in ends), None)
    if delimiter is None:
        rows = [line.split() for line in lines]
    else:
        try:
            rows = list(csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter))
        except csv.Error as error:
            raise RecordError(f"record {path.stem}: {path.name} is no table ({error})") from error
    if delimiter in (";", "\t") and "," in lines[-1]:  # decimal commas
        rows = [[field.replace(",", ".") for field in row] for row in rows]
    if len(rows[-1]) > _MAX_COLUMNS:
        raise RecordError(f"record {path.stem}: {path.name} has {len(rows[-1])} columns, which no ECG has")
    return rows


def _is_table_of_labels(names: list[str]) -> bool:
    """A column `record`, as `clear_hug.data.label_table` needs, and none that is a lead."""
    bare = [name.strip().strip("'\"").strip() for name in names]
    return "record" in (name.casefold() for name in bare) and not any(_is_lead(name) for name in bare)


def _is_lead(name: str) -> bool:
    try:
        canonical_lead(_UNIT.sub(r"\1", name))
    except ValueError:
        return False
    return True


def _head_length(rows: list[list[str]]) -> int:
    """Lines of names (the first) and of units (the second) before the first line with a number."""
    for number, row in enumerate(rows[:3]):
        if any(_is_number(field) for field in row):
            return number
    return len(rows) if len(rows) < 3 else 3


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(rows: list[list[str]], path: Path, first_line: int) -> NDArray[np.float64]:
    columns = len(rows[0])
    for number, row in enumerate(rows, first_line):
        if len(row) != columns:
            raise RecordError(
                f"record {path.stem}: row {number} of {path.name} has {len(row)} fields instead of {columns}; the file "
                "is cut off or damaged"
            )
    try:
        return np.array(rows, dtype=np.float64)
    except ValueError:
        pass  # empty fields are missing samples, anything else an error: find out which
    values = np.empty((len(rows), columns))
    for number, row in enumerate(rows):
        for column, field in enumerate(row):
            try:
                values[number, column] = float(field) if field.strip() else np.nan
            except ValueError:
                raise RecordError(
                    f"record {path.stem}: {field[:24]!r} in row {number + first_line} of {path.name} is no number"
                ) from None
    return values


def _scale(unit: str, known: SignalFacts, path: Path, lead: str) -> float:
    """How many mV one number of a column is: its own unit before that of the file."""
    if not unit:
        return known.millivolts()
    try:
        return millivolts(unit) / (known.gain or 1.0)
    except ValueError as error:
        raise RecordError(f"record {path.stem}: column {lead!r} of {path.name}: {error}") from error


def _rate(times: NDArray[np.float64], unit: str, path: Path) -> float:
    """Hz, from a column of evenly spaced times."""
    per_second = _SECONDS.get(unit.casefold())
    if per_second is None:
        raise RecordError(f"record {path.stem}: the times of {path.name} are in {unit!r}; use s or ms")
    steps = np.diff(times) * per_second
    usual = float(np.median(steps)) if len(steps) else 0.0
    if not usual > 0 or not np.isfinite(steps).all():
        raise RecordError(f"record {path.stem}: the times of {path.name} do not increase")
    # Rounded times jitter by one unit of their last digit, so the mean over the whole file is the better rate.
    mean = float((times[-1] - times[0]) * per_second / len(steps))
    if abs(mean - usual) > _JITTER * usual + 1e-4 or steps.max() > _LONGEST_STEP * usual + _ROUNDING_S:
        raise RecordError(f"record {path.stem}: the times of {path.name} are not evenly spaced; fill the gaps with NaN")
    return round(1.0 / mean, 3)
