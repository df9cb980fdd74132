"""``python -m clear_kernels``: which backends can run here, why the others cannot, how the native ones were built."""

from __future__ import annotations

import platform

import torch

from clear_kernels import backends
from clear_kernels.backends import NATIVE, load


def report() -> str:
    """The text that ``python -m clear_kernels`` prints."""
    reasons = backends()
    lines = ["backends"]
    lines += [f"  {name:<10} {'runs' if reason is None else 'no: ' + reason}" for name, reason in reasons.items()]
    for name in NATIVE:
        build_info = getattr(load(name), "build_info", None) if reasons[name] is None else None
        if build_info is not None:
            lines += ["", f"{name} build", *(f"  {key:<32} {value}" for key, value in build_info().items())]
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    machine = {
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "threads (torch.get_num_threads)": str(torch.get_num_threads()),
        "processor": platform.machine(),
        "GPUs": ", ".join(devices) or "none that torch can use",
    }
    lines += ["", "machine", *(f"  {key:<32} {value}" for key, value in machine.items())]
    return "\n".join(lines)


if __name__ == "__main__":
    print(report())
