"""Runs every form and dtype of a GPU backend once, forward and backward, on small inputs: what gpu_check.py's sanitizer
stages watch. Prints the largest error against dense attention in float64, and fails if a result is not finite.

    python benchmarks/gpu_exercise.py cuda            every dtype on every grid
    python benchmarks/gpu_exercise.py cuda --quick    two grids, dropout and padding together: for the slow checkers
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from clear_kernels import beat_sparse_attention, packed_view_attention

DTYPES = {"cuda": (torch.float32, torch.bfloat16, torch.float16, torch.float64)}
GRIDS = ((12, 15, 64), (12, 5, 32), (3, 9, 96), (20, 3, 24), (2, 130, 16))  # leads, beats, head dimension


def calls(dtype: torch.dtype, *, quick: bool) -> Iterator[tuple[Any, list[Tensor], dict[str, Any]]]:
    """Function, inputs on the GPU and options of each call."""
    generator = torch.Generator().manual_seed(0)

    def inputs(tokens: int, dim: int) -> list[Tensor]:
        packed = torch.randn(2, tokens, 3, 2, dim, generator=generator).to("cuda", dtype)
        return [x.requires_grad_() for x in packed.permute(2, 0, 3, 1, 4).unbind(0)]

    for leads, beats, dim in GRIDS[:2] if quick else GRIDS:
        mask, valid = (torch.rand(2, leads, beats, generator=generator).cuda() < share for share in (0.5, 0.8))
        for visible in (None, True, mask):
            for dropout_p in (0.2,) if quick else (0.0, 0.2):
                options = {"leads": leads, "beats": beats, "visible": visible, "valid": valid}
                yield beat_sparse_attention, inputs(leads * (beats + 1), dim), options | {"dropout_p": dropout_p}
        lead = torch.randint(0, leads, (36,), generator=generator).cuda()
        yield packed_view_attention, inputs(leads + 36, dim), {"leads": leads, "lead": lead, "dropout_p": 0.1}


def main(backend: str, *, quick: bool) -> int:
    """Run everything on ``backend``."""
    worst = 0.0
    for dtype in DTYPES.get(backend, (torch.float32, torch.bfloat16, torch.float16)):
        for function, tensors, options in calls(dtype, quick=quick):
            out = function(*tensors, **options, seed=1, backend=backend)
            gradients = torch.autograd.grad(out, tensors, torch.ones_like(out))
            exact = function(*(x.detach().double() for x in tensors), **options, seed=1, backend="reference")
            worst = max(worst, float((out.detach().double() - exact).abs().max()))
            if not all(bool(x.isfinite().all()) for x in (out, *gradients)):
                print(f"{backend} {dtype}: a result is not finite for {options}")
                return 1
    torch.cuda.synchronize()
    print(f"{backend}: largest error of the output {worst:.3g}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], quick="--quick" in sys.argv[2:]))
