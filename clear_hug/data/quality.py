"""Which leads of a recording can be used, and what to say about the others."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.electrodes import ElectrodeFindings, check_electrodes, einthoven_error
from clear_hug.data.lead_comparison import compare_leads
from clear_hug.data.order_statistics import row_quantiles
from clear_hug.data.resample import resample
from clear_hug.data.sample_checks import LeadFacts, lead_facts

__all__ = ["ARM_LEG_NOTE", "COARSE_HZ", "LeadQuality", "QualityLimits", "check_leads", "quality_codes"]

_KINDS = {
    "gaps": "short gaps interpolated",
    "gappy": "gaps longer than",
    "flat": "flat",
    "implausible": "range above",
    "clipped": "clipped",
    "noisy": "noisy",
    "exchanged": "opposite to V6",
    "right-leg": "nearly flat beside",
    "inverted": "polarity swapped?",
    "arm-leg": "P waves as with left arm and left leg exchanged?",
    "contradicting": "+ III differs from II",
}
"""Code of each finding, and how its note goes on after the leads that it names."""

ARM_LEG_NOTE = f"I II {_KINDS['arm-leg']}"
"""Of `clear_hug.data.arm_leg`, which needs the beats and is asked after they are found."""

COARSE_HZ = 100.0
"""What the leads have to do with each other is told at this rate: that of the tokens, which need it anyway."""

_SPIKES = 5.0
_LEAD = r"(?:I{1,3}|aV[RLF]|V[1-6])"
_NOTE = re.compile(rf"^({_LEAD}(?: {_LEAD})*) ({'|'.join(map(re.escape, _KINDS.values()))})(?! for)")


@dataclass(frozen=True)
class QualityLimits:
    """Thresholds of the quality checks.

    Attributes:
        flat_mv: a lead (or one beat of a lead) whose peak-to-peak voltage stays below this, in mV, is flat, and so is a
            lead of up to five times as much, if its 1st to 99th percentile stay below (noise, or a single spike). Even
            low voltage QRS complexes are above 0.05 mV, and common recorders resolve 0.001 to 0.005 mV.
        gap_s: runs of missing samples up to this long, in s, are interpolated; a lead with a longer one is left out.
        clipped_fraction: share of samples, in runs of three or more, at a lead's own extreme value from which the lead
            is called clipped.
        implausible_mv: a lead whose 1st to 99th percentile spans more than this, in mV, is left out: no ECG does, so
            its unit or gain must be wrong.
        einthoven_fraction: I + III may differ from II by this share of the larger (root mean squares, offsets
            removed); beyond it the gains or the names of the limb leads must be wrong.
        shortest_s: recordings shorter than this, in s, are not used.
        noisy_mv: a lead whose noise between the QRS complexes is above this, in mV, is called noisy: the standard
            deviation (robust, 1.4826 median absolute deviations) of what a mean over 0.06 s takes away.
        opposite_correlation: leads run against each other where their correlation is below the negative of this; see
            `clear_hug.data.electrodes`.
        nearly_flat_share: a limb lead is nearly flat below this share of the largest one.
        arm_leg_score: left arm and left leg may be exchanged where the P waves speak for it more than this; see
            `clear_hug.data.arm_leg`.
    """

    flat_mv: float = 0.02
    gap_s: float = 0.1
    clipped_fraction: float = 0.01
    implausible_mv: float = 50.0
    einthoven_fraction: float = 0.5
    shortest_s: float = 1.0
    noisy_mv: float = 0.05
    opposite_correlation: float = 0.6
    nearly_flat_share: float = 0.15
    arm_leg_score: float = 0.4


class LeadQuality(NamedTuple):
    """What the checks found.

    Attributes:
        signal: float32 [n, leads], mV, finite; zero in the leads that are left out.
        coarse: float32 [m, leads], the same at 100 Hz.
        curvature: float32 [leads], of `LeadFacts`.
        valid: bool [leads], False for missing, flat, gappy or implausible leads.
        notes: remarks, in the order of the checks.
    """

    signal: NDArray[np.float32]
    coarse: NDArray[np.float32]
    curvature: NDArray[np.float32]
    valid: NDArray[np.bool_]
    notes: tuple[str, ...]


def check_leads(
    signal: NDArray[np.floating], leads: tuple[str, ...], fs: float, limits: QualityLimits | None = None
) -> LeadQuality:
    """Interpolate short gaps, leave out bad leads, and say so.

    Args:
        signal: [n, leads], mV; NaN or infinite where a sample is missing, a whole column for a missing lead.
        leads: names of the columns.
        fs: rate, Hz.
        limits: thresholds; None for the defaults.

    Returns:
        A finite signal, the leads that can be used, and the notes.
    """
    limits = limits or QualityLimits()
    # In float32, whose rounding is a ten-thousandth of a step of the recorder.
    rows = np.ascontiguousarray(signal.T)  # [leads, n]
    if rows.dtype != np.float32:
        with np.errstate(over="ignore"):  # what float32 cannot hold is missing
            rows = rows.astype(np.float32)
    facts = lead_facts(rows, fs)
    found: dict[str, NDArray[np.bool_]] = {}
    valid, good = np.ones(len(rows), dtype=bool), leads
    if facts is None or not _ordinary(facts, rows.shape[1], limits):
        rows, facts, valid, found = _examine(rows, facts, fs, limits)
        good = tuple(lead for lead, kept in zip(leads, valid.tolist(), strict=True) if kept)
    coarse = np.ascontiguousarray(resample(rows.T, fs, COARSE_HZ).T)  # [leads, m]
    compared = compare_leads(coarse if len(good) == len(leads) else coarse[valid], good, COARSE_HZ)
    electrodes = check_electrodes(compared, good, limits.opposite_correlation, limits.nearly_flat_share)
    contradiction = _contradiction(einthoven_error(compared), limits.einthoven_fraction)
    named = {kind: tuple(leads[index] for index in which.nonzero()[0]) for kind, which in found.items() if which.any()}
    notes = _notes(named, contradiction, electrodes, limits) if named or contradiction or any(electrodes) else ()
    return LeadQuality(rows.T, coarse.T, facts.curvature, valid, notes)


def _ordinary(facts: LeadFacts, samples: int, limits: QualityLimits) -> bool:
    """Nothing about any lead asks for a closer look."""
    spans = (facts.high - facts.low).tolist()
    return bool(
        min(spans) >= _SPIKES * limits.flat_mv
        and max(spans) <= limits.implausible_mv
        and max(facts.noise.tolist()) <= limits.noisy_mv
        and max(facts.at_limits.tolist()) <= limits.clipped_fraction * samples
    )


def _examine(
    rows: NDArray[np.float32], facts: LeadFacts | None, fs: float, limits: QualityLimits
) -> tuple[NDArray[np.float32], LeadFacts, NDArray[np.bool_], dict[str, NDArray[np.bool_]]]:
    """Finite rows, their facts, which leads can be used, and which are what."""
    found: dict[str, NDArray[np.bool_]] = {}
    present = np.ones(len(rows), dtype=bool)
    if facts is None:
        rows = np.array(rows)
        # The note about absent leads comes from whoever left them empty.
        absent = np.logical_not(np.isfinite(rows).any(axis=1))
        bridged, found["gappy"] = _bridge_gaps(rows, max(1, int(limits.gap_s * fs)), absent)
        found["gaps"] = bridged & ~found["gappy"]
        present = ~(absent | found["gappy"])
        rows[~present] = 0.0
        facts = lead_facts(rows, fs)
    assert facts is not None  # they are finite now
    found["flat"], found["implausible"] = _out_of_range(rows, facts.high - facts.low, present, limits)
    valid = present & ~found["flat"] & ~found["implausible"]
    found["clipped"] = valid & _clipped(rows, facts, limits.clipped_fraction)
    found["noisy"] = valid & (facts.noise > limits.noisy_mv)
    if not valid.all():
        rows = np.where(valid[:, None], rows, np.float32(0.0))
    return rows, facts, valid, found


def _notes(
    named: dict[str, tuple[str, ...]], contradiction: str, electrodes: ElectrodeFindings, limits: QualityLimits
) -> tuple[str, ...]:
    """What was found, in words: leads by the code of the finding, and the rest."""
    said = {
        "gaps": "",
        "gappy": f" {limits.gap_s:g} s, left out",
        "flat": "",
        "implausible": f" {limits.implausible_mv:g} mV, left out (wrong unit or gain?)",
        "clipped": "",
        "contradicting": contradiction,
        "noisy": f", above {limits.noisy_mv:g} mV",
        "exchanged": ": limb electrodes exchanged?",
        "right-leg": " the other limb leads: right leg's electrode exchanged?",
        "inverted": "",
    }
    named = {
        **named,
        "exchanged": electrodes.exchanged,
        "right-leg": electrodes.nearly_flat,
        "inverted": electrodes.inverted,
    }
    notes = [
        more if kind == "contradicting" else f"{' '.join(named[kind])} {_KINDS[kind]}{more}"
        for kind, more in said.items()
        if (more if kind == "contradicting" else named.get(kind))
    ]
    return tuple(notes)


def quality_codes(notes: Iterable[str]) -> str:
    """What the notes of a recording say about its leads, to be read by machines.

    Args:
        notes: of `check_leads`, and any others.

    Returns:
        Findings separated by blanks, such as ``"flat:V1,V2 noisy:V6"``; "" where there are none.
    """
    found = (_NOTE.match(note) for note in notes)
    codes = {phrase: code for code, phrase in _KINDS.items()}
    return " ".join(f"{codes[match[2]]}:{match[1].replace(' ', ',')}" for match in found if match)


def _bridge_gaps(
    rows: NDArray[np.floating], longest: int, absent: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Interpolate missing samples in place; True for leads that had some, and for leads with too long a gap."""
    missing = ~np.isfinite(rows)  # [leads, n]
    bridged = missing.any(axis=1) & ~absent
    gappy = np.zeros(len(rows), dtype=bool)
    grid = np.arange(rows.shape[1])
    for lead in np.flatnonzero(bridged):
        edges = np.diff(np.r_[False, missing[lead], False].astype(np.int8))
        gappy[lead] = (np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)).max() > longest
        known = ~missing[lead]
        rows[lead, ~known] = np.interp(grid[~known], grid[known], rows[lead, known])
    return bridged, gappy


