import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from gateway.cli import app

_client = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "client" / "conftest.py")))
development_tls = _client.development_tls
fake = _client.fake
other_authority = _client.other_authority


@pytest.fixture(autouse=True)
def own_directory(tmp_path, monkeypatch):
    """Each test has a directory of its own, and an environment that names no gateway."""
    monkeypatch.chdir(tmp_path)
    for name in ("ADMIN_URL", "ADMIN_TOKEN", "ADMIN_TOKEN_FILE", "TOKEN_FILE", "CA_FILE"):
        monkeypatch.delenv(f"SCOREGATE_{name}", raising=False)
    return tmp_path


@pytest.fixture
def token_file(tmp_path):
    file = tmp_path / "admin-token"
    file.write_text("admin-token-of-the-fake\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def ready(fake, tmp_path, token_file):
    """A ready file where commands look for it."""
    file = tmp_path / "var" / "ready.json"
    file.parent.mkdir(mode=0o700)
    file.write_text(
        json.dumps({"admin_url": fake.admin_url, "ca_file": fake.ca_file, "admin_token_file": str(token_file)})
    )
    return file


@pytest.fixture
def scoregate():
    """Runs a command line; gives exit_code, stdout, stderr."""

    def run(*arguments, stdin=None):
        return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, prog_name="scoregate")

    return run
