"""`BeatSparseAttention` as a drop-in in another model: swap the attention of a small ECG transformer, keep its weights.

    python examples/drop_in.py

The model is built with `torch.nn.MultiheadAttention`, then every attention layer is replaced by heartbeat-local sparse
attention with the same parameters. What changes is who looks at whom: a heartbeat attends the same heartbeat in the
other leads and its own lead's class token, at a cost that grows linearly with the number of beats.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from clear_kernels import BeatSparseAttention, attention_mask

LEADS, BEATS, SAMPLES, WIDTH, HEADS, CLASSES = 12, 60, 96, 64, 4, 5


class Block(nn.Module):
    """A pre-norm transformer block around any attention that takes [B, N, E]."""

    def __init__(self) -> None:
        super().__init__()
        self.attention: nn.Module = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.norms = nn.ModuleList([nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)])
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norms[0](x)  # [B, N, E]
        if isinstance(self.attention, BeatSparseAttention):
            x = x + self.attention(h)
        else:
            blocked = ~attention_mask(LEADS, BEATS)  # [N, N], True = may not attend
            x = x + self.attention(h, h, h, attn_mask=blocked, need_weights=False)[0]
        return x + self.mlp(self.norms[1](x))


class SmallECGModel(nn.Module):
    """Beats [B, L, T, S] → logits [B, C]: class tokens first, then the beats lead by lead."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(SAMPLES, WIDTH)
        self.class_tokens = nn.Parameter(0.02 * torch.randn(LEADS, WIDTH))
        self.blocks = nn.Sequential(Block(), Block())
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, beats: Tensor) -> Tensor:
        tokens = self.embed(beats.flatten(1, 2))  # [B, L*T, E]
        x = torch.cat([self.class_tokens.expand(len(beats), -1, -1), tokens], dim=1)  # [B, L + L*T, E]
        return self.head(self.blocks(x)[:, :LEADS].mean(dim=1))  # [B, C]


def seconds_per_call(model: nn.Module, beats: Tensor, calls: int = 5) -> float:
    model(beats)
    started = time.perf_counter()
    for _ in range(calls):
        model(beats)
    return (time.perf_counter() - started) / calls


@torch.no_grad()
def main() -> None:
    torch.manual_seed(0)
    model, beats = SmallECGModel().eval(), torch.randn(4, LEADS, BEATS, SAMPLES)
    before, dense = model(beats), seconds_per_call(model, beats)
    for block in model.blocks:
        block.attention = BeatSparseAttention.from_multihead_attention(block.attention, leads=LEADS)
    after, sparse = model.eval()(beats), seconds_per_call(model, beats)
    print(f"largest difference of the logits: {(before - after).abs().max():.1e}")
    print(f"dense masked attention {1e3 * dense:.1f} ms, BeatSparseAttention {1e3 * sparse:.1f} ms per batch of 4")


if __name__ == "__main__":
    main()
