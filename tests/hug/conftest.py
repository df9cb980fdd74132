"""Fixtures of the tests of `clear_hug`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from clear_hug.demo import Demo


@pytest.fixture(scope="session")
def micro_demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """A finished demonstration with the smallest settings: records, store, checkpoints, probes, a prediction."""
    from demo_common import MICRO

    from clear_hug.demo import Demo

    demo = Demo(tmp_path_factory.mktemp("demo"), config=MICRO)
    demo.run()
    return demo