def _out_of_range(
    rows: NDArray[np.float32], span: NDArray[np.float32], present: NDArray[np.bool_], limits: QualityLimits
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Flat and implausible leads [leads], of leads of that peak-to-peak voltage."""
    flat, implausible = np.zeros((2, len(rows)), dtype=bool)
    ordered = sorted(span.tolist())
    if ordered[0] < _SPIKES * limits.flat_mv:
        flat = present & (span < limits.flat_mv)
        spiky = present & ~flat & (span < _SPIKES * limits.flat_mv)  # by noise, or a single spike
        flat |= spiky & (_percentile_span(rows, spiky) < limits.flat_mv)
    if ordered[-1] > limits.implausible_mv:
        wide = present & (span > limits.implausible_mv)
        implausible = wide & (_percentile_span(rows, wide) > limits.implausible_mv)
    return flat, implausible


def _percentile_span(rows: NDArray[np.float32], which: NDArray[np.bool_]) -> NDArray[np.float64]:
    """1st to 99th percentile, mV, of the leads asked for; 0 for the others."""
    span = np.zeros(len(rows))
    if which.any():
        low, high = row_quantiles(rows[which], (0.01, 0.99))
        span[which] = high - low
    return span


def _clipped(rows: NDArray[np.float32], facts: LeadFacts, fraction: float) -> NDArray[np.bool_]:
    """True [leads] where more than that share of the samples is inside a run of three at the extreme values."""
    clipped = facts.at_limits > fraction * rows.shape[1]
    if not clipped.any():
        return clipped
    for lead in clipped.nonzero()[0]:
        there = (rows[lead] == facts.low[lead]) | (rows[lead] == facts.high[lead])  # [n]
        clipped[lead] = (there[:-2] & there[1:-1] & there[2:]).sum() > fraction * max(1, len(there) - 2)
    return clipped


def _contradiction(error: float, fraction: float) -> str:
    if error <= fraction:
        return ""
    return f"I + III differs from II by {100 * error:.0f} % (wrong gains or lead names?)"
