"""GE MUSE XML (root `RestingECG`; MUSE XML Developer's Guide, GE Healthcare): rhythm leads as Base64 int16."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from clear_hug.data.formats.channels import Channel, record_of_channels, scale_of
from clear_hug.data.formats.safe_xml import number_of, text_of
from clear_hug.data.record import Record, RecordError

__all__ = ["read_muse"]


def read_muse(path: Path, root: Element) -> Record:
    """Read the rhythm waveform; the eight leads that MUSE stores (or twelve).

    Args:
        path: the file.
        root: its root element.

    Raises:
        RecordError: no rhythm waveform, samples that are no Base64 int16 or fewer than promised, a gain that is none.
    """
    waveforms = [wave for wave in root.findall("Waveform") if wave.find("LeadData") is not None]
    rhythm = [wave for wave in waveforms if text_of(wave, "WaveformType").casefold() == "rhythm"]
    if not rhythm and len(waveforms) == 1 and not text_of(waveforms[0], "WaveformType"):
        rhythm = waveforms
    if not rhythm:
        raise RecordError(f"record {path.stem}: {path} has no waveform of type Rhythm; export it with its waveforms")
    base = number_of(text_of(rhythm[0], "SampleBase"), "sampling rate (SampleBase)", path)
    exponent = number_of(text_of(rhythm[0], "SampleExponent") or "0", "SampleExponent", path)
    if not -9 <= exponent <= 9:
        raise RecordError(f"record {path.stem}: the SampleExponent of {path.name} is {exponent:g}")
    channels = [_lead(lead, path) for lead in rhythm[0].findall("LeadData")]
    offsets = {text_of(lead, "LeadOffsetFirstSample") or "0" for lead in rhythm[0].findall("LeadData")}
    if len(offsets) > 1:
        raise RecordError(f"record {path.stem}: the leads of {path.name} do not begin together ({sorted(offsets)[:4]})")
    person = root.find("PatientDemographics")
    said = [("Age", text_of(person, "PatientAge")), ("Sex", text_of(person, "Gender"))]
    comments = [f"{key}: {value[:12]}" for key, value in said if value]
    return record_of_channels(path, "GE MUSE XML", channels, base * 10.0**exponent, comments)


def _lead(lead: Element, path: Path) -> Channel:
    name = text_of(lead, "LeadID")
    size = text_of(lead, "LeadSampleSize") or "2"
    if size != "2":
        raise RecordError(f"record {path.stem}: lead {name} of {path.name} has samples of {size} bytes instead of 2")
    # Blanks and line breaks are common, and some exports leave out the padding at the end.
    packed = "".join(text_of(lead, "WaveFormData").split())
    try:
        content = base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RecordError(f"record {path.stem}: lead {name} of {path.name} is no Base64 ({error})") from error
    stored = np.frombuffer(content, "<i2", len(content) // 2)
    promised = text_of(lead, "LeadSampleCountTotal")
    if promised and number_of(promised, "number of samples", path) > len(stored):
        raise RecordError(
            f"record {path.stem}: lead {name} of {path.name} is cut off: it holds {len(stored)} of "
            f"{promised[:20]} samples"
        )
    given = text_of(lead, "LeadAmplitudeUnitsPerBit")
    step = scale_of(
        number_of(given, f"gain of lead {name}", path), text_of(lead, "LeadAmplitudeUnits") or "uV", path, name
    )
    return Channel(name, stored.astype(np.float64) * step, step)
