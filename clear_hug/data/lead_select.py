"""From the leads a recording has to the leads that are wanted, by name; limb leads derived where two are enough."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clear_hug.data.record import Record

__all__ = ["FROM_I_AND_II", "select_leads"]

# Einthoven (1912): III = II - I. Goldberger (1942): each augmented lead against the mean of the other two electrodes.
FROM_I_AND_II = {"III": (-1.0, 1.0), "aVR": (-0.5, -0.5), "aVL": (1.0, -0.5), "aVF": (-0.5, 1.0)}
"""Limb leads as weighed sums of I and II."""


def select_leads(record: Record, leads: tuple[str, ...]) -> tuple[NDArray[np.floating], tuple[str, ...]]:
    """The wanted leads as columns, in the wanted order.

    Args:
        record: any recording.
        leads: standard lead names.

    Returns:
        float [n, leads] in mV, with NaN columns for leads that are neither there nor derivable from I and II (the
        recording's own array where it has just these leads), and the notes that say which were derived, are missing, or
        are named but hold no finite sample.
    """
    empty = _empty_leads(record)
    if record.leads == leads and not empty:
        return record.signal, ()
    signal = np.full((len(leads), len(record.signal)), np.nan).T  # lead by lead in memory
    place = {lead: index for index, lead in enumerate(record.leads) if lead not in empty}
    derived: list[str] = []
    missing: list[str] = []
    for column, lead in enumerate(leads):
        if lead in place:
            signal[:, column] = record.signal[:, place[lead]]
        elif lead in FROM_I_AND_II and "I" in place and "II" in place:
            of_i, of_ii = FROM_I_AND_II[lead]
            signal[:, column] = of_i * record.signal[:, place["I"]] + of_ii * record.signal[:, place["II"]]
            derived.append(lead)
        else:
            missing.append(lead)
    notes = []
    if derived:
        notes.append(f"{' '.join(derived)} derived from I and II")
    for leads_of, what in (
        ([lead for lead in missing if lead not in empty], "missing"),
        ([lead for lead in missing if lead in empty], "without a finite sample"),
    ):
        if leads_of:
            notes.append(f"{' '.join(leads_of)} {what}")
    return signal, tuple(notes)


def _empty_leads(record: Record) -> frozenset[str]:
    """Leads without a finite sample. Nearly every recording begins with finite ones and needs no further look."""
    if np.isfinite(record.signal[:1]).all():
        return frozenset()
    there = np.isfinite(record.signal).any(axis=0)
    return frozenset(lead for lead, has in zip(record.leads, there, strict=True) if not has)
