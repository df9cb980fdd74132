"""Which backend ``backend=None`` takes on a GPU, with fakes in place of the GPU and of its backends."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from clear_kernels import backends
from clear_kernels.backends import NAMES, NATIVE, candidates, choose
from clear_kernels.order import RULES, Call, Rule, Use, order_of

# The module, whose name in the package is taken by its function of that name.
REGISTRY = sys.modules[choose.__module__]

HALF, SINGLE, DOUBLE = torch.float16, torch.float32, torch.float64


class OnGpu:
    """The facts of a query on a GPU that is not there."""

    def __init__(self, dtype: torch.dtype = HALF, head_dim: int = 64, tokens: int = 1000) -> None:
        self.device, self.dtype, self.shape = torch.device("cuda", 0), dtype, (1, 1, tokens, head_dim)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A GPU of a ``capability`` where each native backend is ``missing`` or ``refuses`` for a reason, or runs."""
    facts: dict[str, Any] = {"capability": (9, 0), "missing": {}, "refuses": {}}

    def load(name: str) -> Any:
        return SimpleNamespace(can_run=lambda q: facts["refuses"].get(name))

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: facts["capability"])
    monkeypatch.setattr(REGISTRY, "_unavailable", lambda name: facts["missing"].get(name))
    monkeypatch.setattr(REGISTRY, "load", load)
    return facts


def taken(leads: int = 12, use: Use = "packed", **query: Any) -> str:
    return choose(OnGpu(**query), leads, None, use)  # type: ignore[arg-type]


@pytest.mark.parametrize("head_dim", [32, 64, 128])
def test_local_heartbeats_of_twelve_leads_take_cuda_on_hopper(head_dim: int, gpu: dict[str, Any]) -> None:
    local: dict[str, Any] = {"use": "local", "head_dim": head_dim}
    assert taken(**local) == taken(**local, dtype=torch.bfloat16) == "cuda"
    others = [taken(8, **local), taken(**local | {"use": "visible"})]
    gpu["capability"] = (8, 0)
    assert [*others, taken(**local), taken(**local, dtype=SINGLE)] == ["triton"] * 4


@pytest.mark.parametrize("head_dim", [24, 64, 96])
def test_float32_takes_cuda_on_hopper_where_beats_are_local(head_dim: int, gpu: dict[str, Any]) -> None:
    single: dict[str, Any] = {"head_dim": head_dim, "dtype": SINGLE}
    assert taken(8, use="local", **single) == taken(use="visible", **single) == "cuda"
    assert taken(use="packed", **single) == taken(use="all_visible", **single) == "triton"


@pytest.mark.parametrize(("use", "head_dims", "most"), [("visible", (32, 64), 192), ("packed", (96,), 64)])
def test_short_recordings_take_whole_heads_of_cuda_on_hopper(
    use: Use, head_dims: tuple[int, ...], most: int, gpu: dict[str, Any]
) -> None:
    for head_dim in head_dims:
        short: dict[str, Any] = {"use": use, "head_dim": head_dim, "tokens": most}
        assert taken(**short) == taken(**short, dtype=torch.bfloat16) == "cuda"
        assert taken(**short | {"tokens": most + 1}) == taken(16, **short) == "triton"
    assert taken(use=use, head_dim=128, tokens=most) == "triton"


def test_triton_then_cuda_then_gather(gpu: dict[str, Any]) -> None:
    assert taken() == "triton"
    gpu["missing"]["triton"] = "Triton is not installed"
    assert taken() == "cuda"
    gpu["refuses"]["cuda"] = "it was built for another GPU"
    assert taken() == "gather"


def test_a_backend_that_refuses_the_call_is_passed_over(gpu: dict[str, Any]) -> None:
    gpu["refuses"]["triton"] = "q.dtype=torch.float64"
    assert taken(dtype=DOUBLE) == "cuda"


def test_turing_takes_cuda_where_it_is_built(gpu: dict[str, Any]) -> None:
    gpu["capability"] = (7, 5)
    assert taken() == "cuda"
    gpu["missing"]["cuda"] = "not built"
    assert taken() == "triton"


def test_many_leads_take_cuda_and_too_many_gather(gpu: dict[str, Any]) -> None:
    assert [taken(leads) for leads in (32, 33, 64, 65)] == ["triton", "cuda", "cuda", "gather"]


def test_float32_tiles_that_are_too_large_for_triton_take_cuda(gpu: dict[str, Any]) -> None:
    gpu["capability"] = (8, 6)
    single: dict[str, Any] = {"dtype": torch.float32, "head_dim": 192}
    assert [taken(leads, "local", **single) for leads in (16, 17)] == ["triton", "cuda"]
    assert taken(17, "local", head_dim=192) == taken(17, "local", **single | {"head_dim": 128}) == "triton"


