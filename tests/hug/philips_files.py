"""Tiny Philips XML files, for tests: bare, plain, or compressed as XLI by an encoder written for this purpose."""

from __future__ import annotations

import base64
import struct
from pathlib import Path

import numpy as np
from ecg_files import STEP_UV, Signal, counts_of
from numpy.typing import NDArray

from clear_hug.leads import STANDARD_LEADS


def write_philips(
    path: Path,
    signal: Signal,
    leads: tuple[str, ...] = STANDARD_LEADS,
    fs: float = 250.0,
    packing: str = "XLI",
    encoding: str = "utf-16",
    version: str = "1.04",
) -> Path:
    """`packing` is XLI, Base64 (bare) or Plain; version 1.03 names neither leads nor rate in the waveforms."""
    stored = counts_of(signal).T.astype(np.int64)  # [leads, n]
    kept = _without_equations(stored) if leads[:6] == STANDARD_LEADS[:6] else list(stored)
    how = 'dataencoding="Base64"'
    if packing == "XLI":
        text = base64.b64encode(b"".join(xli_chunk(values) for values in kept)).decode()
        how += ' compression="XLI"' if version != "1.03" else ' compressflag="True" compressmethod="XLI"'
    elif packing == "Base64":
        text = base64.b64encode(stored.astype("<i2").tobytes()).decode()
    else:
        how, text = 'dataencoding="Plain"', " ".join(str(value) for value in stored.reshape(-1))
    if version != "1.03":
        how += f' numberofleads="{len(leads)}" leadlabels="{" ".join(leads)}" samplespersecond="{fs:g}"'
        how += f' resolution="{STEP_UV:g}"'
    resolution = "signalresolution" if version == "1.03" else "resolution"
    path.write_bytes(
        (
            f'<?xml version="1.0" encoding="{encoding}"?>\n<restingecgdata xmlns="http://www3.medical.philips.com">'
            f"<documentinfo><documenttype>SierraECG</documenttype><documentversion>{version}</documentversion></documentinfo>"
            "<patient><generalpatientdata><age><years>61</years></age><sex>Female</sex></generalpatientdata></patient>"
            f"<dataacquisition><signalcharacteristics><samplingrate>{fs:g}</samplingrate><{resolution}>{STEP_UV:g}"
            f"</{resolution}><numberchannelsallocated>{len(leads)}</numberchannelsallocated></signalcharacteristics>"
            f'</dataacquisition><waveforms><parsedwaveforms {how} durationperchannel="{1000 * len(signal) / fs:g}">'
            f"{text}</parsedwaveforms></waveforms></restingecgdata>"
        ).encode(encoding)
    )
    return path


def _without_equations(stored: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Limb leads less what Einthoven's and Goldberger's equations say of them."""
    one, two, three = stored[:3]
    limb = [
        one, two, two - one - three,
        -((one + two) // 2) - stored[3], (one - three) // 2 - stored[4], (two + three) // 2 - stored[5],
    ]  # fmt: skip
    return [*limb, *stored[6:]]


def xli_chunk(values: NDArray[np.int64]) -> bytes:
    """One lead: second differences plus 64, high bytes before low bytes, LZW with codes of 10 bits."""
    differences = 2 * values[1:-1] - values[:-2] - values[2:]  # of sample 2, 3 …
    coded = np.concatenate((values[:2], differences[1:] + 64, [64])).astype(np.int16).view(np.uint16)
    packed = _lzw((coded >> 8).astype(np.uint8).tobytes() + (coded & 0xFF).astype(np.uint8).tobytes())
    return struct.pack("<ihh", len(packed), 1, int(differences[0])) + packed


def _lzw(content: bytes) -> bytes:
    table = {bytes((value,)): value for value in range(256)}
    codes: list[int] = []
    word = b""
    for byte in content:
        longer = word + bytes((byte,))
        if longer in table:
            word = longer
            continue
        codes.append(table[word])
        if len(table) < 1023:
            table[longer] = len(table)
        word = longer[-1:]
    codes += [table[word], 1023]
    bits = "".join(f"{code:010b}" for code in codes)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
