"""Which disorders and which split each record of a simulated data set gets.

Every answer depends on (seed, index) alone: records can be made in any order, again, or more of them later.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clear_hug.simulate.disorders import DISORDERS, RHYTHMS

__all__ = ["RecordPlan", "plan_record"]

_BLOCK = (("train", 0, 14), ("val", 14, 3), ("test", 17, 3))
"""Split, first slot and number of slots: of every 20 records in a row, 14 train, 3 val, 3 test, shuffled."""

_BLOCK_SIZE = 20
_RHYTHM_SHARES = {"SR": 0.66, "AF": 0.10, "STACH": 0.12, "SBRAD": 0.12}
_SECOND_FINDING = 0.15
_PREMATURE = 0.07
_LONG_PR = 0.07

# Findings that a second one would hide or mimic are left alone: a blocked left bundle hides infarcts and voltage.
_COMPATIBLE = {
    "LBBB": (),
    "RBBB": ("AMI", "IMI"),
    "LVH": ("IMI",),
    "AMI": ("RBBB", "IMI"),
    "IMI": ("RBBB", "LVH", "AMI"),
}


@dataclass(frozen=True)
class RecordPlan:
    """What one record of a data set is to be.

    Attributes:
        disorders: codes, in the order of `DISORDERS`.
        split: "train", "val" or "test".
        seed: seed of the record for `simulate_ecg`.
    """

    disorders: tuple[str, ...]
    split: str
    seed: int


def plan_record(seed: int, index: int) -> RecordPlan:
    """Plan of one record.

    Within each split the records take turns at a leading disorder, in rounds that hold every disorder once in random
    order; rhythm and further findings are drawn around it. So 80 records on, every disorder is in every split.

    Args:
        seed: seed of the data set, from 0 on.
        index: number of the record, from 0 on.

    Returns:
        Its disorders, split and own seed.
    """
    block, place = divmod(index, _BLOCK_SIZE)
    slot = int(_rng(seed, 0, block).permutation(_BLOCK_SIZE)[place])
    split, first, count = next(entry for entry in _BLOCK if slot < entry[1] + entry[2])
    rank = block * count + slot - first
    turn, position = divmod(rank, len(DISORDERS))
    leading = DISORDERS[int(_rng(seed, 1 + first, turn).permutation(len(DISORDERS))[position])]
    codes = _around(leading, _rng(seed, 30, index))
    return RecordPlan(
        disorders=tuple(code for code in DISORDERS if code in codes),
        split=split,
        seed=int(np.random.SeedSequence([seed, 31, index]).generate_state(1, np.uint64)[0]),
    )


def _around(leading: str, rng: np.random.Generator) -> set[str]:
    chance = rng.random(4)
    codes = {leading}
    rhythm = str(rng.choice(list(_RHYTHM_SHARES), p=list(_RHYTHM_SHARES.values())))
    if leading not in RHYTHMS:
        codes.add("SR" if leading == "1AVB" and rhythm == "AF" else rhythm)
    if chance[0] < _SECOND_FINDING and leading != "SR":
        choice = _COMPATIBLE.get(leading, tuple(_COMPATIBLE))
        codes.update(rng.choice(choice, 1).tolist() if choice else ())
    if chance[1] < _PREMATURE and leading != "SR":
        codes.add("PVC")
    if chance[2] < _LONG_PR and not codes & {"AF"} and leading != "SR":
        codes.add("1AVB")
    return codes


def _rng(seed: int, purpose: int, number: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([seed, purpose, number]))
