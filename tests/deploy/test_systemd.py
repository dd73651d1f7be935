"""The systemd unit, as far as it must agree with the gateway."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import config
from gateway.core.settings import ScoringSettings


@pytest.fixture(scope="module")
def service(root: Path) -> dict[str, str]:
    """Keys of the [Service] section."""
    text = (root / "deploy" / "systemd" / "scoregate.service").read_text()
    section = text.partition("[Service]")[2].partition("[Install]")[0]
    lines = [line.partition("=") for line in section.splitlines() if line and not line.startswith("#")]
    return {key: value for key, _, value in lines}


def test_data_goes_to_the_state_directory(service: dict[str, str], tmp_path: Path) -> None:
    """The one folder the unit may write to is where the gateway keeps its data, by a variable the gateway knows."""
    file = tmp_path / "gateway.yaml"
    file.write_text("services: {}\n")
    name, _, value = service["Environment"].partition("=")
    loaded = config.load(file, {name: value})
    assert str(loaded.settings.data_dir) == f"/var/lib/{service['StateDirectory']}"
    assert service["ProtectSystem"] == "strict"


def test_a_unit_that_stops_may_drain(service: dict[str, str]) -> None:
    """The unit waits longer than the gateway drains, and SIGTERM reaches the supervisor alone."""
    assert float(service["TimeoutStopSec"]) > ScoringSettings().drain_seconds + 5
    assert service["KillMode"] == "mixed"
