"""European Data Format, EDF and EDF+C, and BioSemi's BDF (Kemp et al. 1992, doi.org/10.1016/0013-4694(92)90009-7; Kemp
and Olivan 2003, doi.org/10.1016/S1388-2457(03)00123-8), decoded by pyedflib.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from clear_hug.data.formats.channels import Channel, damage_as_error, is_lead, record_of_channels, scale_of
from clear_hug.data.formats.extras import optional
from clear_hug.data.record import Record, RecordError

__all__ = ["read_edf"]

_HEADER, _PER_SIGNAL = 256, 256
_MAX_SIGNALS = 512
_MAX_BYTES = 1 << 32
_SAMPLE_BYTES = {b"0       ": 2, b"\xffBIOSEMI": 3}


def read_edf(path: str | Path) -> Record:
    """Read the channels of an EDF or BDF file that are standard leads ("ECG II", "V1" …).

    Args:
        path: the file; needs `pip install 'clear-hug[edf]'`.

    Returns:
        The record. Where leads have several rates, those of the rate that most of them share, the others named in a
        note.

    Raises:
        RecordError: pyedflib is missing, the header promises more than the file holds, the recording has gaps (EDF+D),
            or no channel is a standard lead.
    """
    path = Path(path)
    pyedflib = optional("pyedflib", "edf", path)
    _check_header(path)
    with damage_as_error(path, "EDF"):
        reader = pyedflib.EdfReader(str(path), pyedflib.DO_NOT_READ_ANNOTATIONS, pyedflib.CHECK_FILE_SIZE)
        try:
            return _record(reader, path)
        finally:
            reader.close()


def _record(reader: object, path: Path) -> Record:
    labels = [label.strip() for label in reader.getSignalLabels()]  # type: ignore[attr-defined]
    rates = [float(reader.getSampleFrequency(index)) for index in range(len(labels))]  # type: ignore[attr-defined]
    leads = [index for index, label in enumerate(labels) if is_lead(label)]
    notes: list[str] = []
    if leads:
        common = Counter(rates[index] for index in leads).most_common(1)[0][0]
        slower = [labels[index] for index in leads if rates[index] != common]
        if slower:
            notes.append(f"{' '.join(slower)} not at {common:g} Hz as the other leads, left out")
        leads = [index for index in leads if rates[index] == common]
    channels: list[Channel] = []
    for index in leads:
        physical = reader.getPhysicalMaximum(index) - reader.getPhysicalMinimum(index)  # type: ignore[attr-defined]
        digital = reader.getDigitalMaximum(index) - reader.getDigitalMinimum(index)  # type: ignore[attr-defined]
        unit = reader.getPhysicalDimension(index).strip()  # type: ignore[attr-defined]
        step = scale_of(physical / digital, unit, path, labels[index])
        per_unit = scale_of(1.0, unit, path, labels[index])
        values = np.asarray(reader.readSignal(index), dtype=np.float64) * per_unit  # type: ignore[attr-defined]
        channels.append(Channel(labels[index], values, step))
    others = [Channel(label, np.zeros(0)) for label in labels if not is_lead(label)]
    return record_of_channels(path, "EDF", channels + others, rates[leads[0]] if leads else 1.0, notes=notes)


def _check_header(path: Path) -> None:
    """Compare what the header promises with the size of the file, before a decoder written in C trusts it."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(_HEADER)
            signals = _number(head[252:256], "number of signals", path)
            if not 1 <= signals <= _MAX_SIGNALS:
                raise RecordError(f"record {path.stem}: the header of {path.name} names {signals} signals")
            rest = stream.read(signals * _PER_SIGNAL)
    except OSError as error:
        raise RecordError(f"record {path.stem}: {path} cannot be read ({error.strerror or error})") from error
    if head[:8] not in _SAMPLE_BYTES:
        raise RecordError(f"record {path.stem}: {path.name} does not begin as EDF or BDF files do")
    if size > _MAX_BYTES:
        raise RecordError(f"record {path.stem}: {path} has {size} bytes; cut the recording into shorter files")
    blocks = _number(head[236:244], "number of data records", path)
    counts = [_number(rest[216 * signals + 8 * index :][:8], "number of samples", path) for index in range(signals)]
    promised = blocks * sum(counts) * _SAMPLE_BYTES[head[:8]] + _HEADER + signals * _PER_SIGNAL
    if blocks < 1 or min(counts) < 1 or promised > size:
        raise RecordError(
            f"record {path.stem}: {path.name} is cut off: its header promises {promised} bytes ({blocks} data "
            f"records), it has {size}; fetch it again"
        )


def _number(field: bytes, what: str, path: Path) -> int:
    try:
        return int(field.decode("ascii").strip())
    except ValueError:
        raise RecordError(
            f"record {path.stem}: the {what} in the header of {path.name} is {field!r}, which is no number"
        ) from None
