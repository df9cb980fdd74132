"""How far a command is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import pytest

from clear_hug.cli import common


@pytest.mark.parametrize("every", [0.0, 1e9])
def test_lines_where_stderr_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, every: float
) -> None:
    monkeypatch.setattr(common, "PLAIN_LINE_EVERY_S", every)
    with common.progress_bar() as bar:
        task = bar.add_task("preparing", total=2000, note="")
        bar.update(task, completed=1000, note="0/s  0 flagged")
        bar.update(task, completed=1500, note="120/s  3 flagged")
        bar.update(task, completed=2000, note="120/s  3 flagged")
        other = bar.add_task("records", total=None, note="")
        bar.update(other, advance=1, note="A0001")
    lines = capsys.readouterr().err.splitlines()
    assert (
        lines == []
        if every
        else [
            "preparing: 1,000 of 2,000, 0/s 0 flagged",
            "preparing: 1,500 of 2,000, 120/s 3 flagged, 0:00:00 left",
            "preparing: 2,000 of 2,000, 120/s 3 flagged, 0:00:00 left",
            "records: 1, A0001",
        ]
    )


def test_the_time_left_is_that_of_the_rate_since_the_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records that an earlier run has made do not count as quick ones."""
    with common.progress_bar() as bar:
        now = bar.get_time()
        task = bar.add_task("preparing", total=4000, note="")
        bar.update(task, completed=1000)
        monkeypatch.setattr(bar, "get_time", lambda: now + 100.0)
        for of in bar.tasks:
            monkeypatch.setattr(of, "_get_time", lambda: now + 100.0)
        bar.update(task, completed=2000)
        bar.update(task, completed=2001)
    assert capsys.readouterr().err == "preparing: 2,000 of 4,000, 0:03:20 left\n"
