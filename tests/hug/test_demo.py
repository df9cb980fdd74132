"""The whole path once through, with the smallest settings, on simulated and on real records."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from demo_common import MICRO
from PIL import Image

from clear_hug.demo import Demo, DemoConfig, Probed
from clear_hug.demo_report import gain, results, verdict, write_demo_report
from clear_hug.files import read_json
from clear_hug.training.metrics import Interval

PROBES = [
    f"probe-{head}-{origin}-{percent}"
    for percent in (100, 10)
    for head in ("hug", "linear")
    for origin in ("pre-trained", "untrained")
]
STEPS = ["simulate", "prepare", "pretrain", *PROBES, "predict"]
HUG = Probed("hug", "pre-trained")


@pytest.fixture(scope="module")
def report(micro_demo):
    return write_demo_report(micro_demo, micro_demo.runner.done)


def test_every_step_is_done(micro_demo):
    assert [step.name for step in micro_demo.runner.done] == STEPS
    assert (micro_demo.out / "records" / "labels.csv").is_file()
    assert len(micro_demo.store) == 60
    assert micro_demo.pretraining.epochs == 2


def test_a_second_run_does_nothing_and_other_settings_do_what_is_needed(micro_demo):
    again = Demo(micro_demo.out, config=MICRO)
    assert not any(step.fresh for step in again.run())
    known = read_json(micro_demo.out / "steps" / "pretrain.json")
    assert known["finished"]
    assert known["settings"]["training"]["lr"] == MICRO.lr


def test_the_report_has_all_figures_and_calls_simulated_simulated(micro_demo, report):
    markdown, page = (path.read_text(encoding="utf-8") for path in report)
    for text in (markdown, page):
        assert "simulated" in text
        assert "No patient was recorded" in text
        assert "Real" not in text
        assert str(micro_demo.out) not in text
    found = results(micro_demo)
    assert [kind.name for kind in found] == PROBES
    for summary in found.values():
        macro = summary["test"]["macro_auroc"]
        assert 0 <= macro["low"] <= macro["value"] <= macro["high"] <= 1
        assert f"{macro['value']:.3f} [{macro['low']:.3f}, {macro['high']:.3f}]" in markdown
        assert summary["source"] == {"kind": "wfdb", "simulated": True}
    assert page.count("<img") == 4


def test_the_pictures_are_drawn(micro_demo, report):
    for name in ("pictures/loss.png", "pictures/reconstruction.png", "pictures/auroc.png", "prediction/ecg.png"):
        with Image.open(micro_demo.out / name) as image:
            pixels = np.asarray(image.convert("L"))
        assert pixels.std() > 8, name
        assert min(pixels.shape) > 200, name


def test_the_comparison_is_of_the_same_records(micro_demo):
    difference = gain(micro_demo, HUG)
    found = results(micro_demo)
    values = [found[kind]["test"]["macro_auroc"]["value"] for kind in (HUG, HUG.baseline)]
    assert difference.value == pytest.approx(values[0] - values[1])
    assert difference.low <= difference.value <= difference.high


def test_pretrained_and_untrained_start_from_the_same_weights_and_share_features(micro_demo):
    assert len(list((micro_demo.out / "features").glob("*.npy"))) == 2
    assert results(micro_demo)[HUG.baseline]["encoder"]["origin"] == "untrained"


def test_verdicts_follow_the_interval():
    said = [verdict(Interval(0.0, low, high, 0.95, 100)) for low, high in ((0.01, 0.1), (-0.1, -0.01), (-0.1, 0.1))]
    assert said == ["pre-training helped", "pre-training hurt", "these records cannot tell"]


def test_epochs_follow_the_number_of_records():
    config = DemoConfig(record_views=16000, most_epochs=60)
    assert [config.epochs(n) for n in (1, 160, 560, 17000, 10**6)] == [60, 60, 29, 1, 1]


def test_a_foreign_folder_is_refused(tmp_path):
    (tmp_path / "x").write_text("x")
    with pytest.raises(ValueError, match="not from an earlier run"):
        Demo(tmp_path, config=MICRO)


def test_real_records(shared_dir, tmp_path):
    config = replace(MICRO, record_views=1)
    demo = Demo(tmp_path / "demo", data=shared_dir / "data" / "ptbxl", config=config)
    steps = demo.run()
    assert [step.name for step in steps] == STEPS[1:]
    assert demo.task == "super"
    markdown, _ = (path.read_text(encoding="utf-8") for path in write_demo_report(demo, steps))
    assert "real recordings (PTB-XL" in markdown
    assert "imulated" not in markdown
    assert "path/to/ptbxl" in markdown
    assert str(shared_dir) not in markdown
