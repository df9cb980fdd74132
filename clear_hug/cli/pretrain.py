"""`clear-hug pretrain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from clear_hug.cli.common import DeviceOption, SeedOption, StoreOption, count, messages, output, progress_bar
from clear_hug.cli.model_options import AmplitudeOption, InputNormOption


def pretrain(
    store: StoreOption,
    out: Annotated[Path, typer.Option(help="Folder for checkpoint, state, log and loss curve.", show_default=False)],
    size: Annotated[str, typer.Option(help="tiny, base (the paper's) or large.")] = "base",
    epochs: Annotated[int, typer.Option(help="Passes over the training records.", min=1)] = 100,
    batch_size: Annotated[int, typer.Option(help="Records per step.", min=1)] = 256,
    lr: Annotated[float, typer.Option(help="Peak learning rate of AdamW.")] = 5e-4,
    warmup_share: Annotated[
        float, typer.Option(help="Share of the steps that warm up (0.05: 5 of 100 epochs).")
    ] = 0.05,
    weight_decay: Annotated[float, typer.Option(help="Of AdamW, on the weights of linear maps.")] = 0.05,
    clip_norm: Annotated[float, typer.Option(help="Largest norm of the gradient.")] = 3.0,
    mask_ratio: Annotated[float, typer.Option(help="Share of the beats hidden from the encoder.")] = 0.8,
    input_norm: InputNormOption = "none",
    amplitude: AmplitudeOption = False,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    amp: Annotated[str, typer.Option(help="none (float32) or bf16.")] = "none",
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in --out stopped.")] = False,
    stop_after: Annotated[
        int | None, typer.Option(help="Leave after this many epochs of the schedule; go on later with --resume.", min=1)
    ] = None,
) -> None:
    """Pre-train CLEAR on the training records of a store: hide 80 % of the heartbeats, reconstruct them.

    Labels are not used. Ctrl-C saves the state; `--resume` goes on exactly where it stopped, bit for bit.

    ```
    clear-hug pretrain --store beats --out run --size tiny --epochs 50 --batch-size 64
    clear-hug pretrain --store beats --out run --size tiny --epochs 50 --batch-size 64 --resume
    ```

    Writes `clear.safetensors` (lowest validation loss), `state.safetensors`, `log.jsonl` and `loss.png` into --out.
    """
    from clear_hug.data.store import BeatStore

    beats = BeatStore.open(store)  # before PyTorch, which takes seconds, so that a mistyped path is told at once
    from clear_hug.models import CLEAR, format_parameter_counts
    from clear_hug.plots import loss_curve, save_figure
    from clear_hug.training.batches import TRAIN, VALIDATION, split_rows
    from clear_hug.training.build import config_for
    from clear_hug.training.device import resolve_device
    from clear_hug.training.pretrain import PretrainConfig
    from clear_hug.training.pretrain import pretrain as run

    model_config = config_for(size, beats, mask_ratio=mask_ratio, input_norm=input_norm, amplitude=amplitude)
    config = PretrainConfig(
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        warmup_share=warmup_share,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        seed=seed,
        amp=amp,
        device=device,
    )
    say = messages()
    say.print(f"CLEAR {size}: {format_parameter_counts(CLEAR(model_config))}")
    say.print(
        f"{count(len(split_rows(beats, TRAIN)), 'training record')}, {len(split_rows(beats, VALIDATION)):,} for "
        "validation, "
        f"on {resolve_device(device)}"
    )
    with progress_bar() as bar:
        task = bar.add_task("pre-training", total=None, note="")

        def on_step(step: int, total: int, loss: float) -> None:
            bar.update(task, completed=step, total=total, note=f"loss {loss:.4f}")

        def on_epoch(entry: dict[str, Any]) -> None:
            held_out = entry["validation_loss"]
            shown = "" if held_out is None else f"  validation {held_out:.4f}"
            bar.console.print(
                f"epoch {entry['epoch']:>3}  loss {entry['train_loss']:.4f}{shown}  {entry['seconds']:.1f} s"
            )

        result = run(
            beats, model_config, config, out, resume=resume, stop_after=stop_after, on_step=on_step, on_epoch=on_epoch
        )
    train = [entry["train_loss"] for entry in result.history]
    held_out = [entry["validation_loss"] for entry in result.history if entry["validation_loss"] is not None]
    save_figure(
        loss_curve(train, held_out, title=f"CLEAR {size}, {count(len(split_rows(beats, TRAIN)), 'record')}"),
        out / "loss.png",
    )
    if not result.finished:
        output().print(f"Stopped after epoch {len(result.history)} of {epochs}; go on with --resume.")
    output().print(f"Checkpoint {result.checkpoint}")
