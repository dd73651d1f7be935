"""The scrape configuration: valid, and aimed at where the gateway shows its metrics."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import yaml

from gateway.core.settings import MetricsSettings

INSTALL = "apt-get install prometheus"


def test_promtool_accepts_it(checker: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    """Prometheus's own checker reads it; as a control, a misspelt key is refused."""
    assert checker("promtool", "check", "config", "deploy/prometheus.yml", install=INSTALL).returncode == 0
    broken = tmp_path / "prometheus.yml"
    broken.write_text("scrape_configs: [{job_name: scoregate, static_config: []}]\n")
    assert checker("promtool", "check", "config", str(broken), install=INSTALL).returncode != 0


def test_it_scrapes_the_default_address(root: Path) -> None:
    """A gateway and a Prometheus that nobody configured find each other."""
    (job,) = yaml.safe_load((root / "deploy" / "prometheus.yml").read_text())["scrape_configs"]
    assert job["static_configs"] == [{"targets": [MetricsSettings().listen]}]
