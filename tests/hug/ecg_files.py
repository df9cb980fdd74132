"""Tiny valid files of every format but SCP-ECG and XLI, for tests; signals are float [n, leads] in mV."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import synthetic_ecg as made
from numpy.typing import NDArray

from clear_hug.leads import STANDARD_LEADS

EIGHT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
STEP_UV = 5.0
"""µV per step of the stored integers, unless said otherwise."""

Signal = NDArray[np.float64]


def twelve(fs: float = 250.0, seconds: float = 4.0) -> Signal:
    """A synthetic ECG on the grid of the stored steps, so that files give it back exactly."""
    eight = pick(made.twelve_leads(fs, made.r_times(seconds, 72.0), seconds), EIGHT)
    counts = 2 * np.round(eight * 1000 / STEP_UV / 2)  # even, so that Goldberger's halves are whole
    one, two = counts[:, 0], counts[:, 1]
    limb = np.stack([one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2], axis=1)
    return np.concatenate([limb, counts[:, 2:]], axis=1) * STEP_UV / 1000


def pick(signal: Signal, leads: tuple[str, ...]) -> Signal:
    return signal[:, [STANDARD_LEADS.index(lead) for lead in leads]]


def counts_of(signal: Signal, step_uv: float = STEP_UV) -> NDArray[np.int16]:
    return np.round(np.nan_to_num(signal) * 1000 / step_uv).astype("<i2")


def write_csv(path: Path, signal: Signal, leads: tuple[str, ...] = STANDARD_LEADS, fs: float = 250.0) -> Path:
    lines = ["time," + ",".join(f"{lead} [uV]" for lead in leads)]
    for number, row in enumerate(signal):
        lines.append(f"{number / fs:.6f}," + ",".join(f"{value * 1000:.1f}" for value in row))
    path.write_text("\n".join(lines) + "\n")
    return path


def write_npz(path: Path, signal: Signal, leads: tuple[str, ...] = STANDARD_LEADS, fs: float = 250.0) -> Path:
    np.savez_compressed(path, signal=signal, fs=fs, leads=np.array(leads), units="mV")
    return path


def write_edf(path: Path, signal: Signal, leads: tuple[str, ...] = STANDARD_LEADS, fs: int = 250) -> Path:
    """EDF+, or BDF+ where the suffix says so."""
    import pyedflib

    kind = pyedflib.FILETYPE_BDFPLUS if path.suffix == ".bdf" else pyedflib.FILETYPE_EDFPLUS
    writer = pyedflib.EdfWriter(str(path), len(leads), kind)
    for index, lead in enumerate(leads):
        writer.setSignalHeader(
            index,
            {
                "label": f"ECG {lead}",
                "dimension": "uV",
                "sample_frequency": fs,
                "physical_max": 10000 * STEP_UV,
                "physical_min": -10000 * STEP_UV,
                "digital_max": 10000,
                "digital_min": -10000,
                "prefilter": "",
                "transducer": "",
            },
        )
    writer.writeSamples([np.ascontiguousarray(column) * 1000 for column in signal.T])
    writer.close()
    return path


_DICOM_CODES = {"I": 1, "II": 2, "III": 61, "aVR": 62, "aVL": 63, "aVF": 64} | {f"V{n}": n + 2 for n in range(1, 7)}


def write_dicom(
    path: Path, signal: Signal, leads: tuple[str, ...] = STANDARD_LEADS, fs: float = 250.0, padding: int = -32768
) -> Path:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.9.1.1"
    dataset.SOPInstanceUID = generate_uid()
    dataset.PatientName, dataset.PatientAge, dataset.PatientSex = "Nobody^Ever", "061Y", "F"
    dataset.Modality = "ECG"
    group = Dataset()
    group.WaveformOriginality = "ORIGINAL"
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = len(leads), len(signal)
    group.SamplingFrequency = fs
    group.ChannelDefinitionSequence = []
    for lead in leads:
        source, unit, channel = Dataset(), Dataset(), Dataset()
        source.CodeValue, source.CodingSchemeDesignator = f"2:{_DICOM_CODES[lead]}", "MDC"
        source.CodeMeaning = f"Lead {lead}"
        unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning = "uV", "UCUM", "microvolt"
        channel.ChannelSourceSequence = [source]
        channel.ChannelSensitivity, channel.ChannelSensitivityCorrectionFactor = STEP_UV * 2, 0.5
        channel.ChannelSensitivityUnitsSequence = [unit]
        channel.ChannelBaseline, channel.ChannelSampleSkew, channel.WaveformBitsStored = 0, 0, 16
        group.ChannelDefinitionSequence.append(channel)
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
    group.add_new(0x5400100A, "OW", padding.to_bytes(2, "little", signed=True))
    stored = counts_of(signal)
    stored[np.isnan(signal)] = padding
    group.add_new(0x54001010, "OW", stored.tobytes())
    dataset.WaveformSequence = [group]
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_muse(path: Path, signal: Signal, leads: tuple[str, ...] = EIGHT, fs: float = 250.0) -> Path:
    def wave(kind: str, values: Signal) -> str:
        parts = [f"<Waveform><WaveformType>{kind}</WaveformType><SampleBase>{fs:g}</SampleBase>"]
        parts.append("<SampleExponent>0</SampleExponent>")
        for lead, column in zip(leads, counts_of(values).T, strict=True):
            packed = base64.b64encode(column.tobytes()).decode()
            lines = "\n".join(packed[at : at + 76] for at in range(0, len(packed), 76))
            parts.append(
                f"<LeadData><LeadSampleCountTotal>{len(column)}</LeadSampleCountTotal><LeadAmplitudeUnitsPerBit>{STEP_UV}"
                "</LeadAmplitudeUnitsPerBit><LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits>"
                f"<LeadID>{lead}</LeadID><LeadSampleSize>2</LeadSampleSize><WaveFormData>\n{lines}\n</WaveFormData></LeadData>"
            )
        return "".join(parts) + "</Waveform>"

    beats = signal[:100] if len(signal) > 100 else signal
    person = "<PatientDemographics><PatientID>7</PatientID><PatientAge>61</PatientAge><Gender>FEMALE</Gender>"
    path.write_text(
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<!DOCTYPE RestingECG SYSTEM "restecg.dtd">\n<RestingECG>'
        f"{person}</PatientDemographics>{wave('Median', beats)}{wave('Rhythm', signal)}</RestingECG>",
        encoding="latin-1",
    )
    return path


def write_aecg(path: Path, signal: Signal, leads: tuple[str, ...] = STANDARD_LEADS, fs: float = 250.0) -> Path:
    sequences = [
        '<component><sequence><code code="TIME_ABSOLUTE"/><value xsi:type="GLIST_TS">'
        f'<head value="20030101120000.000"/><increment value="{1 / fs:.6f}" unit="s"/></value></sequence></component>'
    ]
    for lead, column in zip(leads, counts_of(signal).T, strict=True):
        digits = " ".join(str(value) for value in column)
        sequences.append(
            f'<component><sequence><code code="MDC_ECG_LEAD_{lead.upper()}"/><value xsi:type="SLIST_PQ">'
            f'<origin value="0" unit="uV"/><scale value="{STEP_UV}" unit="uV"/><digits>{digits}</digits>'
            "</value></sequence></component>"
        )
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<AnnotatedECG xmlns="urn:hl7-org:v3" xmlns:xsi='
        '"http://www.w3.org/2001/XMLSchema-instance"><component><series><code code="RHYTHM"/><component><sequenceSet>'
        f"{''.join(sequences)}</sequenceSet></component></series></component></AnnotatedECG>"
    )
    return path
