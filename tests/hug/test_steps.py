"""Steps are done once, done again when what they depend on changes, and continued when they were interrupted."""

from __future__ import annotations

import pytest

from clear_hug.steps import StepRunner


def run(folder, one=1, two=2, log=None):
    runner = StepRunner(folder)
    log = [] if log is None else log

    def make(name, value):
        def action():
            log.append(name)
            (folder / name).write_text(str(value))

        return action

    first = runner.run("first", {"one": one}, ["a"], make("a", one))
    runner.run("second", {"two": two}, ["b"], make("b", two), after=[first])
    return log, runner.done


def test_a_second_run_keeps_everything(tmp_path):
    assert run(tmp_path)[0] == ["a", "b"]
    log, steps = run(tmp_path)
    assert log == []
    assert [step.fresh for step in steps] == [False, False]


def test_a_change_redoes_the_step_and_what_follows(tmp_path):
    run(tmp_path)
    assert run(tmp_path, two=3)[0] == ["b"]
    assert run(tmp_path, one=5, two=3)[0] == ["a", "b"]
    assert (tmp_path / "a").read_text() == "5"


def test_a_missing_output_redoes_the_step(tmp_path):
    run(tmp_path)
    (tmp_path / "b").unlink()
    assert run(tmp_path)[0] == ["b"]


def test_an_interrupted_step_finds_its_files_unless_settings_changed(tmp_path):
    seen = []

    def action():
        part = tmp_path / "part"
        seen.append(part.exists())
        part.mkdir(exist_ok=True)
        if len(seen) < 3:
            raise KeyboardInterrupt
        (tmp_path / "whole").write_text("x")

    for settings in ({"n": 1}, {"n": 1}, {"n": 2}):
        try:
            StepRunner(tmp_path).run("step", settings, ["whole"], action, leftovers=["part"])
        except KeyboardInterrupt:
            continue
    assert seen == [False, True, False]
    assert (tmp_path / "whole").exists()


def test_the_time_of_interrupted_tries_counts(tmp_path, monkeypatch):
    clock = iter([0.0, 5.0, 100.0, 102.0])
    monkeypatch.setattr("clear_hug.steps.time.perf_counter", lambda: next(clock))

    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        StepRunner(tmp_path).run("step", {}, [], interrupted)
    assert StepRunner(tmp_path).run("step", {}, [], lambda: None).seconds == 7.0


def test_foreign_folders_are_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(ValueError, match="not empty and not from an earlier run"):
        StepRunner(tmp_path)
    with pytest.raises(ValueError, match="is a file"):
        StepRunner(tmp_path / "mine.txt")
