"""A twelve-lead ECG simulator for demonstrations and tests: labelled disorders, known R peaks, never a real patient."""

from clear_hug.simulate.disorders import DISORDER_NAMES, DISORDERS
from clear_hug.simulate.parameters import (
    Conduction,
    Infarct,
    NoiseConfig,
    Physiology,
    Repolarisation,
    Rhythm,
    Torso,
    Ventricles,
)
from clear_hug.simulate.simulator import SimulatedECG, simulate_ecg, simulate_physiology
from clear_hug.simulate.write import write_dataset, write_record

__all__ = [
    "DISORDERS",
    "DISORDER_NAMES",
    "Conduction",
    "Infarct",
    "NoiseConfig",
    "Physiology",
    "Repolarisation",
    "Rhythm",
    "SimulatedECG",
    "Torso",
    "Ventricles",
    "simulate_ecg",
    "simulate_physiology",
    "write_dataset",
    "write_record",
]
