"""The examples run."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(name, *words, monkeypatch, capsys):
    if not (EXAMPLES / name).is_file():
        pytest.skip("the examples are not beside the tests")
    monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return capsys.readouterr().out


def test_the_drop_in_computes_the_same(monkeypatch, capsys):
    text = run("drop_in.py", monkeypatch=monkeypatch, capsys=capsys)
    assert float(re.search(r"logits: ([\d.e+-]+)", text)[1]) < 1e-5


def test_features_for_scikit_learn(micro_demo, monkeypatch, capsys):
    words = ["--store", micro_demo.out / "beats", "--checkpoint", micro_demo.out / "pretraining" / "clear.safetensors"]
    text = run("probe_features.py", *words, monkeypatch=monkeypatch, capsys=capsys)
    assert re.search(r"test macro AUROC 0\.\d{3} \[0\.\d{3}, \d\.\d{3}\] over 9 records", text)
