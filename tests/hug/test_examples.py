"""Examples that need nothing run as they are written."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.parametrize("workers", [0, 1])
def test_own_recordings_from_files_to_batches(tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: int) -> None:
    spec = importlib.util.spec_from_file_location("own_dataset", EXAMPLES / "own_dataset.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(["--folder", str(tmp_path / "mine"), "--records", "13", "--workers", str(workers)])
    text = capsys.readouterr().out
    assert "13 recordings, 13 usable, classes ['SR', 'AF', 'LBBB']" in text
    assert text.count("9 recordings in 2 batches, first of them (8, 3, 30, 150)") == 2
    assert "test: 4 recordings over 2 ranks, each once" in text
    first, second = (line for line in text.splitlines() if line.startswith("epoch"))
    assert first.partition(":")[2] != second.partition(":")[2]
    assert len(list((tmp_path / "mine").glob("*.csv"))) == 8
