"""DICOM waveforms: 12-lead, general and ambulatory ECG storage (DICOM PS3.3 C.10.9 and PS3.16 CID 3001), by pydicom."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.formats.channels import Channel, damage_as_error, is_lead, read_bytes, record_of_channels, scale_of
from clear_hug.data.formats.extras import optional
from clear_hug.data.record import Record, RecordError

__all__ = ["read_dicom"]

_LEAD_NUMBERS = {1: "I", 2: "II", 61: "III", 62: "aVR", 63: "aVL", 64: "aVF"} | {n + 2: f"V{n}" for n in range(1, 7)}
"""Last number of a lead's code, the same in MDC ("2:61") and in SCPECG ("5.6.3-9-61"): the numbers of EN 1064."""

_TYPES = {(8, "SB"): "i1", (8, "UB"): "u1", (16, "SS"): "i2", (16, "US"): "u2", (32, "SL"): "i4", (32, "UL"): "u4"}
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_DEFLATED = b"1.2.840.10008.1.2.1.99"
"""Sought in the whole file: pydicom would unpack the rest of it, to whatever size, on the first read."""
_MAX_GROUPS, _MAX_CHANNELS = 64, 512


def read_dicom(path: str | Path) -> Record:
    """Read the waveform of a DICOM ECG object.

    Args:
        path: the file; needs `pip install 'clear-hug[dicom]'`.

    Returns:
        The record of the multiplex group with most standard leads (original before derived, then the longest); other
        groups, such as representative beats, are named in a note.

    Raises:
        RecordError: pydicom is missing, no DICOM file, no waveform in it, an encoding of samples that is not linear,
            fewer samples than promised, or deflated storage, which could unpack to any size.
    """
    path = Path(path)
    pydicom = optional("pydicom", "dicom", path)
    content = read_bytes(path)
    with damage_as_error(path, "DICOM"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if _DEFLATED in content:
            raise RecordError(
                f"record {path.stem}: {path} is stored deflated, which is not unpacked; convert it, for example with "
                "dcmconv +te"
            )
        # From memory: a length field in a damaged file must not make `read` allocate what the file does not hold.
        dataset = pydicom.dcmread(io.BytesIO(content), force=content[128:132] != b"DICM")
        syntax = str(getattr(dataset.file_meta, "TransferSyntaxUID", ""))
        groups = list(getattr(dataset, "WaveformSequence", None) or [])
        if not groups:
            raise RecordError(f"record {path.stem}: {path} is a DICOM object without a waveform; is it an ECG?")
        if len(groups) > _MAX_GROUPS:
            raise RecordError(f"record {path.stem}: {path} has {len(groups)} groups of waveforms, which no ECG has")
        chosen = max(range(len(groups)), key=lambda index: _rank(groups[index]))
        channels = _channels(groups[chosen], ">" if syntax == _BIG_ENDIAN else "<", path)
        notes = [f"{len(groups) - 1} other groups of waveforms left out"] if len(groups) > 1 else []
        fs = float(groups[chosen].SamplingFrequency)
        return record_of_channels(path, "DICOM", channels, fs, _comments(dataset), notes)


def _rank(group: Any) -> tuple[int, bool, float]:
    """Most standard leads, then original before derived, then longest."""
    leads = sum(is_lead(_lead_name(channel)) for channel in list(group.ChannelDefinitionSequence)[:_MAX_CHANNELS])
    original = str(getattr(group, "WaveformOriginality", "")).upper() == "ORIGINAL"
    return leads, original, int(group.NumberOfWaveformSamples) / float(group.SamplingFrequency)


def _channels(group: Any, order: str, path: Path) -> list[Channel]:
    definitions = list(group.ChannelDefinitionSequence)
    samples, count = int(group.NumberOfWaveformSamples), int(group.NumberOfWaveformChannels)
    kind = (int(group.WaveformBitsAllocated), str(group.WaveformSampleInterpretation))
    if kind not in _TYPES:
        raise RecordError(
            f"record {path.stem}: {path.name} stores samples as {kind[0]} bit {kind[1]}, which is not linear; export "
            "it as 16 bit SS"
        )
    dtype = np.dtype(order + _TYPES[kind])
    content = bytes(group.WaveformData)
    if not (0 < count <= _MAX_CHANNELS and samples > 0 and len(definitions) == count):
        raise RecordError(
            f"record {path.stem}: {path.name} promises {samples} samples of {count} channels and describes "
            f"{len(definitions)}"
        )
    if samples * count * dtype.itemsize > len(content):
        held = len(content) // (count * dtype.itemsize)
        raise RecordError(f"record {path.stem}: {path.name} is cut off: it holds {held} of {samples} samples")
    stored = np.frombuffer(content, dtype, samples * count).reshape(samples, count)  # [n, channels]
    padding = _padding(group, dtype)
    return [_channel(stored[:, index], definitions[index], padding, path) for index in range(count)]


def _channel(stored: NDArray[np.integer], definition: Any, padding: int | None, path: Path) -> Channel:
    name = _lead_name(definition)
    if not is_lead(name):
        return Channel(name, np.zeros(0))
    if "ChannelSensitivity" not in definition or not definition.get("ChannelSensitivityUnitsSequence"):
        raise RecordError(
            f"record {path.stem}: lead {name} of {path.name} has no sensitivity with a unit, so its voltage is "
            "unknown; export the file again with its calibration"
        )
    unit = str(definition.ChannelSensitivityUnitsSequence[0].CodeValue)
    correction = float(definition.get("ChannelSensitivityCorrectionFactor", 1.0) or 1.0)
    step = scale_of(float(definition.ChannelSensitivity) * correction, unit, path, name)
    baseline = scale_of(1.0, unit, path, name) * float(definition.get("ChannelBaseline", 0.0) or 0.0)
    values = stored.astype(np.float64) * step + baseline
    if padding is not None:
        values[stored == padding] = np.nan
    return Channel(name, values, step)


def _padding(group: Any, dtype: np.dtype[Any]) -> int | None:
    """The stored number that stands for "no sample"; bytes or a number, as the value representation goes."""
    value = group.get("WaveformPaddingValue")
    if isinstance(value, bytes):
        value = np.frombuffer(value, dtype, 1)[0] if len(value) >= dtype.itemsize else None
    if value is None:
        return None
    # Some devices write 0, which is a voltage too: only numbers at the ends of the range can mean "nothing".
    limits = np.iinfo(dtype)
    return int(value) if int(value) in (limits.min, limits.min + 1, limits.max) else None


def _lead_name(definition: Any) -> str:
    """Standard name by code; else what the file calls the channel."""
    source = definition.ChannelSourceSequence[0] if definition.get("ChannelSourceSequence") else None
    if source is not None and str(source.get("CodingSchemeDesignator", "")).upper() in ("MDC", "SCPECG"):
        last = str(source.get("CodeValue", "")).replace("-", ":").split(":")[-1]
        if last.isdecimal() and int(last) in _LEAD_NUMBERS:
            return _LEAD_NUMBERS[int(last)]
    meaning = str(source.get("CodeMeaning", "")) if source is not None else ""
    label = str(definition.get("ChannelLabel", ""))
    return next((name for name in (meaning, label) if is_lead(name)), meaning or label or "unnamed")


def _comments(dataset: Any) -> list[str]:
    """Age and sex; nothing that names a person."""
    said = [("Age", dataset.get("PatientAge")), ("Sex", dataset.get("PatientSex"))]
    return [f"{key}: {str(value).strip()[:8]}" for key, value in said if value]
