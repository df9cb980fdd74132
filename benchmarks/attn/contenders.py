"""What is compared: the backends of clear_kernels, and what one would use without them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from attn.cases import Case, Direction
from attn.inputs import Inputs, dense_mask
from attn.machine import free_memory
from clear_kernels import BeatSparseAttention, beat_sparse_attention, packed_view_attention
from clear_kernels.backends import refusal

Attend = Callable[[Inputs], Tensor]

# A call beyond this is not waited for: hundreds of times what the sparse kernels need for the same answer.
MOST_FLOP = 4e11
GPU_MOST_FLOP = 4e14


@dataclass(frozen=True)
class Contender:
    """One way to compute the attention.

    ``layer`` ones include the projections, are given ``Inputs.tokens`` and are compared with each other.
    ``masked`` is False for one that attends everything: another result, kept as the bound of dense attention.
    ``ours`` ones belong to this project, which answers for them if they fail.
    """

    name: str
    about: str
    refuse: Callable[[Case, torch.device, Direction], str | None]
    build: Callable[[Case, torch.device], Attend]
    layer: bool = False
    masked: bool = True
    ours: bool = False


def contenders() -> dict[str, Contender]:
    """All of them by name, in the order of the tables."""
    native = [_backend(name) for name in ("triton", "cuda", "cpu", "gather")]
    everyone = [
        *native,
        Contender("sdpa-mask", "scaled_dot_product_attention, boolean mask", _refuse_dense, _sdpa_mask),
        Contender(
            "sdpa-full",
            "unmasked (another result); on GPUs by flash attention",
            _refuse_dense,
            _sdpa_full,
            masked=False,
        ),
        Contender("flex", "FlexAttention, compiled, block mask", _refuse_flex, _flex),
        Contender(
            "layer", "BeatSparseAttention, projections included", _refuse_layer, _our_layer, layer=True, ours=True
        ),
        Contender("mha", "nn.MultiheadAttention, per-head float mask, weights", _refuse_mha, _mha, layer=True),
    ]
    return {contender.name: contender for contender in everyone}


def _backend(name: str) -> Contender:
    def refuse(case: Case, device: torch.device, _: Direction) -> str | None:
        return refusal(name, torch.empty(1, 1, 0, case.dim, dtype=case.dtype, device=device), case.leads)

    return Contender(name, f"clear_kernels, backend {name!r}", refuse, partial(_ours, backend=name), ours=True)


def _ours(case: Case, _: torch.device, backend: str) -> Attend:
    if case.use == "packed":
        return lambda x: packed_view_attention(x.q, x.k, x.v, lead=_lead(x), leads=case.leads, backend=backend)
    return lambda x: beat_sparse_attention(
        x.q, x.k, x.v, leads=case.leads, beats=case.beats, visible=x.visible, backend=backend
    )


def _lead(inputs: Inputs) -> Tensor:
    if inputs.lead is None:
        raise ValueError("the packed form needs lead ids")
    return inputs.lead


def _masks(case: Case, device: torch.device) -> Tensor:
    """Boolean mask [B, 1, N, N], or [1, 1, N, N] where every sample has the same one."""
    rows = torch.arange(case.tokens, device=device)
    samples: Iterable[int] = range(case.batch) if case.use in ("decoder", "packed") else (0,)
    return torch.stack([dense_mask(case, rows, sample, device) for sample in samples])[:, None]


def _sdpa_mask(case: Case, device: torch.device) -> Attend:
    mask = _masks(case, device)  # [(B), 1, N, N]
    return lambda x: F.scaled_dot_product_attention(x.q, x.k, x.v, attn_mask=mask)


def _sdpa_full(case: Case, device: torch.device) -> Attend:
    if device.type != "cuda" or case.dtype.itemsize > 2:
        return lambda x: F.scaled_dot_product_attention(x.q, x.k, x.v)

    def flash(x: Inputs) -> Tensor:
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            return F.scaled_dot_product_attention(x.q, x.k, x.v)

    return flash


def _flex(case: Case, device: torch.device) -> Attend:
    import torch._functorch.config
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    torch._dynamo.reset()
    torch._functorch.config.donated_buffer = False  # one graph is run backward many times
    masks = _masks(case, device)[:, 0]  # [(B), N, N]
    several = len(masks) > 1

    def allowed(b: Tensor, h: Tensor, q_index: Tensor, k_index: Tensor) -> Tensor:
        return masks[b if several else torch.zeros_like(b), q_index, k_index]

    block_mask = create_block_mask(
        allowed, case.batch if several else None, None, case.tokens, case.tokens, device=str(device)
    )
    compiled = torch.compile(flex_attention, dynamic=False)
    return lambda x: compiled(x.q, x.k, x.v, block_mask=block_mask)


def _our_layer(case: Case, device: torch.device) -> Attend:
    layer = BeatSparseAttention.from_multihead_attention(torch_layer(case, device), leads=case.leads)
    if case.use == "packed":
        return lambda x: layer.forward_packed(x.tokens, _lead(x))
    return lambda x: layer(x.tokens, visible=x.visible)


def _mha(case: Case, device: torch.device) -> Attend:
    layer = torch_layer(case, device)
    masks = _masks(case, device)[:, 0].expand(case.batch, -1, -1)  # [B, N, N]
    additive = torch.zeros(masks.shape, dtype=case.dtype, device=device).masked_fill_(~masks, float("-inf"))
    per_head = additive.repeat_interleave(case.heads, dim=0)  # [B * H, N, N]

    def attend(x: Inputs) -> Tensor:
        out: Tensor = layer(x.tokens, x.tokens, x.tokens, attn_mask=per_head, need_weights=True)[0]
        return out

    return attend


def torch_layer(case: Case, device: torch.device) -> nn.MultiheadAttention:
    """The layer whose weights all whole-layer contenders have; the same at every call."""
    torch.manual_seed(0)
    return nn.MultiheadAttention(
        case.heads * case.dim, case.heads, batch_first=True, device=device, dtype=case.dtype
    ).train()


def _refuse_dense(
    case: Case, device: torch.device, direction: Direction, copies: float = 1, products: float = 1
) -> str | None:
    """Refuse what would not fit, or would run for minutes; ``copies`` counts full-size matrices, all heads together."""
    need = int(copies * case.tokens**2 * case.dtype.itemsize) + case.min_bytes("both")
    free = free_memory(device)
    if need > 0.6 * free:
        return f"dense attention of {case.tokens} tokens needs about {need / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
    flop = products * case.flop(direction) * case.tokens**2 / case.pairs
    most = GPU_MOST_FLOP if device.type == "cuda" else MOST_FLOP
    if flop > most:
        return f"dense attention of {case.tokens} tokens: {flop:.1e} operations a call, more than {most:.0e}"
    return None


def _refuse_flex(case: Case, device: torch.device, direction: Direction) -> str | None:
    if device.type == "cpu" and direction != "forward":
        return "FlexAttention has no backward on the CPU"
    samples = case.batch if case.use in ("decoder", "packed") else 1
    return _refuse_dense(case, device, direction, copies=2 * samples)


def _refuse_mha(case: Case, device: torch.device, direction: Direction) -> str | None:
    return _refuse_dense(case, device, direction, copies=5 * case.batch * case.heads)


def _refuse_layer(case: Case, device: torch.device, direction: Direction) -> str | None:
    return "only measured beside nn.MultiheadAttention" if _refuse_mha(case, device, direction) else None
