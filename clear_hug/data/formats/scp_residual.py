"""What SCP-ECG takes away before coding and how it is put back: reference beats, and samples between beats.

EN 1064:2005+A1:2007, clause 5.7 (section 4) and annex C: the reference beat is subtracted around each QRS complex of
type 0; in bimodal compression, what lies outside protected zones is averaged over several samples and one is kept.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["QRSZones", "expand_bimodal", "parse_zones"]

_QRS = struct.Struct("<HIII")
_ZONE = struct.Struct("<II")


@dataclass(frozen=True)
class QRSZones:
    """Section 4; samples are counted from 1.

    Attributes:
        reference_ms: length of the reference beat, ms.
        fiducial: sample of the reference beat that lies on the fiducial point of each QRS complex.
        qrs: (type, first, fiducial, last sample) of each complex; type 0 had the reference beat subtracted.
        protected: (first, last sample) of each protected zone, in order of time.
    """

    reference_ms: int
    fiducial: int
    qrs: tuple[tuple[int, int, int, int], ...]
    protected: tuple[tuple[int, int], ...]

    def put_back(self, signal: NDArray[np.int64], reference: NDArray[np.int64], start: int) -> None:
        """Add the reference beat to a signal whose first sample is number `start`, in place."""
        for kind, first, fiducial, last in self.qrs:
            if kind != 0:
                continue
            offset = fiducial - self.fiducial + 1  # number of the sample on which the reference beat begins
            begin = max(first, start, offset)
            end = min(last, start + len(signal) - 1, offset + len(reference) - 1)
            if begin <= end:
                signal[begin - start : end - start + 1] += reference[begin - offset : end - offset + 1]

    def runs(self, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """(first, last, protected) of the stretches between two samples."""
        at = start
        for first, last in self.protected:
            first, last = max(first, at), min(last, end)
            if first > last:
                continue
            if at < first:
                yield at, first - 1, False
            yield first, last, True
            at = last + 1
        if at <= end:
            yield at, end, False

    def stored_samples(self, start: int, end: int, every: int) -> int:
        """How many samples are stored where one of `every` is, outside the protected zones."""
        return sum(
            last - first + 1 if kept else -(-(last - first + 1) // every) for first, last, kept in self.runs(start, end)
        )


def parse_zones(body: bytes) -> QRSZones:
    """Section 4.

    Raises:
        ValueError: cut off.
    """
    reference_ms, fiducial, count = struct.unpack_from("<HHH", body)
    end = 6 + count * _QRS.size
    if end > len(body):
        raise ValueError(f"section 4 promises {count} QRS complexes in {len(body)} bytes")
    qrs = tuple(_QRS.iter_unpack(body[6:end]))
    whole = len(body) >= end + count * _ZONE.size
    protected = sorted(_ZONE.iter_unpack(body[end : end + count * _ZONE.size])) if whole else []
    return QRSZones(reference_ms, fiducial, qrs, tuple(protected))


def expand_bimodal(values: NDArray[np.int64], zones: QRSZones, start: int, end: int, every: int) -> NDArray[np.int64]:
    """All samples from `start` to `end`: protected ones as stored, the others on straight lines between the stored.

    Args:
        values: as stored, int64, at least one.
        zones: where every sample is stored.
        start: number of the first sample.
        end: number of the last.
        every: samples per stored one outside the zones.
    """
    out = np.zeros(end - start + 1, dtype=np.int64)
    used = 0
    for first, last, kept in zones.runs(start, end):
        length = last - first + 1
        take = length if kept else -(-length // every)
        part = values[used : used + take]
        used += take
        if len(part) == 0:
            part = values[-1:]
        # A stored average stands for the middle of its samples.
        at = np.arange(len(part)) * (1 if kept else every) + (0 if kept else (every - 1) / 2)
        out[first - start : last - start + 1] = np.round(np.interp(np.arange(length), at, part))
    return out
