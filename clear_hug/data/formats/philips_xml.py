"""Philips XML, Sierra ECG 1.03 to 1.04.02 (root `restingecgdata`): Base64 or plain samples, bare or in XLI."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.formats.channels import Channel, damage_as_error, record_of_channels, scale_of
from clear_hug.data.formats.safe_xml import child, number_of, text_of
from clear_hug.data.formats.xli import unpack_xli
from clear_hug.data.record import Record, RecordError
from clear_hug.leads import STANDARD_LEADS

__all__ = ["read_philips"]

_MAX_LEADS, _MAX_SAMPLES = 32, 1 << 24
_PULSE_MV, _PULSE_S = 0.5, 0.1
"""A calibration pulse at the end: this high, and this long the same in all leads."""


def read_philips(path: Path, root: Element) -> Record:
    """Read the rhythm (`parsedwaveforms`), not the representative beats.

    Args:
        path: the file.
        root: its root element.

    Returns:
        The record. In XLI, the limb leads III, aVR, aVL, aVF are stored as what is left after Einthoven's and
        Goldberger's equations, and are rebuilt from I and II.

    Raises:
        RecordError: no waveforms, an encoding of which nothing is known, fewer samples than promised, no rate or step.
    """
    waves = child(root, "waveforms", "parsedwaveforms")
    if waves is None:
        raise RecordError(f"record {path.stem}: {path} has no parsedwaveforms; export it with its waveforms")
    facts = child(root, "dataacquisition", "signalcharacteristics")

    def said(*names: str) -> str:
        """An attribute of the waveforms, or else a characteristic of the signal."""
        found = (waves.get(name, "").strip() or text_of(facts, name) for name in names)
        return next((text for text in found if text), "")

    fs = number_of(said("samplespersecond", "samplingrate"), "sampling rate", path)
    samples = round(number_of(said("durationperchannel"), "duration of a channel", path) * fs / 1000)
    names = _names(waves, said("numberofleads", "numberchannelsallocated", "numberchannelsvalid"), path)
    if not 0 < samples <= _MAX_SAMPLES:
        raise RecordError(f"record {path.stem}: {path.name} promises {samples} samples per lead")
    stored = _stored(waves, len(names), samples, said("signalsigned").casefold() != "false", path)
    if _compression(waves) and names[:6] == list(STANDARD_LEADS[:6]):
        _rebuild_limb_leads(stored)
    step = scale_of(number_of(said("resolution", "signalresolution"), "resolution", path), "uV", path, names[0])
    zero = number_of(said("signaloffset") or "0", "offset of the signal", path)
    pulse = _calibration(stored, round(_PULSE_S * fs), _PULSE_MV / abs(step))
    notes = [f"{pulse / fs:.2f} s of calibration pulse at the end left out"] if pulse else []
    kept = [values[: samples - pulse].astype(np.float64) for values in stored]
    channels = [Channel(name, (values - zero) * step, step) for name, values in zip(names, kept, strict=True)]
    person = child(root, "patient", "generalpatientdata")
    told = [("Age", text_of(person, "age", "years")), ("Sex", text_of(person, "sex"))]
    comments = [f"{key}: {text[:12]}" for key, text in told if text]
    return record_of_channels(path, "Philips XML", channels, fs, comments, notes)


def _names(waves: Element, count: str, path: Path) -> list[str]:
    names = waves.get("leadlabels", "").split()
    number = int(number_of(count or str(len(names)), "number of leads", path))
    if not 0 < number <= _MAX_LEADS:
        raise RecordError(f"record {path.stem}: {path.name} promises {number} leads")
    if names:
        return names[:number]
    # Version 1.03 names no leads: its devices store the twelve in the standard order.
    return [STANDARD_LEADS[index] if index < len(STANDARD_LEADS) else f"channel {index + 1}" for index in range(number)]


def _compression(waves: Element) -> str:
    method = waves.get("compression", "") or waves.get("compressmethod", "")
    bare = method.casefold() in ("", "uncompressed", "none") or waves.get("compressflag", "").casefold() == "false"
    return "" if bare else method


def _stored(waves: Element, leads: int, samples: int, signed: bool, path: Path) -> list[NDArray[np.int64]]:
    encoding, compression = waves.get("dataencoding", ""), _compression(waves)
    text = "".join(waves.itertext())
    if encoding.casefold() == "plain" and not compression:
        with damage_as_error(path, "Philips XML"):
            return _split(np.array(text.split(), dtype=np.int64), leads, samples, path)
    if encoding.casefold() != "base64" or compression not in ("", "XLI"):
        raise RecordError(
            f"record {path.stem}: {path.name} has samples in {encoding or 'no'} encoding and {compression or 'no'} "
            "compression; only Base64 with XLI or without, and plain text, are known"
        )
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RecordError(f"record {path.stem}: the samples of {path.name} are no Base64 ({error})") from error
    if not compression:
        values = np.frombuffer(content, "<i2" if signed else "<u2", len(content) // 2)
        return _split(values.astype(np.int64), leads, samples, path)
    try:
        return unpack_xli(content, leads, samples)
    except ValueError as error:
        raise RecordError(f"record {path.stem}: the XLI data of {path.name} are damaged: {error}") from error


def _split(values: NDArray[np.int64], leads: int, samples: int, path: Path) -> list[NDArray[np.int64]]:
    if len(values) < leads * samples:
        raise RecordError(
            f"record {path.stem}: {path.name} is cut off: it holds {len(values)} of {leads * samples} samples"
        )
    return list(values[: leads * samples].reshape(leads, samples))


def _rebuild_limb_leads(stored: Sequence[NDArray[np.int64]]) -> None:
    """In place: what is stored is the equation's value less the lead itself."""
    one, two = stored[0], stored[1]
    three = two - one - stored[2]
    stored[2][:] = three
    stored[3][:] = -((one + two) // 2) - stored[3]
    stored[4][:] = (one - three) // 2 - stored[4]
    stored[5][:] = (two + three) // 2 - stored[5]


def _calibration(stored: Sequence[NDArray[np.int64]], shortest: int, height: float) -> int:
    """Samples at the end that are a calibration pulse: the same in all of several leads, and as high as one."""
    if len(stored) < 3:
        return 0
    differ = np.flatnonzero(np.ptp(np.stack(stored), axis=0) > 1)  # Goldberger's halves are rounded: one step apart
    begin = int(differ[-1]) + 1 if len(differ) else 0
    end = stored[0][begin:]
    return len(end) if begin and len(end) >= max(shortest, 1) and np.ptp(end) >= height else 0
