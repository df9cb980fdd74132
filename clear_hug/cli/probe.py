"""`clear-hug probe`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from clear_hug.cli.common import DeviceOption, SeedOption, StoreOption, count, messages, output, progress_bar
from clear_hug.cli.model_options import AmplitudeOption, InputNormOption


def probe(
    store: StoreOption,
    checkpoint: Annotated[
        str,
        typer.Option(
            help="clear.safetensors of `clear-hug pretrain`, or `random` for the untrained baseline.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for classifier and figures.", show_default=False)],
    head: Annotated[str, typer.Option(help="linear (mean of the lead tokens) or hug.")] = "hug",
    task: Annotated[
        str | None, typer.Option(help="Whose labels.  [default: super, or the store's only task]", show_default=False)
    ] = None,
    fraction: Annotated[
        float, typer.Option(help="Share of the training labels used: 1, 0.1, 0.01; see --sampling.")
    ] = 1.0,
    sampling: Annotated[
        str,
        typer.Option(
            help="How that share is drawn: stratified (keeps the frequency of every class; the 1 % of a seed lies in "
            "its 10 %) or official (as published: uniformly, not nested)."
        ),
    ] = "stratified",
    size: Annotated[str, typer.Option(help="With --checkpoint random: tiny, base or large.")] = "base",
    input_norm: InputNormOption = "none",
    amplitude: AmplitudeOption = False,
    epochs: Annotated[int, typer.Option(help="Passes over the training records.", min=1)] = 100,
    batch_size: Annotated[int, typer.Option(help="Records per step.", min=1)] = 256,
    lr: Annotated[float, typer.Option(help="Peak learning rate of AdamW.")] = 5e-3,
    weight_decay: Annotated[float, typer.Option(help="Of AdamW.")] = 0.05,
    combine: Annotated[
        str, typer.Option(help="HUG's seven vectors: concat (the paper) or mean (the authors' code).")
    ] = "concat",
    nonlinearity: Annotated[str, typer.Option(help="In HUG: none (as published) or gelu.")] = "none",
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples of the test records.", min=1)] = 2000,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    amp: Annotated[str, typer.Option(help="Precision of the encoder: none (float32) or bf16.")] = "none",
    features: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps the encoder's features.  [default: --out]", show_default=False),
    ] = None,
) -> None:
    """Train a head on a frozen encoder, choose the epoch by validation macro AUROC, test once with a 95 % interval.

    The encoder's features are computed once and kept in --features; heads and fractions on one encoder share them.

    ```
    clear-hug probe --store beats --checkpoint run/clear.safetensors --head hug --task super --out probe
    clear-hug probe --store beats --checkpoint random --size tiny --head linear --task super --out baseline
    clear-hug probe --store beats --checkpoint run/clear.safetensors --fraction 0.01 --sampling official --out one
    ```

    --size, --input-norm and --amplitude are for --checkpoint random; a checkpoint brings its own.

    Writes `classifier.safetensors` (for `clear-hug predict`), `result.json` and `test_predictions.csv` into --out.
    """
    from clear_hug.data.store import BeatStore

    beats = BeatStore.open(store)  # before PyTorch, which takes seconds, so that a mistyped path is told at once
    from clear_hug.training.probe import ProbeConfig
    from clear_hug.training.probe_run import pretrained_encoder, run_probe, untrained_encoder

    config = ProbeConfig(
        head=head,  # type: ignore[arg-type]  # the model checks these three names
        combine=combine,  # type: ignore[arg-type]
        nonlinearity=None if nonlinearity == "none" else nonlinearity,  # type: ignore[arg-type]
        fraction=fraction,
        sampling=sampling,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        weight_decay=weight_decay,
        seed=seed,
        resamples=resamples,
        device=device,
    )
    if checkpoint == "random":
        source = untrained_encoder(size, seed, beats, input_norm=input_norm, amplitude=amplitude)
    elif amplitude or input_norm != "none":
        raise ValueError(f"--input-norm and --amplitude are for --checkpoint random; {checkpoint} has its own settings")
    else:
        source = pretrained_encoder(checkpoint, beats)
    with progress_bar() as bar:
        reading = bar.add_task("features", total=None, note="")
        training = bar.add_task("probe", total=epochs, note="")

        def on_features(done: int, total: int) -> None:
            bar.update(reading, completed=done, total=total)

        def on_epoch(entry: dict[str, Any]) -> None:
            bar.update(training, completed=entry["epoch"], note=f"validation {entry['score']:.3f}")

        run = run_probe(
            beats,
            source,
            config,
            out,
            task=task,
            features_folder=features,
            amp=amp,
            on_features=on_features,
            on_epoch=on_epoch,
        )
    _report(run.summary)
    output().print(f"Classifier {run.classifier}, figures {run.result_file}", soft_wrap=True)


def _report(summary: dict[str, Any]) -> None:
    from rich.table import Table

    console, test = output(), summary["test"]
    table = Table(title=f"Test records of task {summary['task']!r}", title_justify="left")
    for name in ("class", "positives", "AUROC", "AP", "F1"):
        table.add_column(name, justify="left" if name == "class" else "right")
    for name, figures in test["per_class"].items():
        shown = ["–" if figures[key] is None else f"{figures[key]:.3f}" for key in ("auroc", "ap", "f1")]
        table.add_row(name, f"{figures['positives']}", *shown)
    console.print(table)
    records, parameters = summary["records"], summary["parameters"]
    console.print(
        f"{count(records['train'], 'training record')}, {records['validation']:,} for validation, "
        f"{records['test']:,} for testing; "
        f"{records['left_out_without_beats']:,} of the store flagged and left out; epoch {summary['best_epoch']} by "
        f"{summary['chosen_by']}"
    )
    console.print(
        f"Parameters: head {parameters['head']:,}, frozen encoder {parameters['encoder']:,} "
        f"({summary['encoder']['origin']})"
    )
    for name, reason in test["skipped_classes"].items():
        messages().print(f"left out of the average: {name} ({reason})", markup=False)
    for name in summary["classes_without_training_positives"]:
        messages().print(f"cannot be learnt: {name} (no positive training record)", markup=False)
    macro = test["macro_auroc"]
    if macro is None:
        console.print("Macro AUROC: undefined, no class has positive and negative test records")
    else:
        console.print(
            f"[bold]Macro AUROC {macro['value']:.3f}[/], 95 % bootstrap interval {macro['low']:.3f} to "
            f"{macro['high']:.3f}"
        )
