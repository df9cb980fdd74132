"""A small data set in the layout of PTB-XL, for tests."""

from __future__ import annotations

import csv
from pathlib import Path

import synthetic_ecg as made

STATEMENTS = (
    # code, diagnostic, form, rhythm, diagnostic_class, diagnostic_subclass (which only counts where diagnostic is 1)
    ("NDT", "1.0", "1.0", "", "STTC", "STTC"),
    ("NORM", "1.0", "", "", "NORM", "NORM"),
    ("1AVB", "1.0", "", "", "CD", "_AVB"),
    ("IMI", "1.0", "", "", "MI", "IMI"),
    ("ABQRS", "", "1.0", "", "ODD", "ODD"),
    ("SR", "", "", "1.0", "", ""),
    ("AFIB", "", "", "1.0", "", ""),
)


def write_ptbxl(root: Path, rows: list[dict[str, str]], signals: bool = True) -> Path:
    """Records with the given columns (scp_codes, strat_fold, …); `ecg_id` counts from 1."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "scp_statements.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("", "description", "diagnostic", "form", "rhythm", "diagnostic_class", "diagnostic_subclass"))
        writer.writerows((code, "text, with a comma", *rest) for code, *rest in STATEMENTS)
    columns = ("ecg_id", "patient_id", "scp_codes", "strat_fold", "filename_lr", "filename_hr", "static_noise")
    with (root / "ptbxl_database.csv").open("w", newline="") as stream:
        table = csv.DictWriter(stream, (*columns, "validated_by_human"), restval="")
        table.writeheader()
        for number, row in enumerate(rows, 1):
            own = {
                f"filename_{kind}": f"records{rate}/00000/{number:05d}_{kind}"
                for kind, rate in (("lr", 100), ("hr", 500))
            }
            table.writerow({"ecg_id": str(number), "scp_codes": "{'SR': 0.0}", "strat_fold": "1", **own, **row})
            if signals:
                signal = made.record(fs=100.0, bpm=50.0 + number).signal
                made.write_record(root / "records100" / "00000", f"{number:05d}_lr", signal, fs=100.0)
    return root
