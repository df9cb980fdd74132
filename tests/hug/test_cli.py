"""The command line teaches, does the whole path, and turns foreseen errors into one line and exit code 2."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from clear_hug.cli import app
from clear_hug.files import read_json
from clear_hug.training.interrupt import InterruptedTrainingError

COMMANDS = ["simulate", "prepare", "pretrain", "probe", "predict", "demo"]


def call(*words, code=0):
    result = CliRunner().invoke(app, [str(word) for word in words])
    text = re.sub(r"\x1b\[[0-9;]*m", "", result.output)
    assert result.exit_code == code, text + str(result.exception)
    return " ".join(text.split())


def refused(*words, code=2):
    text = call(*words, code=code)
    assert "Traceback" not in text
    return text


def test_help_shows_every_command_and_the_path():
    text = call("--help")
    for command in COMMANDS:
        assert command in text
    assert "not a medical device" in text
    assert call("--version").startswith("clear-hug ")


@pytest.mark.parametrize(
    "command", ["simulate", "prepare ptbxl", "prepare wfdb", "pretrain", "probe", "predict", "demo"]
)
def test_every_help_has_an_example(command):
    assert f"clear-hug {command}" in call(*command.split(), "--help")


def test_help_does_not_load_pytorch():
    code = (
        "import sys, clear_hug.cli; sys.exit(any(m in sys.modules for m in ('torch', 'scipy', 'wfdb', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_python_m_is_the_same():
    result = subprocess.run([sys.executable, "-m", "clear_hug", "--help"], capture_output=True, text=True, check=True)
    assert "clear-hug" in result.stdout


def test_the_path(micro_demo, tmp_path):
    store, run, probe = micro_demo.out / "beats", tmp_path / "run", tmp_path / "probe"
    settings = ["--store", store, "--size", "tiny", "--epochs", 2, "--batch-size", 64, "--device", "cpu"]
    text = call("pretrain", *settings, "--out", run, "--stop-after", 1)
    assert "Stopped after epoch 1 of 2" in text
    assert "encoder" in text
    text = call("pretrain", *settings, "--out", run, "--resume")
    assert "epoch 2" in text
    for name in ("clear.safetensors", "state.safetensors", "log.jsonl", "loss.png"):
        assert (run / name).is_file()
    checkpoint = run / "clear.safetensors"
    common = ["--store", store, "--epochs", 3, "--resamples", 50, "--device", "cpu"]
    text = call("probe", *common, "--checkpoint", checkpoint, "--head", "hug", "--fraction", 0.5, "--out", probe)
    assert re.search(r"Macro AUROC 0\.\d+, 95 % bootstrap interval 0\.\d+ to \d\.\d+", text)
    assert "21 training records" in text
    assert read_json(probe / "result.json")["probe"]["fraction"] == 0.5
    text = call(
        "probe", *common, "--checkpoint", "random", "--size", "tiny", "--head", "linear", "--out", tmp_path / "base"
    )
    assert "(untrained)" in text
    chosen = {}
    for sampling, size in (("official", "12 training records"), ("stratified", "13 training records")):
        out = tmp_path / sampling
        words = ["--checkpoint", checkpoint, "--fraction", 0.3, "--sampling", sampling, "--out", out]
        assert size in call("probe", *common, *words)
        assert read_json(out / "result.json")["probe"]["sampling"] == sampling
        chosen[sampling] = read_json(out / "result.json")
    assert chosen["official"]["test"] != chosen["stratified"]["test"]
    record = micro_demo.out / "records" / "sim00003"
    text = call("predict", record, "--checkpoint", probe / "classifier.safetensors", "--out", tmp_path / "said")
    assert "sinus rhythm (SR)" in text
    assert "simulated record sim00003" in text
    assert "not a medical device" in text
    assert (tmp_path / "said" / "sim00003.png").stat().st_size > 50_000
    assert read_json(tmp_path / "said" / "sim00003.json")["record"] == "sim00003"


def test_demo_runs_and_is_kept(micro_demo, monkeypatch):
    """The command finds the finished steps of the same settings."""
    from demo_common import MICRO

    monkeypatch.setattr("clear_hug.demo.DemoConfig", lambda: MICRO)
    text = call("demo", "--out", micro_demo.out, "--device", "cpu")
    assert text.count(" kept") == 12
    assert "Macro AUROC on the test records" in text
    assert (micro_demo.out / "report.html").is_file()


def test_errors_are_one_line(micro_demo, tmp_path):
    store, classifier = (
        micro_demo.out / "beats",
        micro_demo.out / "probe-hug-pre-trained-100" / "classifier.safetensors",
    )
    assert "there is no store at" in refused("pretrain", "--store", tmp_path / "none", "--out", tmp_path / "o")
    text = refused("pretrain", "--store", store, "--out", tmp_path / "o", "--size", "huge")
    assert "unknown model size 'huge'" in text
    assert "nothing to resume" in refused(
        "pretrain", "--store", store, "--out", tmp_path / "o", "--size", "tiny", "--resume"
    )
    text = refused("probe", "--store", store, "--checkpoint", tmp_path / "x.safetensors", "--out", tmp_path / "o")
    assert "no checkpoint at" in text
    base = [
        "probe",
        "--store",
        store,
        "--checkpoint",
        "random",
        "--size",
        "tiny",
        "--out",
        tmp_path / "o",
        "--epochs",
        1,
    ]
    assert "has no task 'super'" in refused(*base, "--task", "super")
    assert "fraction=0.0" in refused(*base, "--fraction", 0)
    assert "unknown sampling='lucky'; choose one of stratified, official" in refused(*base, "--sampling", "lucky")
    text = refused("probe", "--store", store, "--checkpoint", "x.safetensors", "--out", tmp_path / "o", "--amplitude")
    assert "--input-norm and --amplitude are for --checkpoint random" in text
    assert "'tree'" in refused(*base, "--head", "tree")
    assert "cannot be read" in refused("predict", tmp_path / "none", "--checkpoint", classifier)
    assert "classifier is needed" in refused(
        "predict", "x", "--checkpoint", micro_demo.out / "pretraining/clear.safetensors"
    )


def test_a_checkpoint_for_other_leads_is_refused(micro_demo, tmp_path):
    records = micro_demo.out / "records"
    call(
        "prepare",
        "wfdb",
        "--root",
        records,
        "--labels",
        records / "labels.csv",
        "--out",
        tmp_path / "b",
        "--leads",
        "I,II",
        "--beats",
        14,
    )
    checkpoint = micro_demo.out / "pretraining" / "clear.safetensors"
    text = refused("probe", "--store", tmp_path / "b", "--checkpoint", checkpoint, "--out", tmp_path / "o")
    assert "checkpoint and the data disagree" in text
    assert "leads: the checkpoint has I II III" in text


def test_debug_keeps_the_traceback(tmp_path):
    result = CliRunner().invoke(app, ["--debug", "pretrain", "--store", str(tmp_path / "none"), "--out", str(tmp_path)])
    assert isinstance(result.exception, ValueError)


def test_ctrl_c_in_training_is_exit_code_130(micro_demo, tmp_path, monkeypatch):
    def interrupted(*args, **kwargs):
        raise InterruptedTrainingError("stopped after step 3 of 9; continue with --resume")

    monkeypatch.setattr("clear_hug.training.pretrain.pretrain", interrupted)
    words = [
        "pretrain",
        "--store",
        micro_demo.out / "beats",
        "--out",
        tmp_path / "o",
        "--size",
        "tiny",
        "--device",
        "cpu",
    ]
    assert "continue with --resume" in refused(*words, code=130)


def test_unforeseen_errors_are_not_hidden(monkeypatch, tmp_path):
    def broken(path):
        raise RuntimeError("a bug")

    monkeypatch.setattr("clear_hug.data.store.BeatStore.open", broken)
    result = CliRunner().invoke(app, ["pretrain", "--store", str(tmp_path), "--out", str(tmp_path)])
    assert isinstance(result.exception, RuntimeError)
