"""What one small call costs Python and PyTorch, beside the arithmetic: the time in which eager calls are issued.

    python benchmarks/host_bench.py                 the backends that can run on this device
    python benchmarks/host_bench.py --device cuda   on a GPU, without waiting for it within a round

Every kind of call of one backend is made in rounds, and the median round counts. On a CPU the arithmetic of two leads
and one beat is included, some microseconds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from attn.device import asked_device
from attn.machine import survey
from clear_kernels import beat_sparse_attention
from clear_kernels.backends import refusal

LEADS, BEATS, HEAD_DIM = 2, 1, 32
ROUNDS, CALLS = 15, 200


def microseconds(call: Callable[[], object], device: torch.device) -> float:
    """The median over rounds of the time of a call."""
    taken = []
    for _ in range(ROUNDS + 1):
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(CALLS):
            call()
        taken.append((time.perf_counter() - start) / CALLS * 1e6)
    return statistics.median(taken[1:])  # the first round compiles and warms up


def main() -> int:
    """Print a row for each backend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="cpu, cuda, or auto (default): the GPU if there is one")
    device = asked_device(parser.parse_args().device)
    torch.set_num_threads(1)
    shape = (1, 1, LEADS * (BEATS + 1), HEAD_DIM)
    q, k, v = (torch.randn(shape, device=device, requires_grad=True) for _ in range(3))
    dout = torch.randn(shape, device=device)
    print(survey(device).describe())
    print(f"{'backend':10}{'forward':>12}{'with backward':>16}   microseconds a call")
    for name in ("triton", "cuda", "cpu", "gather"):
        reason = refusal(name, q, LEADS)
        if reason is not None:
            print(f"{name:10}not run: {reason}")
            continue

        def attend(backend: str = name) -> torch.Tensor:
            return beat_sparse_attention(q, k, v, leads=LEADS, beats=BEATS, backend=backend)

        def forward(run: Callable[[], torch.Tensor] = attend) -> None:
            with torch.no_grad():
                run()

        def both(run: Callable[[], torch.Tensor] = attend) -> None:
            torch.autograd.grad(run(), (q, k, v), dout)

        print(f"{name:10}{microseconds(forward, device):12.0f}{microseconds(both, device):16.0f}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
