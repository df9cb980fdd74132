"""``python -m clear_kernels``: which backends can run here, why the others cannot, how the native ones were built."""

from __future__ import annotations

import platform
from collections.abc import Mapping

import torch

from clear_kernels import backends
from clear_kernels.backends import NATIVE, choose, load


def _choices(device: str) -> str:
    """The backend of each dtype: ``float32: triton, ...``."""
    found = []
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        q = torch.empty((1, 1, 0, 64), dtype=dtype, device=device)
        found.append(f"{str(dtype).removeprefix('torch.')}: {choose(q, 12, None)}")
    return ", ".join(found)


def _build_info(name: str) -> Mapping[str, str]:
    """How the extension of a backend was built, also where it cannot run; nothing without one."""
    try:
        build_info = getattr(load(name), "build_info", None)
        return {} if build_info is None else build_info()
    except (ImportError, RuntimeError):  # the extension, or the backend's module: the backend's reason says so
        return {}


def report() -> str:
    """The text that ``python -m clear_kernels`` prints."""
    reasons = backends()
    lines = ["backends"]
    lines += [f"  {name:<10} {'runs' if reason is None else 'no: ' + reason}" for name, reason in reasons.items()]
    for name in NATIVE:
        if info := _build_info(name):
            lines += ["", f"{name} build", *(f"  {key:<32} {value}" for key, value in info.items())]
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    lines += ["", "backend=None takes, of 12 leads and heads of 64"]
    lines += [f"  {device:<10} {_choices(device)}" for device in ("cpu", *(f"cuda:{i}" for i in range(len(devices))))]
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
