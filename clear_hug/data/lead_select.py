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
        recording's own array where it has just these leads), and the notes that say which were derived or are missing.
    """
    if record.leads == leads:
        return record.signal, ()
    signal = np.full((len(leads), len(record.signal)), np.nan).T  # lead by lead in memory
    place = {lead: index for index, lead in enumerate(record.leads)}
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
    if missing:
        notes.append(f"{' '.join(missing)} missing")
    return signal, tuple(notes)
