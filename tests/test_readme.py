"""The README's code runs and says the truth; its commands and links exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from clear_kernels import attention_mask

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.+?)```", README, flags=re.DOTALL)
COMMANDS = "\n".join(re.findall(r"```bash\n(.+?)```", README, flags=re.DOTALL))


def test_it_opens_with_the_two_commands() -> None:
    first = COMMANDS.splitlines()[:2]
    assert [line.split("  ")[0] for line in first] == ["make demo", "make test"]
    assert README.index("make demo") < 40


@pytest.mark.parametrize("masks", [None, (12, 15), (2, 12, 15)])
def test_attention_equals_its_three_lines(masks: tuple[int, ...] | None) -> None:
    names = {
        "q": torch.randn(2, 3, 192, 8, dtype=torch.float64),
        "k": torch.randn(2, 3, 192, 8, dtype=torch.float64),
        "v": torch.randn(2, 3, 192, 8, dtype=torch.float64),
        "visible": None if masks is None else torch.rand(masks) < 0.3,
        "valid": None if masks is None else torch.rand(masks) < 0.8,
        "inf": float("inf"),
        "attention_mask": attention_mask,
    }
    call, lines = BLOCKS[:2]
    exec(call.replace("visible=None, valid=None", "visible=visible, valid=valid"), names)
    fast = names["out"]
    exec(lines, names)
    assert len([line for line in lines.splitlines() if line]) == 3
    torch.testing.assert_close(fast, names["out"])


def test_layer_takes_the_place_of_multihead_attention() -> None:
    beats = 5
    names = {
        "mha": nn.MultiheadAttention(768, 8, batch_first=True),
        "x": torch.randn(2, 12 * (beats + 1), 768),
        "valid": torch.ones(2, 12, beats, dtype=torch.bool),
    }
    exec(BLOCKS[2], names)
    expected = names["mha"](names["x"], names["x"], names["x"], attn_mask=~attention_mask(12, beats))[0]
    torch.testing.assert_close(names["y"], expected)


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"\bmake ([a-z]+)\b", README))
    assert {"demo", "test"} <= named
    for target in named - {"or"}:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_commands_exist_with_their_options() -> None:
    from typer.main import get_command

    from clear_hug.cli import app

    lines = [line.partition("#")[0].split() for line in COMMANDS.splitlines() if line.startswith("clear-hug ")]
    assert len(lines) >= 4
    for words in lines:
        command = get_command(app)
        while hasattr(command, "commands"):
            command = command.commands[words[1]]
            words = words[1:]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, words


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
