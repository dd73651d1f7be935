"""Simulation: the data plane's own code in worlds without sockets and without real time, each made from one seed.

`SIMULATION_SEED=123 .venv/bin/python -m pytest tests/simulation -q` plays that seed alone and tells what happens in it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With SIMULATION_SEED set only that seed is played; without it, its test has nothing to do."""
    is_replay = "SIMULATION_SEED" in os.environ
    own = [item for item in items if item.path.parent == Path(__file__).parent]
    unwanted = {item for item in own if (item.name == "test_one_seed") != is_replay}
    if unwanted:
        config.hook.pytest_deselected(items=list(unwanted))
        items[:] = [item for item in items if item not in unwanted]
