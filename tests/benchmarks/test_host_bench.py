"""The host benchmark prints a row for every backend, with times or the reason."""

from __future__ import annotations

import sys

import pytest

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