def test_each_refusal_is_told_with_its_reason(gpu: dict[str, Any]) -> None:
    gpu["missing"]["triton"] = "Triton is not installed"
    gpu["refuses"]["cuda"] = "head dimension 300"
    assert dict(candidates(OnGpu(), 12, "packed")) == {  # type: ignore[arg-type]
        "triton": "Triton is not installed",
        "cuda": "head dimension 300",
        "gather": None,
    }
    assert all("leads=65" in str(reason) for name, reason in candidates(OnGpu(), 65) if name in NATIVE)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["triton", "cuda"])
def test_a_forced_backend_runs_or_raises_its_reason(name: str, gpu: dict[str, Any]) -> None:
    q: Any = OnGpu()
    assert choose(q, 12, name) == name
    with pytest.raises(RuntimeError, match=f"backend='{name}' cannot run here: leads=65"):
        choose(q, 65, name)
    gpu["refuses"][name] = "this GPU is too old"
    with pytest.raises(RuntimeError, match=f"backend='{name}' cannot run here: this GPU is too old"):
        choose(q, 12, name)
    gpu["missing"][name] = "it was not built"
    with pytest.raises(RuntimeError, match=f"backend='{name}' cannot run here: it was not built"):
        choose(q, 12, name)


def test_a_measured_rule_decides() -> None:
    call = Call("cuda", 90, HALF, 64, 12)
    measured = Rule(("cuda", "triton"), "measured", capability=(90, 90), dtypes=(HALF,), head_dim=(33, 64))
    rules = (measured, *RULES)
    assert order_of(call, rules) == ("cuda", "triton")
    others = (Call("cuda", 80, HALF, 64, 12), Call("cuda", 80, SINGLE, 64, 12), Call("cuda", 90, HALF, 16, 12))
    assert all(order_of(other, rules) == ("triton", "cuda") for other in others)


@pytest.mark.parametrize("capability", [75, 80, 86, 90, 100, 120, 130])
def test_the_table_names_every_gpu_backend_once_for_every_call(capability: int) -> None:
    for dtype in (HALF, torch.bfloat16, SINGLE, DOUBLE):
        for head_dim in (1, 64, 256):
            for leads in (1, 12, 64):
                assert sorted(order_of(Call("cuda", capability, dtype, head_dim, leads))) == ["cuda", "triton"]


def test_the_table_names_known_backends_and_says_why() -> None:
    for rule in RULES:
        assert set(rule.order) <= set(NATIVE)
        assert rule.because
    assert set(backends()) == set(NAMES)


def test_other_devices_take_gather() -> None:
    assert order_of(Call("mps", 0, SINGLE, 64, 12)) == ()
    assert choose(torch.empty(1, 1, 4, 64, device="meta"), 2, None) == "gather"


def test_a_choice_is_made_once_and_a_refusal_is_never_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    reasons: list[str | None] = ["not now", None, "never asked again"]

    def refusal(name: str, q: torch.Tensor, leads: int) -> str | None:
        asked.append(name)
        return reasons[len(asked) - 1]

    monkeypatch.setattr(REGISTRY, "_chosen", {})
    monkeypatch.setattr(REGISTRY, "refusal", refusal)
    q = torch.empty(1, 1, 4, 64)
    with pytest.raises(RuntimeError, match="not now"):
        choose(q, 2, "cpu")
    assert [choose(q, 2, "cpu") for _ in range(3)] == ["cpu"] * 3
    assert asked == ["cpu", "cpu"]


@pytest.mark.parametrize(
    "other",
    [
        {"q": torch.empty(1, 1, 4, 64, dtype=torch.float16)},
        {"q": torch.empty(1, 1, 4, 32)},
        {"q": torch.empty(1, 1, 6, 64)},
        {"q": torch.empty(1, 1, 4, 64, device="meta")},
        {"leads": 4},
        {"use": "packed"},
        {"backend": "cpu"},
    ],
    ids=["dtype", "head dimension", "tokens", "device", "leads", "use", "backend"],
)
def test_another_kind_of_call_is_another_choice(other: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str | None] = []
    monkeypatch.setattr(REGISTRY, "_chosen", {})
    monkeypatch.setattr(REGISTRY, "_able", lambda q, leads, backend, use: made.append(backend) or "gather")
    call: dict[str, Any] = {"q": torch.empty(1, 1, 4, 64), "leads": 2, "backend": None}
    for arguments in (call, call, call | other, call | other, call):
        assert choose(**arguments) == "gather"
    assert len(made) == 2


def test_few_choices_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(REGISTRY, "_chosen", {})
    monkeypatch.setattr(REGISTRY, "_MOST_CHOSEN", 3)
    for tokens in range(2, 12):
        choose(torch.empty(1, 1, tokens, 64), 2, "gather")
        assert len(REGISTRY._chosen) <= 3
