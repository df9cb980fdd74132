"""In which order the native backends are tried, as data: the first rule that fits a call decides.

A rule says on what it rests: a measurement (``benchmarks/attn_bench.py``, benchmarks/results), or, where nothing was
measured, the kernels' design and compiled resources (docs/kernels.md). A new measurement adds or changes a rule here,
and nothing else.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch

_HALVES = (torch.bfloat16, torch.float16)
_ANY_LENGTH = 2**63 - 1

# The four uses of the attention: no beat visible, some, all, and packed tokens.
Use = Literal["local", "visible", "all_visible", "packed"]


@dataclass(frozen=True)
class Call:
    """What a rule may look at.

    Attributes:
        device: Type of the device: ``cpu``, ``cuda``.
        capability: Compute capability, 90 for 9.0; 0 on other devices.
        dtype: Of the queries.
        head_dim: D.
        leads: L.
        use: Which of the uses it is.
        tokens: N, or :func:`token_bound` of it.
    """

    device: str
    capability: int
    dtype: torch.dtype
    head_dim: int
    leads: int
    use: Use = "local"
    tokens: int = 0


@dataclass(frozen=True)
class Rule:
    """Backends in the order in which they are tried, where everything named holds; bounds are inclusive.

    ``because`` says on what the order rests.
    """

    order: tuple[str, ...]
    because: str
    device: str = "cuda"
    capability: tuple[int, int] = (0, 999)
    dtypes: tuple[torch.dtype, ...] = ()  # all of them if empty
    head_dim: tuple[int, int] = (1, 256)
    leads: tuple[int, int] = (1, 64)
    uses: tuple[Use, ...] = ()  # all of them if empty
    most_tokens: int = _ANY_LENGTH

    def fits(self, call: Call) -> bool:
        """Whether the rule speaks of ``call``."""
        return (
            call.device == self.device
            and self.capability[0] <= call.capability <= self.capability[1]
            and (not self.dtypes or call.dtype in self.dtypes)
            and self.head_dim[0] <= call.head_dim <= self.head_dim[1]
            and self.leads[0] <= call.leads <= self.leads[1]
            and (not self.uses or call.use in self.uses)
            and call.tokens <= self.most_tokens
        )


_hopper = partial(Rule, ("cuda", "triton"), capability=(90, 90))
_cuda_on_hopper = partial(_hopper, dtypes=_HALVES)

RULES = (
    Rule(("cpu",), "the only native backend there", device="cpu"),
    Rule(("cuda", "triton"), "Triton has no matrix instructions for Turing, CUDA C++ has", capability=(75, 79)),
    Rule(
        ("cuda", "triton"),
        "more than 32 leads make tiles of 128 rows, which Triton cannot hold in registers; CUDA C++ goes by columns",
        leads=(33, 64),
    ),
    Rule(
        ("cuda", "triton"),
        "float32 tiles of more than 16 leads and a large D do not fit the shared memory of 8.x and 12.x: Triton then "
        "takes rows one at a time, CUDA C++ goes by columns",
        dtypes=(torch.float32,),
        leads=(17, 64),
        head_dim=(129, 256),
    ),
    *(
        _cuda_on_hopper(
            "measured on an H200, forward and backward together (docs/kernels.md)",
            head_dim=(head_dim, head_dim),
            leads=(12, 12),
            uses=("local",),
        )
        for head_dim in (32, 64, 128)
    ),
    *(
        _cuda_on_hopper(
            "the same: a whole head in one block of CUDA C++",
            head_dim=(head_dim, head_dim),
            leads=(12, 12),
            uses=("visible",),
            most_tokens=192,
        )
        for head_dim in (32, 64)
    ),
    _cuda_on_hopper(
        "the same for few packed tokens; at D 64 Triton took less time",
        head_dim=(96, 96),
        leads=(1, 15),
        uses=("packed",),
        most_tokens=64,
    ),
    _hopper(
        "the same in float32 at D 64 (local) and 32 (visible), other shapes by the expectation: Triton multiplies "
        "whole tiles, without tensor cores",
        dtypes=(torch.float32,),
        uses=("local", "visible"),
    ),
    Rule(("triton", "cuda"), "measured on an H200 for other uses and head dimensions; elsewhere the expectation"),
)


_BOUNDS = tuple(sorted({rule.most_tokens for rule in RULES}))


def token_bound(device: torch.device, tokens: int) -> int:
    """The least bound of a rule that N keeps to, in place of N: all that the table asks of a length.

    A symbolic length is compared with the few bounds of a GPU's rules and not made a constant, so that a compiled graph
    serves all lengths between two of them, and on a CPU all.
    """
    for bound in _BOUNDS if device.type == "cuda" else ():
        if tokens <= bound:
            return bound
    return _ANY_LENGTH


def order_of(call: Call, rules: tuple[Rule, ...] = RULES) -> tuple[str, ...]:
    """The native backends to try for ``call``, best first; empty if no rule speaks of it."""
    return next((rule.order for rule in rules if rule.fits(call)), ())


def call_of(device: torch.device, dtype: torch.dtype, head_dim: int, leads: int, use: Use, tokens: int) -> Call:
    """The facts of a call; asks the driver for the capability of a GPU."""
    capability = 0
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        capability = 10 * major + minor
    return Call(device.type, capability, dtype, operator.index(head_dim), operator.index(leads), use, tokens)
