"""Commands that only list or refuse load no large package, so that they answer at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

LARGE = ("torch", "scipy.signal", "scipy.ndimage", "pandas", "sklearn", "matplotlib", "wfdb", "joblib")
PROGRAM = """
import sys
from typer.testing import CliRunner
from clear_hug.cli import app
result = CliRunner().invoke(app, sys.argv[2:])
print(result.exit_code, *sorted(set(sys.argv[1].split()) & set(sys.modules)))
print(result.output)
"""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("--help", 0),
        ("tasks", 0),
        ("tasks --task super", 0),
        ("prepare ptbxl --help", 0),
        ("prepare ptbxl --root nowhere --out out", 2),
        ("prepare csn --root nowhere --out out", 2),
        ("prepare folder --root nowhere --out out", 2),
        ("inspect nowhere", 2),
        ("download nothing", 2),
        ("pretrain --store nowhere --out out", 2),
        ("probe --store nowhere --checkpoint x --out out", 2),
        ("predict nowhere --checkpoint nothing.safetensors", 2),
    ],
)
def test_nothing_large_is_loaded(words: str, code: int) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, " ".join(LARGE), *words.split()], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines()[0] == str(code), run.stdout
