"""Bad input: every error names the value and the remedy."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from clear_kernels import backends, beat_sparse_attention, packed_view_attention

NATIVES = [name for name in ("cpu", "triton", "cuda") if backends()[name] is not None]


def x(*shape: int, **options: Any) -> torch.Tensor:
    return torch.randn(*(shape or (2, 2, 8, 16)), **options)  # leads 2, beats 3


def grid(**changes: Any) -> torch.Tensor:
    arguments: dict[str, Any] = {"q": x(), "k": x(), "v": x(), "leads": 2, "beats": 3} | changes
    return beat_sparse_attention(arguments.pop("q"), arguments.pop("k"), arguments.pop("v"), **arguments)


def packed(**changes: Any) -> torch.Tensor:
    arguments: dict[str, Any] = {"q": x(), "k": x(), "v": x(), "lead": torch.zeros(6).long(), "leads": 2} | changes
    return packed_view_attention(arguments.pop("q"), arguments.pop("k"), arguments.pop("v"), **arguments)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"q": None}, TypeError, r"q has type NoneType; pass a tensor of shape \[B, H, N, D\]"),
        ({"q": x(2, 8, 16)}, ValueError, r"q.shape=\(2, 8, 16\); pass 4 dimensions"),
        ({"k": x(2, 2, 7, 16)}, ValueError, r"k.shape=\(2, 2, 7, 16\) and q.shape=\(2, 2, 8, 16\); pass equal shapes"),
        ({"v": x(2, 2, 8, 8)}, ValueError, r"v.shape=\(2, 2, 8, 8\)"),
        ({"k": x().double()}, TypeError, r"k.dtype=torch.float64 and .*k.to\(q.dtype\)"),
        ({"k": x(2, 2, 8, 16, device="meta")}, ValueError, r"k is on meta and q on cpu; move it with k.to\(q.device\)"),
        ({"q": x().long(), "k": x().long(), "v": x().long()}, TypeError, r"torch.int64; pass a floating-point tensor"),
        ({"q": x(2, 2, 8, 0), "k": x(2, 2, 8, 0), "v": x(2, 2, 8, 0)}, ValueError, "empty head dimension"),
        ({"beats": 4}, ValueError, r"has 8 tokens, but leads=2 and beats=4 need leads \* \(beats \+ 1\) = 10"),
        ({"leads": 0}, ValueError, "leads=0; pass at least 1"),
        ({"beats": -1}, ValueError, "beats=-1; pass at least 1"),
        ({"leads": 2.0}, TypeError, "leads=2.0 has type float; pass an int"),
        ({"leads": True}, TypeError, "leads=True has type bool; pass an int"),
        ({"visible": "all"}, TypeError, "visible='all' has type str; pass a bool tensor"),
        ({"visible": torch.ones(2, 3)}, TypeError, "visible.dtype=torch.float32; pass a bool tensor"),
        ({"visible": torch.ones(3, 2).bool()}, ValueError, r"visible.shape=\(3, 2\); pass \(2, 3\) or \(2, 2, 3\)"),
        ({"valid": torch.ones(3, 2, 3).bool()}, ValueError, r"valid.shape=\(3, 2, 3\); pass \(2, 3\) or \(2, 2, 3\)"),
        ({"valid": torch.ones(3).bool()}, ValueError, r"valid.shape=\(3,\); pass \(2, 3\)"),
        ({"valid": torch.ones(2, 3, device="meta").bool()}, ValueError, r"move it with valid.to\(q.device\)"),
        ({"dropout_p": 1.0}, ValueError, "dropout_p=1.0; pass a probability with 0 <= dropout_p < 1"),
        ({"dropout_p": -0.1}, ValueError, "dropout_p=-0.1"),
        ({"dropout_p": float("nan")}, ValueError, "dropout_p=nan"),
        ({"dropout_p": torch.tensor(0.1)}, TypeError, r"pass a float, such as dropout_p.item\(\)"),
        ({"scale": 0.0}, ValueError, "scale=0.0; pass a finite factor above 0"),
        ({"scale": float("inf")}, ValueError, "scale=inf; pass a finite factor"),
        ({"scale": torch.tensor(0.1)}, TypeError, r"pass a float, such as scale.item\(\)"),
        ({"seed": -1}, ValueError, r"seed=-1; pass an int with 0 <= seed < 2\*\*63"),
        ({"seed": 2**63}, ValueError, "seed=9223372036854775808"),
        ({"seed": 1.5}, TypeError, "seed=1.5 has type float; pass an int"),
        ({"seed": torch.tensor([1, 2])}, ValueError, r"seed has torch.int64 and shape \(2,\); pass one int64 value"),
        ({"seed": torch.tensor(1.0)}, ValueError, "seed has torch.float32"),
        ({"backend": "fast"}, ValueError, "backend='fast' is unknown; pass None or one of cpu, triton, cuda, gather"),
    ],
)
def test_grid(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        grid(**changes)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"leads": 9}, ValueError, "fewer tokens than leads=9"),
        ({"lead": [0] * 6}, TypeError, r"lead has type list; pass an int64 tensor"),
        ({"lead": torch.zeros(6)}, TypeError, r"torch.float32; pass integer lead ids, such as lead.long\(\)"),
        ({"lead": torch.zeros(5).long()}, ValueError, r"\(5,\); pass one lead id per packed beat, \(6,\) or \(2, 6\)"),
        ({"lead": torch.zeros(3, 6).long()}, ValueError, r"\(3, 6\); pass one lead id"),
        ({"lead": torch.full((6,), 2)}, ValueError, "lead has ids from 2 to 2; with leads=2 pass ids from 0 to 1"),
        ({"lead": torch.full((6,), -1)}, ValueError, "lead has ids from -1 to -1"),
        ({"lead": torch.zeros(6, device="meta").long()}, ValueError, r"move it with lead.to\(q.device\)"),
        ({"valid": torch.ones(5).bool()}, ValueError, r"valid.shape=\(5,\); pass \(6,\) or \(2, 6\)"),
    ],
)
def test_packed(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        packed(**changes)


@pytest.mark.parametrize("name", NATIVES)
def test_forcing_a_backend_that_cannot_run_raises_its_reason(name: str) -> None:
    reason = backends()[name]
    with pytest.raises(RuntimeError, match=f"backend='{name}' cannot run here") as caught:
        grid(backend=name)
    assert reason is not None
    assert reason in str(caught.value)


@pytest.mark.skipif(backends()["cpu"] is not None, reason=backends()["cpu"] or "")
def test_limits_of_the_cpu_backend() -> None:
    small = x(2, 2, 8, 7)
    with pytest.raises(RuntimeError, match="head dimension 7 is outside 8 to 256; use backend='gather'"):
        grid(q=small, k=small, v=small, backend="cpu")
    wide = x(1, 1, 130, 8)
    with pytest.raises(RuntimeError, match="leads=65 and native kernels take at most 64; use backend='gather'"):
        beat_sparse_attention(wide, wide, wide, leads=65, beats=1, backend="cpu")
    meta = x(2, 2, 8, 16, device="meta")
    with pytest.raises(RuntimeError, match="q is on meta and this backend computes on the CPU"):
        grid(q=meta, k=meta, v=meta, backend="cpu")


def test_what_no_native_takes_falls_back() -> None:
    small, wide = x(2, 2, 8, 7), x(1, 1, 130, 8)
    torch.testing.assert_close(grid(q=small, k=small, v=small), grid(q=small, k=small, v=small, backend="reference"))
    assert beat_sparse_attention(wide, wide, wide, leads=65, beats=1).shape == wide.shape


@pytest.mark.parametrize("form", [grid, packed])
def test_any_device(form: Any) -> None:
    meta = x(2, 2, 8, 16, device="meta")
    lead = {"lead": torch.zeros(6, device="meta").long()} if form is packed else {}
    for backend in (None, "gather", "reference"):
        assert form(q=meta, k=meta, v=meta, **lead, backend=backend).device.type == "meta"


def test_lead_ids_of_every_integer_dtype() -> None:
    q = x()
    expected = packed(q=q, k=q, v=q, lead=torch.tensor([0, 1, 0, 1, 1, 0]))
    for dtype in (torch.int32, torch.int16, torch.int8, torch.uint8):
        assert torch.equal(packed(q=q, k=q, v=q, lead=torch.tensor([0, 1, 0, 1, 1, 0], dtype=dtype)), expected)


def test_nan_in_real_tokens_reaches_only_who_attends_them() -> None:
    q, k, v = x(), x(), x()
    k[:, :, 2] = torch.nan  # beat 0 of lead 0: read by its class token and by beat 0 of both leads
    out = grid(q=q, k=k, v=v)
    assert out.isnan().any(-1)[0, 0].tolist() == [True, False, True, False, False, True, False, False]
