"""BeatSparseAttention: torch.nn.MultiheadAttention's parameters under the sparse attention."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from clear_kernels import BeatSparseAttention, attention_mask, beat_sparse_attention

L, T, E, H = 3, 4, 24, 3
N = L * (T + 1)


def masked_mha(mha: nn.MultiheadAttention, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    out, _ = mha(x, x, x, attn_mask=~mask, need_weights=False)
    return out


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("visible", [None, True, "mask"])
def test_equals_multihead_attention_under_the_mask(bias: bool, visible: bool | str | None) -> None:
    mha = nn.MultiheadAttention(E, H, bias=bias, batch_first=True, dtype=torch.float64)
    if bias:
        nn.init.normal_(mha.in_proj_bias)
        nn.init.normal_(mha.out_proj.bias)
    layer = BeatSparseAttention(E, H, leads=L, bias=bias).double()
    layer.load_state_dict(mha.state_dict())
    seen = torch.rand(L, T) < 0.5 if visible == "mask" else visible
    x = torch.randn(2, N, E, dtype=torch.float64)
    expected = masked_mha(mha, x, attention_mask(L, T, seen))  # type: ignore[arg-type]
    torch.testing.assert_close(layer(x, visible=seen), expected)


def test_state_dicts_are_interchangeable() -> None:
    mha, layer = nn.MultiheadAttention(E, H), BeatSparseAttention(E, H)
    ours, theirs = layer.state_dict(), mha.state_dict()
    assert {name: x.shape for name, x in ours.items()} == {name: x.shape for name, x in theirs.items()}
    mha.load_state_dict(ours)


def test_initial_values_are_those_of_multihead_attention() -> None:
    torch.manual_seed(5)
    theirs = nn.MultiheadAttention(E, H).state_dict()
    torch.manual_seed(5)
    ours = BeatSparseAttention(E, H).state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_conversion_copies_everything(batch_first: bool, bias: bool) -> None:
    mha = nn.MultiheadAttention(E, H, dropout=0.25, bias=bias, batch_first=batch_first, dtype=torch.bfloat16).eval()
    mha.in_proj_weight.requires_grad_(False)
    layer = BeatSparseAttention.from_multihead_attention(mha, leads=L, backend="gather")
    assert (layer.leads, layer.dropout, layer.backend, layer.training) == (L, 0.25, "gather", False)
    for name, parameter in layer.named_parameters():
        original = mha.get_parameter(name)
        assert torch.equal(parameter, original)
        assert parameter.dtype == torch.bfloat16
        assert parameter.requires_grad == original.requires_grad
        assert parameter.data_ptr() != original.data_ptr()
    assert BeatSparseAttention.from_multihead_attention(nn.MultiheadAttention(E, H)).leads == 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kdim": 8}, r"mha.kdim=8.*convert a self-attention layer"),
        ({"vdim": 8}, r"mha.vdim=8.*convert a self-attention layer"),
        ({"add_bias_kv": True}, "add_bias_kv=False"),
        ({"add_zero_attn": True}, "add_zero_attn=False"),
    ],
)
def test_conversion_refuses_what_it_cannot_express(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BeatSparseAttention.from_multihead_attention(nn.MultiheadAttention(E, H, **options))  # type: ignore[arg-type]


def test_projection_and_output_are_views() -> None:
    layer = BeatSparseAttention(E, H, leads=L)
    q, k, v = layer._project(torch.randn(2, N, E))
    assert q.untyped_storage().data_ptr() == k.untyped_storage().data_ptr() == v.untyped_storage().data_ptr()
    assert q.stride() == (N * 3 * E, E // H, 3 * E, 1)
    out = beat_sparse_attention(q, k, v, leads=L, beats=T)
    assert out.transpose(1, 2).flatten(2).data_ptr() == out.data_ptr()


def test_padding_yields_the_output_bias() -> None:
    layer = BeatSparseAttention(E, H, leads=L)
    nn.init.normal_(layer.out_proj.bias)
    valid = torch.rand(2, L, T) < 0.5
    x = torch.randn(2, N, E)
    out = layer(x, valid=valid)
    beats = out[:, L:].unflatten(1, (L, T))
    assert torch.equal(beats[~valid], layer.out_proj.bias.expand_as(beats[~valid]))
    x[:, L:][~valid.flatten(1)] = 1e30
    assert torch.equal(layer(x, valid=valid), out)


def test_packed_equals_the_visible_grid() -> None:
    layer = BeatSparseAttention(E, H, leads=L).double()
    x = torch.randn(2, N, E, dtype=torch.float64)
    lead = torch.arange(L).repeat_interleave(T)
    torch.testing.assert_close(layer.forward_packed(x, lead), layer(x, visible=True))
    kept = torch.randperm(L * T)[:5]
    valid = torch.zeros(L * T, dtype=torch.bool)
    valid[kept] = True
    some = layer.forward_packed(torch.cat([x[:, :L], x[:, L + kept]], 1), lead[kept])
    torch.testing.assert_close(some[:, L:], layer(x, visible=True, valid=valid.view(L, T))[:, L + kept])


def test_dropout_only_while_training() -> None:
    layer = BeatSparseAttention(E, H, leads=L, dropout=0.5)
    x = torch.randn(2, N, E)
    assert not torch.equal(layer(x), layer(x))
    torch.manual_seed(1)
    first = layer(x)
    torch.manual_seed(1)
    assert torch.equal(layer(x), first)
    layer.eval()
    assert torch.equal(layer(x), layer(x))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((10, 3), {}, "embed_dim=10 and num_heads=3; pass an embed_dim that is a multiple"),
        ((0, 1), {}, "embed_dim=0"),
        ((8, 2), {"leads": 0}, "leads=0; pass at least 1"),
        ((8, 2), {"dropout": 1.0}, "dropout=1.0; pass a probability"),
        ((8, 2), {"backend": "fast"}, "backend='fast' is unknown"),
    ],
)
def test_bad_settings(arguments: tuple[int, int], options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BeatSparseAttention(*arguments, **options)  # type: ignore[arg-type]


def test_bad_tokens() -> None:
    layer = BeatSparseAttention(E, H, leads=L)
    with pytest.raises(ValueError, match=r"pass tokens of shape \[B, N, 24\]"):
        layer(torch.randn(2, N, E + 1))
    for tokens in (N + 1, L, 0):
        with pytest.raises(ValueError, match=rf"has {tokens} tokens; with leads=3 pass leads \* \(beats \+ 1\)"):
            layer(torch.randn(2, tokens, E))
    with pytest.raises(ValueError, match="fewer tokens than leads=3"):
        layer.forward_packed(torch.randn(2, 2, E), torch.zeros(0).long())


def test_it_prints_its_settings() -> None:
    assert "embed_dim=24, num_heads=3, leads=12" in repr(BeatSparseAttention(E, H))
