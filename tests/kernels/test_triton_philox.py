"""The assembly in which the Triton kernels compute Philox, evaluated instruction by instruction: no GPU is needed."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable

import pytest
import torch

from clear_kernels.philox import keep_mask

if importlib.util.find_spec("triton") is None:
    pytest.skip("Triton is not installed; it runs on Linux: pip install 'triton>=3.2'", allow_module_level=True)
if os.environ.get("TRITON_INTERPRET") == "1":
    pytest.skip("TRITON_INTERPRET=1 is set, and the interpreter takes another way", allow_module_level=True)

from clear_kernels.triton.rows import philox_assembly

WORD = 0xFFFFFFFF
OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "mul.hi.u32": lambda x, y: x * y >> 32,
    "mul.lo.u32": lambda x, y: x * y & WORD,
    "xor.b32": lambda x, y: x ^ y,
    "add.u32": lambda x, y: x + y & WORD,
    "mov.b32": lambda x, y: x,
}


def evaluate(assembly: str, *inputs: int) -> int:
    """$0 after the instructions ran on $1, $2 and so on. A register that was not written is a KeyError."""
    registers = {f"${i}": value for i, value in enumerate(inputs, 1)}

    def value(name: str) -> int:
        return int(name, 16) if name.startswith("0x") else registers[name]

    for instruction in assembly.strip("{} ").split(";"):
        name, _, operands = instruction.strip().partition(" ")
        if name and name != ".reg":
            target, *sources = (operand.strip() for operand in operands.split(","))
            values = [value(source) for source in sources]
            registers[target] = OPERATIONS[name](values[0], values[-1])
    return registers["$0"]


@pytest.mark.parametrize(("word", "expected"), [(0, 0x6627E8D5), (WORD, 0x408F276D)], ids=["zeros", "ones"])
def test_published_words(word: int, expected: int) -> None:
    # Known answers published with Random123 for an all-zero and an all-one counter and key.
    assert evaluate(philox_assembly(), *[word] * 6) == expected


def test_the_same_entries_survive_as_in_every_other_backend() -> None:
    seed, p, batch_head = -0x1234_5678_9ABC, 0.3, 3
    queries, keys = torch.arange(6), torch.arange(9)
    expected = keep_mask(
        torch.tensor([seed]),
        batch_head=torch.tensor([[[[batch_head]]]]),
        query=queries[:, None],
        key=keys,
        dropout_p=p,
    )
    bits = seed & 0xFFFF_FFFF_FFFF_FFFF
    found = [
        [
            evaluate(philox_assembly(), key, query, batch_head, 0, bits & WORD, bits >> 32) >= int(p * 2**32)
            for key in range(9)
        ]
        for query in range(6)
    ]
    assert torch.equal(torch.tensor(found), expected.reshape(6, 9))
