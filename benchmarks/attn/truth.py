"""Checks a contender against dense masked attention in float64 before it is timed: a wrong result has no speed."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from attn.cases import Case
from attn.inputs import Inputs, dense_mask

# Largest error allowed, relative to the largest entry of the reference.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}

# Above this many tokens the dense matrix is not made: the rows of a few heartbeats are checked instead.
FULL = 2000


def check(case: Case, inputs: Inputs, out: Tensor, grads: tuple[Tensor, ...] | None, *, masked: bool) -> float:
    """The largest relative error of the output, and of the gradients if given, over two (sample, head) pairs.

    Args:
        case: The shape.
        inputs: What the contender was given.
        out: [B, H, N, D].
        grads: Gradients of q, k and v for ``inputs.dout``, or None.
        masked: False for a contender that lets every token attend every token.

    Raises:
        ArithmeticError: If the error exceeds the tolerance of the dtype, naming both.
    """
    worst = 0.0
    for sample, head in {(0, 0), (case.batch - 1, case.heads - 1)}:
        rows = _rows(case, inputs.q.device)
        mask = dense_mask(case, rows, sample, inputs.q.device)  # [rows, N]
        mask = mask if masked else torch.ones_like(mask)
        q, k, v, dout = (t.detach()[sample, head].double() for t in (inputs.q, inputs.k, inputs.v, inputs.dout))
        q, k, v = (t.requires_grad_() for t in (q[rows], k, v))  # [rows, D], [N, D], [N, D]
        logits = (q @ k.mT / math.sqrt(case.dim)).masked_fill(~mask, -math.inf)  # [rows, N]
        expected = logits.softmax(-1) @ v  # [rows, D]
        worst = max(worst, _error(out.detach()[sample, head][rows], expected))
        if grads is not None:
            dq, dk, dv = torch.autograd.grad(expected, (q, k, v), dout[rows])
            # Under the mask a heartbeat's keys are attended by its rows and the class rows alone, so their gradients
            # are complete; without it they would need all rows.
            some = rows[case.leads :] if masked else rows[:0]
            keys = rows if len(rows) == case.tokens else some
            for got, want in ((grads[0], dq), (grads[1], dk[keys]), (grads[2], dv[keys])):
                at = rows if got is grads[0] else keys
                if len(at) > 0:
                    worst = max(worst, _error(got[sample, head][at], want))
    return _accept(case, worst)


def check_layer(case: Case, inputs: Inputs, layer: nn.MultiheadAttention, out: Tensor, grad: Tensor | None) -> float:
    """As :func:`check`, for a whole layer: the first sample against ``layer`` run in float64 with a boolean mask.

    ``out`` [B, N, E] is the contender's result and ``grad`` [B, N, E] the gradient of its tokens, or None.
    """
    exact = copy.deepcopy(layer).double()
    mask = dense_mask(case, torch.arange(case.tokens, device=out.device), 0, out.device)  # [N, N]
    tokens = inputs.tokens.detach()[:1].double().requires_grad_()  # [1, N, E]
    expected = exact(tokens, tokens, tokens, attn_mask=~mask, need_weights=False)[0]  # [1, N, E]
    worst = _error(out.detach()[:1], expected)
    if grad is not None:
        dout = inputs.dout[:1].transpose(1, 2).flatten(2).double()  # [1, N, E]
        worst = max(worst, _error(grad[:1], torch.autograd.grad(expected, tokens, dout)[0]))
    return _accept(case, worst)


def _accept(case: Case, worst: float) -> float:
    if not worst <= TOLERANCE[case.dtype]:
        raise ArithmeticError(f"relative error {worst:.2g} exceeds {TOLERANCE[case.dtype]:g}; not timed")
    return worst


def _rows(case: Case, device: torch.device) -> Tensor:
    """All tokens, or the class tokens and three whole heartbeats when there are too many."""
    if case.tokens <= FULL:
        return torch.arange(case.tokens, device=device)
    if case.use != "local":
        raise ValueError(f"{case.name}: {case.tokens} tokens can be checked for the local use only, not {case.use!r}")
    beats = torch.tensor([0, case.beats // 2, case.beats - 1], device=device)
    column = torch.arange(case.leads, device=device) * case.beats  # [L]
    return torch.cat([torch.arange(case.leads, device=device), case.leads + (column + beats[:, None]).flatten()])


def _error(got: Tensor, expected: Tensor) -> float:
    return ((got.double() - expected).abs().max() / expected.abs().max()).item()
