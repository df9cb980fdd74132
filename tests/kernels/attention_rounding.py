"""How much rounding alone may move an attention result: the unit in which the tests measure errors.

First-order error of attention whose output is saved in the working dtype and whose sums are taken in float32 (float64
for float64), as a root-mean-square over the terms of each sum. With weights P, logits S = scale q·k, dP = dout·v and
D = dout·out per row, the parts are the rounding of S (which scales P), of dP, and of the saved output in D:

    out <- P |v|,  dv <- P' |dout|,  dq <- scale E |k|,  dk <- scale E' |q|,
    E = P (noise of dP and D) + |dS| (noise of S)
"""

from __future__ import annotations

import torch
from torch import Tensor


def rounding_units(
    q: Tensor, k: Tensor, v: Tensor, dout: Tensor, mask: Tensor, keep: Tensor | None, p: float, scale: float, eps: float
) -> list[float]:
    """The units of [out, dq, dk, dv] for float64 inputs and a working dtype of precision ``eps``."""
    mask = mask if mask.dim() == 2 else mask[:, None]  # [(B, 1), N, N]
    real = mask.diagonal(dim1=-2, dim2=-1).unsqueeze(-1)  # [(B, 1), N, 1]
    q, k, v, dout = (x.masked_fill(~real, 0) for x in (q, k, v, dout))
    logits = (q @ k.mT * scale).masked_fill(~mask & real, -torch.inf)
    weights = torch.softmax(logits, -1)  # [B, H, N, N]
    factor = 1.0 if keep is None else keep / (1 - p)
    out = weights * factor @ v
    inner = min(eps, torch.finfo(torch.float32).eps)
    logit_noise = inner * scale * _norm_of_products(q, k)  # [B, H, N, N]
    weight_noise = weights * (eps + logit_noise)
    dweights = dout @ v.mT * factor
    delta = (dout * out).sum(-1, keepdim=True)
    saved_noise = eps * (dout * out).norm(dim=-1, keepdim=True)
    score_noise = weights * (inner * _norm_of_products(dout, v) * factor + saved_noise)
    score_noise = score_noise + (weights * (dweights - delta)).abs() * (eps + logit_noise)
    units = (
        (weight_noise * factor) @ v.abs(),
        scale * (score_noise @ k.abs()),
        scale * (score_noise.mT @ q.abs()),
        (weight_noise * factor).mT @ dout.abs(),
    )
    return [float(unit.max()) if unit.numel() else 0.0 for unit in units]


def _norm_of_products(a: Tensor, b: Tensor) -> Tensor:
    """The 2-norm over D of the products a_i * b_j for all rows i of ``a`` and j of ``b``."""
    return (a.square() @ b.square().mT).sqrt()
