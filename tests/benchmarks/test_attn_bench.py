"""The benchmark's counts, its check of results, and that it prints and writes what it measured."""

from __future__ import annotations

import csv
import importlib.metadata
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import attn_bench
from attn import report, truth
from attn.cases import CPU_CASES, CPU_MORE, GPU_CASES, GPU_SCALING, Case, select
from attn.contenders import Contender, contenders
from attn.inputs import dense_mask, make_inputs
from attn.machine import peak_memory, survey
from attn.measure import Result, measure
from attn_bench import main
from clear_kernels import attention_mask, beat_sparse_attention
from clear_kernels.backends import cuda
from clear_kernels.mask import packed_mask

CPU = torch.device("cpu")
USES = [
    Case("local", "local", batch=2, heads=2, dim=16, leads=4, beats=5),
    Case("decoder", "decoder", batch=2, heads=2, dim=16, leads=4, beats=5, kept=6),
    Case("encoder", "encoder", batch=2, heads=2, dim=16, leads=4, beats=5),
    Case("packed", "packed", batch=2, heads=2, dim=16, leads=4, beats=5, kept=6),
]


@pytest.mark.parametrize("case", USES, ids=lambda case: case.name)
def test_mask_and_pair_count_are_those_of_the_definition(case: Case) -> None:
    inputs = make_inputs(case, CPU, seed=0)
    rows = torch.arange(case.tokens)
    for sample in range(case.batch):
        mask = dense_mask(case, rows, sample, CPU)
        if inputs.lead is not None:
            expected = packed_mask(case.leads, inputs.lead[sample], None)
        else:
            visible = inputs.visible[sample] if isinstance(inputs.visible, torch.Tensor) else inputs.visible
            expected = attention_mask(case.leads, case.beats, visible)
        assert torch.equal(mask, expected)
        assert mask.sum() == case.pairs


def test_counts_at_known_shapes() -> None:
    head = Case("head", "local", batch=1, heads=1, dim=64, dtype=torch.bfloat16)
    assert head.tokens == 192
    assert head.pairs == 2532
    assert head.min_bytes("forward") == 4 * 192 * 64 * 2 + 4 * 192
    assert head.min_bytes("backward") == 2 * head.min_bytes("forward")
    decoder = next(case for case in GPU_CASES if case.name == "decoder")
    assert round(100 * decoder.pairs / decoder.tokens**2, 1) == 9.2


def test_inputs_are_views_of_one_projection() -> None:
    inputs = make_inputs(USES[0], CPU, seed=0)
    assert inputs.q.untyped_storage().data_ptr() == inputs.v.untyped_storage().data_ptr()
    assert inputs.q.stride()[-1] == 1
    assert not inputs.q.is_contiguous()


def test_sampled_rows_find_the_same_error_as_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    case = replace(USES[0], beats=9)
    inputs = make_inputs(case, CPU, seed=0)
    out = beat_sparse_attention(inputs.q, inputs.k, inputs.v, leads=case.leads, beats=case.beats, backend="gather")
    grads = torch.autograd.grad(out, (inputs.q, inputs.k, inputs.v), inputs.dout)
    assert truth.check(case, inputs, out, grads, masked=True) < 1e-6
    monkeypatch.setattr(truth, "FULL", 1)
    assert truth.check(case, inputs, out, grads, masked=True) < 1e-6
    for at, grad in enumerate(grads):
        wrong = [grad.clone() if i == at else other for i, other in enumerate(grads)]
        wrong[at][0, 0, case.leads] *= 1.01
        with pytest.raises(ArithmeticError, match="not timed"):
            truth.check(case, inputs, out, tuple(wrong), masked=True)


def test_wrong_contender_is_not_timed() -> None:
    gather = contenders()["gather"]
    wrong = Contender("wrong", "", gather.refuse, lambda case, device: lambda x: x.q + x.k + x.v)
    good, bad = measure(USES[0], "both", [wrong, gather], CPU, budget_s=0)
    assert good.contender.name == "gather"
    assert good.p50 > 0
    assert bad.reason.startswith("ArithmeticError: relative error")
    assert bad.failed


