"""Ahead-of-time compilation: what the kernels cost on an architecture, without a GPU of it.

The launches of a call are recorded with their very arguments on tensors without storage, compiled for the named
architecture, and read with the tools that Triton carries.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import triton
from torch import Tensor
from triton.backends import compiler as targets
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from clear_kernels.triton import grid, launch, packed
from clear_kernels.triton.tiling import Target

# Largest shared memory of a block and of an SM, threads and registers of an SM, by compute capability (CUDA C++
# Programming Guide, table "Technical Specifications per Compute Capability").
SHARED_PER_BLOCK = {75: 65_536, 80: 166_912, 86: 101_376, 89: 101_376, 90: 232_448, 100: 232_448, 120: 101_376}
SHARED_PER_SM = {75: 65_536, 80: 167_936, 86: 102_400, 89: 102_400, 90: 233_472, 100: 233_472, 120: 102_400}
THREADS_PER_SM = {75: 1024, 80: 2048, 86: 1536, 89: 1536, 90: 2048, 100: 2048, 120: 1536}
BLOCKS_PER_SM = {75: 16, 80: 32, 86: 16, 89: 24, 90: 32, 100: 32, 120: 24}
REGISTERS_PER_SM = 65_536
_SHARED_PER_BLOCK_RESERVED = 1024

_POINTERS = {
    torch.float32: "*fp32",
    torch.bfloat16: "*bf16",
    torch.float16: "*fp16",
    torch.int32: "*i32",
    torch.int64: "*i64",
    torch.uint8: "*u8",
}


@dataclass(frozen=True)
class Launch:
    """One kernel launch: the kernel, its arguments by name, its warps, and the registers a thread may have."""

    kernel: Any
    arguments: dict[str, object]
    warps: int
    registers: int | None = None


@dataclass(frozen=True)
class Resources:
    """What one compiled kernel takes; ``blocks`` is how many fit on an SM, ``occupancy`` their share of its threads."""

    kernel: str
    capability: int
    warps: int
    registers: int
    spill_bytes: int
    shared_bytes: int
    blocks: int
    occupancy: float
    instructions: int


def attention_launches(
    use: str,
    dtype: torch.dtype,
    head_dim: int,
    capability: int,
    *,
    leads: int = 12,
    dropout: bool = False,
    valid: bool = False,
) -> list[Launch]:
    """The launches of one use, forward and backward.

    Args:
        use: ``local``, ``visible`` (conduction view), ``all_visible``, ``packed`` or ``long`` (class rows split).
        dtype: float32, bfloat16 or float16.
        head_dim: D.
        capability: The architecture whose tiles are chosen, 90 for 9.0.
        leads: L.
        dropout: Whether attention dropout is on.
        valid: Whether there is a padding mask.
    """
    beats, batch, heads = (20_000 if use == "long" else 15), (1 if use == "long" else 32), 8
    tokens = leads + 36 if use == "packed" else leads * (beats + 1)
    projection = torch.empty((batch, tokens, 3, heads, head_dim), dtype=dtype, device="meta")
    q, k, v = projection.permute(2, 0, 3, 1, 4).unbind(0)  # [B, H, N, D]
    seed = torch.empty((1,), dtype=torch.int64, device="meta") if dropout else None
    options: dict[str, Any] = {"leads": leads, "dropout_p": 0.1 if dropout else 0.0, "scale": head_dim**-0.5}
    masks: tuple[Tensor | None, ...]
    if use == "packed":
        lead = torch.empty((batch, tokens - leads), dtype=torch.int32, device="meta")
        masks = lead, torch.empty(lead.shape, dtype=torch.bool, device="meta") if valid else None
        form: Any = packed
    else:
        mask = torch.empty((batch, leads, beats), dtype=torch.bool, device="meta")
        masks = mask if use == "visible" else None, mask if valid else None
        options |= {"beats": beats, "all_visible": use == "all_visible"}
        form = grid
    with _recording(launch.made_target(capability, SHARED_PER_BLOCK[capability], 132)) as launches:
        out, lse = form.forward(q, k, v, *masks, seed, **options)
        form.backward(out, q, k, v, out, lse, *masks, seed, **options)
    return launches


def compile_launch(launch_: Launch, capability: int) -> Resources:
    """Compile one launch for ``capability`` and read what it takes.

    Raises:
        RuntimeError: If Triton or its assembler cannot compile it.
    """
    options = {"num_warps": launch_.warps, "maxnreg": launch_.registers}
    compiled = triton.compile(_source(launch_), target=GPUTarget("cuda", capability, 32), options=options)
    shared = int(compiled.metadata.shared)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        usage = _tool("cuobjdump", "--dump-resource-usage", file.name)
        code = _tool("nvdisasm", "-c", file.name)
    registers, stack = (int(re.search(rf"{name}:(\d+)", usage)[1]) for name in ("REG", "STACK"))  # type: ignore[index]
    operations = Counter(re.findall(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z0-9]+)", code, re.MULTILINE))
    blocks = _blocks_per_sm(capability, launch_.warps, registers, shared)
    return Resources(
        kernel=launch_.kernel.fn.__name__,
        capability=capability,
        warps=launch_.warps,
        registers=registers,
        spill_bytes=stack if operations["STL"] or operations["LDL"] else 0,
        shared_bytes=shared,
        blocks=blocks,
        occupancy=round(blocks * launch_.warps * 32 / THREADS_PER_SM[capability], 3),
        instructions=sum(operations.values()),
    )


@contextmanager
def _recording(target: Target) -> Iterator[list[Launch]]:
    """Collect the launches made meanwhile, as if for ``target``, instead of running them."""
    found: list[Launch] = []

    def record(kernel: Any, programs: int, *arguments: object, **constants: object) -> None:
        warps, registers = constants.pop("num_warps", 4), constants.pop("maxnreg", None)
        assert isinstance(warps, int)
        assert registers is None or isinstance(registers, int)
        found.append(Launch(kernel, dict(zip(kernel.arg_names, arguments, strict=False)) | constants, warps, registers))

    with mock.patch.object(launch, "start", record), mock.patch.object(launch, "target_of", return_value=target):
        yield found


def _source(launch_: Launch) -> ASTSource:
    """The kernel specialised as a launch with these arguments would."""
    signature: dict[str, str] = {}
    constants: dict[tuple[int, ...], object] = {}
    attributes: dict[tuple[int, ...], list[list[object]]] = {}
    for position, parameter in enumerate(launch_.kernel.params):
        name, value = parameter.name, launch_.arguments[parameter.name]
        special = not parameter.do_not_specialize
        if parameter.is_constexpr or value is None or (special and isinstance(value, int) and value == 1):
            signature[name] = "constexpr"
            constants[(position,)] = value
        elif isinstance(value, Tensor):
            signature[name] = _POINTERS[value.dtype]
            attributes[(position,)] = [["tt.divisibility", 16]]
        elif isinstance(value, float):
            signature[name] = "fp32"
        else:
            assert isinstance(value, int)
            signature[name] = "i32" if -(2**31) <= value < 2**31 else "i64"
            if special and value % 16 == 0:
                attributes[(position,)] = [["tt.divisibility", 16]]
    if hasattr(targets, "AttrsDescriptor"):
        return _source_of_3_2(launch_, signature, constants, attributes)
    return ASTSource(launch_.kernel, signature, constants, attributes)


def _source_of_3_2(
    launch_: Launch, signature: dict[str, str], constants: dict[tuple[int, ...], object], divisible: Container[object]
) -> ASTSource:
    """The same as Triton 3.2 takes it: constants by name, and those that are no ``tl.constexpr`` with a type."""
    named = {launch_.kernel.arg_names[position]: value for (position,), value in constants.items()}
    typed = {name: "*i8" if value is None else "i32" for name, value in named.items()}
    signature = {
        parameter.name: typed.get(parameter.name, signature[parameter.name])
        for parameter in launch_.kernel.params
        if not parameter.is_constexpr
    }
    hints = {
        parameter.num: 1 if named.get(parameter.name) is not None else 16
        for parameter in launch_.kernel.params
        if not parameter.is_constexpr and ((parameter.num,) in divisible or named.get(parameter.name) is not None)
    }
    return ASTSource(launch_.kernel, signature, named, targets.AttrsDescriptor.from_hints(hints))


def _tool(name: str, *arguments: str) -> str:
    """Output of a CUDA tool from Triton's own wheel."""
    path = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / name
    return subprocess.run([path, *arguments], check=True, capture_output=True, text=True).stdout


def _blocks_per_sm(capability: int, warps: int, registers: int, shared: int) -> int:
    """How many blocks fit on an SM: registers are given out in units of 256 per warp."""
    per_warp = -(-registers * 32 // 256) * 256
    return min(
        REGISTERS_PER_SM // per_warp // warps,
        SHARED_PER_SM[capability] // (shared + _SHARED_PER_BLOCK_RESERVED),
        THREADS_PER_SM[capability] // (32 * warps),
        BLOCKS_PER_SM[capability],
    )
