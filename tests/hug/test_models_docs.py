"""The example that opens the models' documentation runs as printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "models.md"


def test_the_example_runs() -> None:
    example = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)[0]
    names: dict[str, Any] = {}
    exec(compile(example, str(DOCUMENT), "exec"), names)
    assert names["loss"].isfinite()
    assert names["lead_tokens"].shape == (8, 12, 128)
    assert names["logits"].shape == (8, 2)
