"""Runs every form and dtype of a GPU backend once, forward and backward, on small inputs: what gpu_check.py's sanitizer
stages watch. Prints the largest error of outputs and gradients against dense attention in float64, and fails beyond a
tolerance.

    python benchmarks/gpu_exercise.py cuda            every dtype on every grid
    python benchmarks/gpu_exercise.py cuda --quick    two grids, dropout and padding together: for the slow checkers
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from attn.truth import TOLERANCE
from clear_kernels import beat_sparse_attention, packed_view_attention
from clear_kernels.backends import NAMES, refusal

DTYPES = {"cuda": (torch.float32, torch.bfloat16, torch.float16, torch.float64)}
GRIDS = ((12, 15, 64), (12, 5, 32), (3, 9, 96), (20, 3, 24), (2, 130, 16), (40, 2, 256))  # leads, beats, head dimension


def exercise_device() -> torch.device:
    """The GPU; the CPU where there is none, to try the script."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def calls(dtype: torch.dtype, *, quick: bool) -> Iterator[tuple[Any, list[Tensor], dict[str, Any]]]:
    """Function, inputs on the device and options of each call.

    Everything is made on the CPU and copied, so that the checkers have few kernels of PyTorch to watch.
    """
    generator = torch.Generator().manual_seed(0)
    device = exercise_device()

    def inputs(tokens: int, dim: int) -> list[Tensor]:
        packed = torch.randn(2, tokens, 3, 2, dim, generator=generator).to(dtype).to(device)
        return [x.requires_grad_() for x in packed.permute(2, 0, 3, 1, 4).unbind(0)]

    for leads, beats, dim in GRIDS[:2] if quick else GRIDS:
        mask, valid = ((torch.rand(2, leads, beats, generator=generator) < share).to(device) for share in (0.5, 0.8))
        for visible in (None, True, mask):
            for dropout_p in (0.2,) if quick else (0.0, 0.2):
                options = {"leads": leads, "beats": beats, "visible": visible, "valid": valid}
                yield beat_sparse_attention, inputs(leads * (beats + 1), dim), options | {"dropout_p": dropout_p}
        lead = torch.randint(0, leads, (36,), generator=generator, dtype=torch.int32).to(device)
        yield packed_view_attention, inputs(leads + 36, dim), {"leads": leads, "lead": lead, "dropout_p": 0.1}


def exercise(backend: str, *, quick: bool) -> int:
    """Run everything on ``backend``; 1 if a result or a gradient is wrong."""
    for dtype in DTYPES.get(backend, (torch.float32, torch.bfloat16, torch.float16)):
        worst = 0.0
        for function, tensors, options in calls(dtype, quick=quick):
            found = results(function, tensors, options | {"backend": backend})
            exact = results(function, [x.detach().double() for x in tensors], options | {"backend": "reference"})
            for ours, theirs in zip(found, exact, strict=True):
                error = float((ours.double() - theirs).abs().max() / theirs.abs().max())
                worst = max(worst, error)
                if not error <= TOLERANCE[dtype]:
                    print(f"{backend} {dtype}: relative error {error:.3g} for {options}")
                    return 1
        print(f"{backend} {dtype}: largest relative error {worst:.3g}", flush=True)
    return 0


def results(function: Any, tensors: list[Tensor], options: dict[str, Any]) -> list[Tensor]:
    """The output and the gradients of q, k and v for a gradient of ones."""
    leaves = [x.requires_grad_() for x in tensors]
    out = function(*leaves, **options, seed=1)
    dout = torch.ones(out.shape, dtype=out.dtype).to(out.device)
    return [out.detach(), *torch.autograd.grad(out, leaves, dout)]


def main(arguments: list[str] | None = None) -> int:
    """Run the backend asked for; 1 if a result or a gradient is wrong.

    Raises:
        SystemExit: If the backend cannot run here, with the reason in one line.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backend", choices=NAMES)
    parser.add_argument("--quick", action="store_true", help="two grids, dropout and padding together")
    options = parser.parse_args(arguments)
    leads, _, dim = GRIDS[0]
    reason = refusal(options.backend, torch.empty((1, 1, 0, dim), device=exercise_device()), leads)
    if reason is not None:
        raise SystemExit(f"backend {options.backend} cannot run here: {reason}")
    return exercise(options.backend, quick=options.quick)


if __name__ == "__main__":
    raise SystemExit(main())
