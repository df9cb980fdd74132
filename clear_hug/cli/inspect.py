"""`clear-hug inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clear_hug.cli.common import count, output

_PICTURES = (".png", ".pdf", ".svg", ".jpg", ".jpeg")

if TYPE_CHECKING:
    from clear_hug.data.store import BeatStore
    from clear_hug.data.store_summary import Spread, StoreSummary


def inspect(
    store: Annotated[Path, typer.Argument(help="Folder that `clear-hug prepare` wrote.", show_default=False)],
    record: Annotated[
        str | None,
        typer.Argument(help="A record to draw, by name, or by row number from 0 on.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Picture of the record.  [default: RECORD.png in the current folder]")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file and compare it with its checksum first.")
    ] = False,
    flagged: Annotated[int, typer.Option(help="How many flagged records to name, with their reasons.", min=0)] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Summary or record as JSON, for programs.")] = False,
) -> None:
    """Summarise a store, or draw one of its records with the R peaks and the tokens.

    ```
    clear-hug inspect beats
    clear-hug inspect beats 00001_lr --out record.png
    clear-hug inspect beats --verify
    clear-hug inspect beats 00001_lr --json
    ```

    The first prints records, flags, findings, splits, classes, heart rates and settings, the second draws the beats of
    a record in every lead, the third compares every file with its checksum as well, the fourth prints what the store
    knows about a record (and draws it too, with --out).

    The summary says which share of the beats found has a slot (raise `prepare --beats` if it is below 100 %) and which
    share of the time between two R peaks lies inside their tokens (raise `--beat-samples`). Records are flagged, with
    the reason, when nothing of them is used; findings such as `flat` or `noisy` concern single leads of used records.
    """
    if out is not None:
        _check_picture(out, record)
    from clear_hug.data.store import BeatStore

    opened = BeatStore.open(store)
    if verify:
        opened.verify()
        files = opened.manifest["files"]
        size = sum(int(entry["bytes"]) for entry in files.values())
        if not as_json:
            output().print(f"All {len(files)} files agree with their checksums ({_bytes(size)}).")
    if record is not None:
        _show(opened, record, out, as_json)
        return
    from clear_hug.data.store_summary import summarise

    summary = summarise(opened)
    if as_json:
        _print_json({"store": str(store), **summary.to_dict()})
        return
    _describe(opened, summary)
    _name_flagged(opened, flagged)
    from clear_hug.cli.tasks import print_counts

    if opened.tasks:
        print_counts(opened, None)


def _describe(store: BeatStore, summary: StoreSummary) -> None:
    manifest = store.manifest
    source = manifest["source"]
    size = sum(int(entry["bytes"]) for entry in manifest["files"].values())
    lines = [
        f"Store {store.path}: {source['kind']} from {source['root']}, {_bytes(size)} in {len(manifest['files'])} files",
        f"  records: {summary.records:,}, of them flagged {summary.flagged:,}, with notes {summary.noted:,}",
        *(f"    flagged: {number:,} {reason}" for reason, number in summary.reasons.items()),
        *(f"    finding: {number:,} {code}" for code, number in summary.findings.items()),
        "  usable by split: " + ", ".join(f"{number:,} {name}" for name, number in summary.splits.items()),
        f"  beats: {summary.beats:,} of {summary.beats_found:,} found are kept ({_share(summary.beats_kept)})"
        f"{_spread(', per record ', summary.beats_per_record)}",
        f"  tokens: {count(summary.tokens, 'valid pair')} of beat and lead; "
        f"{_share(summary.cycle_covered)} of the time between R peaks is inside them",
    ]
    if summary.heart_rate is not None:
        lines.append(f"  heart rate, per minute:{_spread(' ', summary.heart_rate)}")
    weak = {lead: share for lead, share in summary.lead_share.items() if summary.beats and share < 1}
    if weak:
        lines.append("  valid beats by lead: " + ", ".join(f"{lead} {_share(share)}" for lead, share in weak.items()))
    lines += [
        f"  settings: {manifest['tokenizer']} tokenizer ({manifest['detector']}), {store.fs:g} Hz, "
        f"{manifest['beats']} slots of {manifest['beat_samples']} samples, leads {' '.join(store.leads)}",
        f"  format version {manifest['version']}, {store.mode} in {count(store.shards, 'shard')}; made with "
        + ", ".join(f"{name} {version}" for name, version in manifest["packages"].items()),
    ]
    output().print("\n".join(lines), soft_wrap=True, markup=False)


def _name_flagged(store: BeatStore, most: int) -> None:
    reasons = [(name, flag) for name, flag in zip(store.names, store.flags, strict=True) if flag]
    lines = [f"  {name}: {flag}" for name, flag in reasons[:most]]
    if len(reasons) > most > 0:
        lines.append(f"  … and {len(reasons) - most:,} more (--flagged {len(reasons)} names all)")
    if lines:
        output().print("\n".join(["Flagged:", *lines]), soft_wrap=True, markup=False)


def _show(store: BeatStore, record: str, out: Path | None, as_json: bool) -> None:
    """Print what there is to say about a record, then draw it; as JSON, draw only where `out` is given."""
    from clear_hug.data.record_summary import record_summary

    row = store.row_of(record)
    summary = record_summary(store, row)
    if as_json:
        _print_json({"store": str(store.path), **summary})
        if out is not None:
            _draw(store, row, out, "")
        return
    name, flag, notes = summary["record"], summary["flag"], summary["notes"]
    console = output()
    rate = summary["heart_rate"]
    labels = "; ".join(f"{task}: {' '.join(own) or 'none'}" for task, own in summary["classes"].items())
    facts = [count(len(summary["r_peaks_s"]), "beat") + " kept", f"{rate:.0f} per minute" if rate else "", labels]
    said = ", ".join(filter(None, facts))
    console.print(f"Record {name}, row {row}: {flag or said}", soft_wrap=True, markup=False)
    if notes:
        console.print(f"  notes: {notes}", soft_wrap=True, markup=False)
    path = _draw(store, row, out or Path(f"{name.replace('/', '_')}.png"), said)
    console.print(f"Picture {path}", soft_wrap=True, markup=False)


def _draw(store: BeatStore, row: int, out: Path, said: str) -> Path:
    from clear_hug.plots import save_figure
    from clear_hug.record_picture import draw_tokens

    name, flag, notes = store.names[row], store.flags[row], store.notes[row]
    if flag:
        raise ValueError(f"record {name} is flagged, so it has no beats to draw: {flag}")
    figure = draw_tokens(
        store.tokens[row], store.valid[row], store.r_index[row], store.fs, store.leads, title=name, subtitle=said,
        footer=notes,
    )  # fmt: skip
    return save_figure(figure, out)


def _check_picture(out: Path, record: str | None) -> None:
    """Before anything is read or printed."""
    if record is None:
        raise ValueError(f"--out {out} is for the picture of a record; name the record after the store")
    if out.suffix.lower() not in _PICTURES:
        raise ValueError(f"--out {out} is no picture; its name must end in one of {' '.join(_PICTURES)}")


def _print_json(values: dict[str, Any]) -> None:
    import json

    typer.echo(json.dumps(values, indent=2, ensure_ascii=False))


def _spread(before: str, spread: Spread | None) -> str:
    if spread is None:
        return ""
    return (
        f"{before}{spread.low:.0f} to {spread.high:.0f}, median {spread.median:.0f}, "
        f"middle 90 % {spread.p05:.0f} to {spread.p95:.0f}"
    )


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f} %"


def _bytes(size: Any) -> str:
    value = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}" if unit != "bytes" else f"{value:.0f} bytes"
        value /= 1000
    return f"{value:.3g} TB"