@pytest.mark.parametrize(("ours", "status"), [(True, 1), (False, 0)])
def test_only_a_failure_of_ours_fails_the_benchmark(
    ours: bool, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(case: Case, device: torch.device) -> Any:
        raise RuntimeError("out of memory")

    broken = Contender("broken", "", lambda *_: None, fails, ours=ours)
    monkeypatch.setattr(attn_bench, "contenders", lambda: {"broken": broken})
    monkeypatch.setattr(attn_bench, "select", lambda names, *_: [] if names == "scaling" else [USES[0]])
    assert attn_bench.main(["--device", "cpu", "--quick"]) == status
    assert "RuntimeError: out of memory" in capsys.readouterr().out


@pytest.mark.parametrize("case", USES, ids=lambda case: case.name)
def test_every_peer_gives_the_right_result(case: Case) -> None:
    peers = [
        contender for contender in contenders().values() if contender.name not in ("flex", "triton", "cuda", "cpu")
    ]
    for result in measure(case, "both", peers, CPU, budget_s=0):
        assert not result.reason, result.reason
        assert result.error is not None


def test_peak_memory_counts_what_a_call_allocates() -> None:
    peak = peak_memory(CPU, lambda: torch.ones(2**24))
    if peak is None:
        pytest.skip("peak memory of the CPU can be measured on Linux only")
    assert 0.9 * 2**26 < peak < 1.5 * 2**26


def test_dense_peers_are_refused_where_they_would_not_end() -> None:
    huge = Case("huge", "local", batch=1, heads=1, dim=64, beats=100_000)
    for name in ("sdpa-mask", "mha", "flex"):
        assert "dense attention of 1200012 tokens" in (contenders()[name].refuse(huge, CPU, "forward") or "")
    assert contenders()["gather"].refuse(huge, CPU, "forward") is None


def test_cases_are_selected_by_name_and_group() -> None:
    assert tuple(select("default,local-t15", CPU, None)) == CPU_CASES
    assert select("packed", CPU, torch.float64) == [replace(CPU_MORE[2], dtype=torch.float64)]
    assert GPU_SCALING[-1] in select("scaling", torch.device("cuda"), None)
    with pytest.raises(SystemExit, match="'nothing' is unknown; choose from default"):
        select("nothing", CPU, None)


def test_command_prints_tables_and_writes_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--device", "cpu", "--cases", "scale-t15", "--contenders", "gather,cpu,sdpa-mask,triton"]
    threads = torch.get_num_threads()
    try:
        assert main([*arguments, "--budget", "0", "--threads", "1", "--csv", str(tmp_path / "out.csv")]) == 0
    finally:
        torch.set_num_threads(threads)
    shown = capsys.readouterr().out
    assert "roofline" in shown
    assert "peer's median / our median" in shown
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    ran = {row["contender"] for row in rows if not row["not_run_because"]}
    assert {"gather", "sdpa-mask"} <= ran
    for row in rows:
        assert {"torch", "torch_cuda", "triton", "extension_cuda"} <= set(row)
        assert bool(row["p50_ms"]) != bool(row["not_run_because"])


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("cuda", "--device cuda: PyTorch sees no CUDA GPU here; use --device cpu or auto"),
        ("gpu", "unknown device 'gpu'; choose one of auto, cpu, cuda"),
    ],
)
def test_a_device_that_is_not_there_is_refused_in_one_line(
    device: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match=said) as refused:
        main(["--device", device])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("there", [True, False])
def test_rows_name_the_versions_of_triton_and_of_both_toolkits(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(distribution: str) -> str:
        if not there:
            raise importlib.metadata.PackageNotFoundError(distribution)
        return {"triton": "3.7.1"}[distribution]

    def build_info() -> dict[str, str]:
        if not there:
            raise ImportError("was not built")
        return {"CUDA runtime": "13.1", "architectures": "90"}

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(torch.version, "cuda", "13.0" if there else None)
    monkeypatch.setattr(cuda, "build_info", build_info)
    machine = survey(CPU)
    said = "CUDA 13.0; Triton 3.7.1; " if there else "CUDA none; Triton none; "
    assert said in machine.describe()
    row = report._row(Result(USES[0], "forward", contenders()["gather"], "not tried"), machine)
    found = [row[name] for name in ("torch_cuda", "triton", "extension_cuda")]
    assert found == (["13.0", "3.7.1", "13.1"] if there else ["", "", ""])


def test_huge_pages_are_named_or_refused() -> None:
    # In a process of its own: PyTorch reads the setting once, and memory stays as it was allocated.
    script = Path(attn_bench.__file__)
    arguments = [
        "--device",
        "cpu",
        "--cases",
        "scale-t15",
        "--contenders",
        "gather",
        "--budget",
        "0",
        "--pages",
        "huge",
    ]
    done = subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        assert "no transparent huge pages, or they are switched off" in done.stderr
    else:
        assert ", huge pages; " in done.stdout.splitlines()[0]
