"""The GPU proof's machinery, without a GPU: stages, their table, time limits, and the picture."""

from __future__ import annotations

import csv
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

import gpu_check
import gpu_exercise
import gpu_picture
from attn.machine import Machine
from gpu import ledger
from gpu.commands import Outcome, Shell

MACHINE = Machine("A GPU", 8, "2.13", "13.0", "3.7.1", "3.11", "580", "abc")


def python(shell: Shell, code: str, **environment: str) -> Outcome:
    return shell.run(sys.executable, "-c", code, **environment)


def test_a_command_is_shown_kept_and_judged_by_its_status(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shell = Shell(tmp_path, tmp_path / "logs" / "x.log", 60)
    assert python(shell, "import os; print('fine', os.environ['ANSWER'])", ANSWER="42") == Outcome("passed", "fine 42")
    assert python(shell, "print('bad'); raise SystemExit(3)") == Outcome("failed", "exit status 3: bad")
    assert shell.run("no-such-command-anywhere").status == "failed"
    kept = shell.log.read_text()
    assert "fine 42" in kept
    assert "no-such-command-anywhere" in kept
    assert "fine 42" in capfd.readouterr().out


def test_a_late_command_is_killed_with_its_children(tmp_path: Path) -> None:
    child = "import time; time.sleep(3); open('late', 'w')"
    code = f"import subprocess, sys; print('begun', flush=True); subprocess.run([sys.executable, '-c', {child!r}])"
    outcome = python(Shell(tmp_path, tmp_path / "x.log", 1), code)
    assert outcome.status == "failed"
    assert "longer than 1 s; last: begun" in outcome.detail
    time.sleep(3)
    assert not (tmp_path / "late").exists()


def test_the_table_grows_takes_new_columns_and_knows_what_passed_last(tmp_path: Path) -> None:
    table = tmp_path / "new" / "stages.csv"
    head = {"device": "A GPU", "commit": "abc"}
    ledger.append(table, {"stage": "one", "status": "passed", **head})
    ledger.append(table, {"stage": "two", "status": "passed", **head})
    ledger.append(table, {"stage": "two", "status": "failed", **head, "detail": "a, \n b"})
    ledger.append(table, {"stage": "three", "status": "passed", **head, "commit": "old"})
    assert [row["detail"] for row in ledger.read(table)] == ["", "", "a, \n b", ""]
    assert ledger.passed(table, "A GPU", "abc") == {"one"}
    assert [entry.name for entry in table.parent.iterdir()] == ["stages.csv"]


Run = Callable[..., tuple[int, list[tuple[str, str]]]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Call the script on stages that are told how to end, as if there were a GPU; gives its status and the table."""

    def fail(shell: Shell, out: Path) -> Outcome:
        raise OSError("disk full")

    stages = {
        "good": lambda shell, out: Outcome("passed", "ok"),
        "broken": fail,
        "absent": lambda shell, out: Outcome("skipped", "no checker"),
    }
    monkeypatch.setattr(gpu_check, "STAGES", stages)
    monkeypatch.setattr(gpu_check, "survey", lambda device: MACHINE)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    def call(*arguments: str) -> tuple[int, list[tuple[str, str]]]:
        status = gpu_check.main([*arguments, "--out", str(tmp_path / "out")])
        return status, [(row["stage"], row["status"]) for row in ledger.read(tmp_path / "out" / "stages.csv")]

    return call


def test_all_stages_run_and_are_recorded_though_one_fails(run: Run) -> None:
    assert run() == (1, [("good", "passed"), ("broken", "failed"), ("absent", "skipped")])


def test_what_passed_is_not_run_again_and_what_was_skipped_is(run: Run) -> None:
    run("good", "absent")
    assert run("--resume") == (
        1,
        [("good", "passed"), ("absent", "skipped"), ("broken", "failed"), ("absent", "skipped")],
    )


def test_no_stage_begins_near_the_end(run: Run) -> None:
    assert run("good", "--minutes", "0.1") == (0, [])


def test_several_jobs_run_beside_each_other_after_the_build_and_before_the_benchmarks(
    run: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    together = threading.Barrier(2, timeout=20)

    def meet(shell: Shell, out: Path) -> Outcome:
        together.wait()
        return python(shell, "print('a word')")

    stages = {name: lambda shell, out: python(shell, "print('alone')") for name in ("build", "benchmark-x", "picture")}
    stages |= {"one": meet, "two": meet}
    monkeypatch.setattr(gpu_check, "STAGES", stages)
    status, table = run("--jobs", "2")
    assert status == 0
    assert [name for name, _ in table[:1] + table[3:]] == ["build", "benchmark-x", "picture"]
    assert {name for name, _ in table[1:3]} == {"one", "two"}
    shown = capfd.readouterr().out
    assert shown.count("\nalone") == 3
    assert "\na word" not in shown


def test_unknown_stages_and_a_machine_without_a_gpu(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run("better")
    assert "unknown stage better; choose from good, broken, absent" in capsys.readouterr().err
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run() == (1, [])
    assert "no CUDA device" in capsys.readouterr().err


def test_the_stages_cover_both_backends_every_checker_and_every_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_check.main(["--list"]) == 0
    names = capsys.readouterr().out.split()
    assert names[0] == "build"
    for part in ("exercise", "accuracy", "properties", "memcheck", "racecheck", "initcheck"):
        assert {f"{part}-triton", f"{part}-cuda"} <= set(names)
    assert {f"benchmark-{case.name}" for case in gpu_check.GPU_CASES} <= set(names)


def test_every_attention_test_file_with_gpu_variants_has_a_stage(tmp_path: Path) -> None:
    asked: list[str] = []

    class Listening(Shell):
        def run(self, *command: str, **environment: str) -> Outcome:
            asked.extend(Path(part).stem for part in command if part.endswith(".py"))
            return Outcome("passed")

    for name in ("accuracy", *gpu_check._NAMED[1:]):
        gpu_check.tests("cuda", name)(Listening(tmp_path, tmp_path / "x.log", 1), tmp_path)
    gpu_check.tests("cuda", *gpu_check._OTHERS)(Listening(tmp_path, tmp_path / "x.log", 1), tmp_path)
    with_variants = {
        path.stem for path in gpu_check.TESTS.glob("test_attention_*.py") if "variant: Variant" in path.read_text()
    }
    assert with_variants
    assert with_variants <= set(asked)


def test_a_missing_backend_skips_its_stages_with_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpu_check, "why_not", lambda backend: f"{backend} was not built")
    stage = gpu_check.needs("cuda", lambda shell, out: Outcome("passed"))
    assert stage(Shell(tmp_path, tmp_path / "x.log", 1), tmp_path) == Outcome("skipped", "cuda was not built")


def test_the_reason_is_asked_for_in_a_new_process() -> None:
    assert gpu_check.why_not("gather") is None


def test_a_picture_is_drawn_from_the_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    assert gpu_picture.main(str(tmp_path), str(tmp_path / "p.png")) == 1
    columns = ("case", "direction", "contender", "p50_ms", "of_copy_bandwidth", "device", "torch", "commit")
    with (tmp_path / "benchmark-a.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerow(("a", "forward", "triton", "1.0", "0.8", "A GPU", "2.13", "abc"))
        writer.writerow(("a", "both", "mha", "", "", "A GPU", "2.13", "abc"))
    assert gpu_picture.main(str(tmp_path), str(tmp_path / "p.png")) == 0
    assert (tmp_path / "p.png").stat().st_size > 1000


RESULTS = Path(gpu_check.__file__).parent / "results"


def test_older_tables_are_read_beside_those_with_more_versions(tmp_path: Path) -> None:
    older = RESULTS / "gpu_h200.csv"
    (tmp_path / "benchmark-older.csv").write_bytes(older.read_bytes())
    newer = [row | {"torch_cuda": "13.0", "triton": "3.7.1", "extension_cuda": "13.0"} for row in ledger.read(older)]
    for row in newer:
        ledger.append(tmp_path / "benchmark-newer.csv", row)
    rows = gpu_picture.rows_of(tmp_path)
    assert len(rows) == 2 * len([row for row in newer if row["p50_ms"]])
    assert {row["triton"] for row in rows if "triton" in row} == {"3.7.1"}


def test_older_stages_stay_passed_when_rows_name_more_versions(tmp_path: Path) -> None:
    table = tmp_path / "stages.csv"
    table.write_bytes((RESULTS / "gpu_h200_checks.csv").read_bytes())
    first = ledger.read(table)[0]
    passed = ledger.passed(table, first["device"], first["commit"])
    machine = {name: str(value) for name, value in asdict(MACHINE).items()}
    ledger.append(table, {"stage": "new", "status": "passed", "seconds": "1", "detail": "", **machine})
    assert passed
    assert ledger.passed(table, first["device"], first["commit"]) == passed
    assert ledger.passed(table, MACHINE.device, MACHINE.commit) == {"new"}
    assert [ledger.read(table)[place]["triton_version"] for place in (0, -1)] == ["", "3.7.1"]


def test_it_is_there_before_the_packages_are_installed() -> None:
    code = (
        "import sys\n"
        "sys.modules |= dict.fromkeys(('clear_hug', 'clear_kernels'))\n"
        "import gpu_check\n"
        "sys.exit(gpu_check.main(['--list']))"
    )
    command = [sys.executable, "-c", code]
    folder = Path(gpu_check.__file__).parent
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_exercise_compares_with_the_reference(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_exercise.main(["gather", "--quick"]) == 0
    assert capsys.readouterr().out.count("largest relative error") == 3
    monkeypatch.setitem(gpu_exercise.TOLERANCE, torch.float32, 1e-9)
    assert gpu_exercise.main(["gather", "--quick"]) == 1


def test_the_exercise_says_how_it_is_called_and_why_a_backend_cannot_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments, status in (([], 2), (["tensor"], 2), (["--help"], 0)):
        with pytest.raises(SystemExit) as ended:
            gpu_exercise.main(arguments)
        assert ended.value.code == status
    shown = capsys.readouterr()
    assert "arguments are required: backend" in shown.err
    assert "invalid choice: 'tensor' (choose from" in shown.err
    assert "largest error of outputs and gradients" in shown.out
    monkeypatch.setattr(gpu_exercise, "refusal", lambda name, q, leads: f"no GPU for {name} of {leads} leads")
    with pytest.raises(SystemExit, match=r"^backend cuda cannot run here: no GPU for cuda of 12 leads$"):
        gpu_exercise.main(["cuda"])
