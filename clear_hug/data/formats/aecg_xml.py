"""HL7 annotated ECG (root `AnnotatedECG`; ANSI/HL7 V3 ECG R1-2004): lists of digits with origin and scale."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.formats.channels import Channel, record_of_channels, scale_of
from clear_hug.data.formats.safe_xml import child, number_of, text_of
from clear_hug.data.record import Record, RecordError

__all__ = ["read_aecg"]

_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}


def read_aecg(path: Path, root: Element) -> Record:
    """Read the rhythm: the set of sequences with most leads, not the representative beats derived from it.

    Args:
        path: the file.
        root: its root element.

    Raises:
        RecordError: no set of sequences, no even steps of time in it, digits that are no numbers, a scale that is none.
    """
    series = [part for part in root.findall("component/series") if "BEAT" not in _code(part).upper()]
    sets = [found for part in series for found in part.findall("component/sequenceSet")]
    if not sets:
        raise RecordError(
            f"record {path.stem}: {path} has no series with a set of sequences; export it with its rhythm"
        )
    leads = [[sequence for sequence in found.findall("component/sequence") if _is_lead(sequence)] for found in sets]
    chosen = max(range(len(sets)), key=lambda index: len(leads[index]))
    channels = [_lead(sequence, path) for sequence in leads[chosen]]
    notes = [f"{len(sets) - 1} other sets of sequences left out"] if len(sets) > 1 else []
    return record_of_channels(path, "HL7 aECG", channels, _rate(sets[chosen], path), notes=notes)


def _code(element: Element) -> str:
    code = element.find("code")
    return code.get("code", "") if code is not None else ""


def _is_lead(sequence: Element) -> bool:
    return "LEAD" in _code(sequence).upper()


def _lead(sequence: Element, path: Path) -> Channel:
    name = _code(sequence)
    value = sequence.find("value")
    scale, origin = child(value, "scale"), child(value, "origin")
    if scale is None:
        raise RecordError(f"record {path.stem}: {name} of {path.name} has no scale, so its voltage is unknown")
    step = _millivolts(scale, name, path)
    zero = 0.0
    if origin is not None and number_of(origin.get("value", "0") or "0", "origin", path) != 0:
        zero = _millivolts(origin, name, path)
    digits = text_of(value, "digits").replace(",", " ").split()
    return Channel(name, _digits(digits, name, path) * step + zero, step)


def _millivolts(element: Element, name: str, path: Path) -> float:
    return scale_of(number_of(element.get("value", ""), f"scale of {name}", path), element.get("unit", ""), path, name)


def _digits(digits: list[str], name: str, path: Path) -> NDArray[np.float64]:
    try:
        return np.array(digits, dtype=np.float64)
    except ValueError as error:
        raise RecordError(
            f"record {path.stem}: {name} of {path.name} has digits that are no numbers ({error})"
        ) from None


def _rate(found: Element, path: Path) -> float:
    for sequence in found.findall("component/sequence"):
        step = child(sequence, "value", "increment")
        if _code(sequence).startswith("TIME") and step is not None:
            per = _SECONDS.get(step.get("unit", "s") or "s")
            seconds = number_of(step.get("value", ""), "increment of time", path) * (per or 0.0)
            if per is None or seconds <= 0:
                break
            return round(1.0 / seconds, 6)
    raise RecordError(f"record {path.stem}: nothing in {path} says the steps of time of its leads in s, ms or us")
