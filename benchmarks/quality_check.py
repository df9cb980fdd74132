"""How often the quality checks find a fault, and how often they suspect a recording as it is.

Reads every 12-lead recording below the folders named, puts one fault at a time into each by calculation, prepares it,
and counts the findings. Recordings of public data sets are not free of real faults: what is found in them as they are
is an upper bound of the false findings.

    python benchmarks/quality_check.py ptbxl=path/to/ptb-xl/records100 code15=path/to/code15
    python benchmarks/quality_check.py ludb=path/to/ludb      # a folder with ludb.csv is read as LUDB
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clear_hug.data import PrepareSettings, Record, prepare_record, read_wfdb
from clear_hug.data.ludb import ludb_source
from clear_hug.data.quality import quality_codes
from clear_hug.leads import STANDARD_LEADS

Signal = NDArray[np.float64]
Change = Callable[[Signal, np.random.Generator], Signal]
_LEG_TO_LEG = 0.03  # share of II that is left between the legs


def limb(of_i_and_ii: Callable[[Signal, Signal], tuple[Signal, Signal]]) -> Change:
    """Six limb leads from new leads I and II."""

    def change(signal: Signal, _: np.random.Generator) -> Signal:
        one, two = of_i_and_ii(signal[:, 0], signal[:, 1])
        leads = np.stack((one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2), axis=1)
        return np.concatenate((leads, signal[:, 6:]), axis=1)

    return change


def precordial(of_lead: Callable[[Signal, np.random.Generator], Signal]) -> Change:
    """One precordial lead, drawn, changed."""

    def change(signal: Signal, rng: np.random.Generator) -> Signal:
        changed, lead = signal.copy(), 6 + int(rng.integers(6))
        changed[:, lead] = of_lead(signal[:, lead], rng)
        return changed

    return change


def noise(deviation: float) -> Change:
    """White noise of that standard deviation, mV."""
    return precordial(lambda lead, rng: lead + deviation * rng.standard_normal(len(lead)))


def clipping(percent: float) -> Change:
    """So many samples at the upper rail, and as many at the lower one."""
    return precordial(lambda lead, _: lead.clip(*np.percentile(lead, (percent, 100 - percent))))


FAULTS: dict[str, Change] = {
    "as it is": lambda signal, _: signal,
    "arms exchanged": limb(lambda one, two: (-one, two - one)),
    "right arm, left leg": limb(lambda one, two: (one - two, -two)),
    "left arm, left leg": limb(lambda one, two: (two, one)),
    "right arm, right leg": limb(lambda one, two: (one - two, _LEG_TO_LEG * two)),
    "left arm, right leg": limb(lambda one, two: ((1 - _LEG_TO_LEG) * two, two)),
    "V lead inverted": precordial(lambda lead, _: -lead),
    "V lead flat": precordial(lambda lead, rng: 0.3 + 0.003 * rng.standard_normal(len(lead))),
    "V lead clipped 2 %": clipping(1.0),
    "V lead clipped 6 %": clipping(3.0),
    "V lead noise 0.05 mV": noise(0.05),
    "V lead noise 0.1 mV": noise(0.1),
}


def recordings(folders: dict[str, Path]) -> Iterator[tuple[str, Record]]:
    """Name of the set and recording, leads in the standard order; those without all twelve are passed over."""
    for name, folder in folders.items():
        if (folder / "ludb.csv").is_file():
            source = ludb_source(folder)
            found = (source.read(source.root / path) for path in source.paths)
        else:
            found = (read_wfdb(header) for header in sorted(folder.rglob("*.hea")))
        for record in found:
            if set(record.leads) == set(STANDARD_LEADS):
                columns = [record.leads.index(lead) for lead in STANDARD_LEADS]
                signal = np.nan_to_num(record.signal[:, columns].astype(np.float64))
                yield name, replace(record, signal=signal, leads=STANDARD_LEADS)


def findings(records: list[tuple[str, Record]], change: Change, seed: int) -> dict[str, Counter[str]]:
    """Recordings with each finding, by set."""
    settings, rng = PrepareSettings(), np.random.default_rng(seed)
    counts: dict[str, Counter[str]] = {}
    for name, record in records:
        changed = replace(record, signal=change(np.asarray(record.signal, dtype=np.float64), rng))
        codes = {code.split(":")[0] for code in quality_codes(prepare_record(changed, settings).notes).split()}
        counts.setdefault(name, Counter()).update(codes)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--only", choices=list(FAULTS), action="append", help="only this fault; may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    folders = {name: Path(folder) for name, _, folder in (text.partition("=") for text in given.folders)}
    records = list(recordings(folders))
    sizes = Counter(name for name, _ in records)
    print(f"{len(records)} recordings: " + ", ".join(f"{name} {size}" for name, size in sizes.items()))
    for fault in given.only or FAULTS:
        counts = findings(records, FAULTS[fault], given.seed)
        total = sum(counts.values(), Counter())
        print(f"\n{fault}")
        for code, number in total.most_common():
            by_set = ", ".join(f"{name} {found[code]}" for name, found in counts.items() if found[code])
            print(f"  {code:14} {number:4} {100 * number / len(records):5.1f} %   {by_set}")


if __name__ == "__main__":
    main()
