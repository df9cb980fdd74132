"""The host benchmark prints a row for every backend, with times or the reason."""

from __future__ import annotations

import sys

import pytest
import torch

import host_bench


def test_every_backend_has_a_row(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(host_bench, "ROUNDS", 1)
    monkeypatch.setattr(host_bench, "CALLS", 2)
    monkeypatch.setattr(sys, "argv", ["host_bench.py", "--device", "cpu"])
    assert host_bench.main() == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()[2:]}
    assert set(rows) == {"triton", "cuda", "cpu", "gather"}
    assert "not run" in rows["triton"]
    assert all(float(field) > 0 for field in rows["gather"].split()[1:])


def test_a_device_that_is_not_there_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["host_bench.py", "--device", "cuda"])
    with pytest.raises(SystemExit, match="--device cuda: PyTorch sees no CUDA GPU here; use --device cpu or auto"):
        host_bench.main()
    monkeypatch.setattr(sys, "argv", ["host_bench.py", "--device", "gpu"])
    with pytest.raises(SystemExit, match="unknown device 'gpu'; choose one of auto, cpu, cuda"):
        host_bench.main()
