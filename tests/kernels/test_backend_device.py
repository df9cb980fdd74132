"""The current GPU and its stream, on a machine that need not have one."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from clear_kernels.backends import device

FIRST, SECOND = torch.device("cuda", 0), torch.device("cuda", 1)


def test_only_another_gpu_is_made_current(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "device", lambda device: made.append(device) or nullcontext())
    for one in (torch.device("cpu"), torch.device("meta"), FIRST, SECOND):
        with device.on_device(one):
            pass
    assert made == [SECOND]


def test_the_stream_is_that_of_the_tensors_gpu_with_and_without_the_private_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    streams = {0: 10, 1: 11}
    monkeypatch.setattr(torch.cuda, "current_stream", lambda d: SimpleNamespace(cuda_stream=streams[d.index]))
    for raw in (streams.__getitem__, None):
        monkeypatch.setattr(device, "_raw_stream", raw)
        assert [device.stream_of(one) for one in (FIRST, SECOND)] == [10, 11]
