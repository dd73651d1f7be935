"""The environment of the real model server."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from gateway.demo import install
from gateway.demo.error import DemoError
from gateway.demo.progress import Progress


def test_finished_installation_is_reused(azure_environment: Path) -> None:
    """A second call returns at once and says so."""
    said = io.StringIO()
    assert install.install(azure_environment.parent, Progress(said)) == azure_environment
    assert "already installed" in said.getvalue()


def test_other_pins_install_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment made with other pins is no finished installation: it is made anew, which here fails."""
    environment = tmp_path / "venv"
    environment.mkdir()
    (environment / "scoregate-pins").write_text("0" * 64)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(DemoError):
        install.install(tmp_path, Progress(io.StringIO()))
    assert not environment.exists()


def test_failure_is_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a package index: pip's reason in one line, where the rest stands, and no half-made environment."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(DemoError) as caught:
        install.install(tmp_path, Progress(io.StringIO()))
    assert "cannot be installed (No matching distribution found" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["install.log"]


def test_licence_says_both(azure_environment: Path) -> None:
    """Both things the package says of its terms are told."""
    said = install.licence(azure_environment)
    assert "MIT License" in said
    assert "azureml-sdk-license" in said


def test_model_server_gets_no_secrets() -> None:
    """Only paths and language of the caller's environment go to the model server, and telemetry is off."""
    environ = install.environ(
        "diabetes", Path("/x/score.py"), Path("/x"), {"PATH": "/bin", "TOKEN": "s", "AML_APP_INSIGHTS_KEY": "k"}
    )
    assert environ["PATH"] == "/bin"
    assert environ["AML_APP_INSIGHTS_ENABLED"] == "false"
    assert not {"TOKEN", "AML_APP_INSIGHTS_KEY"} & environ.keys()


def test_every_pin_has_hashes() -> None:
    """Each pinned package is exact and has at least one SHA-256, and no line names a place to fetch from."""
    text = install.PINS.read_text(encoding="utf-8")
    blocks = re.findall(r"^[a-z0-9-]+==[^\n]*\n(?:    --hash=sha256:[0-9a-f]{64}[^\n]*\n)+", text, re.MULTILINE)
    assert len(blocks) == len(re.findall(r"^[a-z0-9-]+==", text, re.MULTILINE)) > 30
    assert "://" not in text
