"""Commands about a gateway of one's own; what they start is put in their place and seen."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import pytest

GOOD = "services:\n  diabetes:\n    backends: [http://127.0.0.1:5001]\n"


@pytest.fixture
def started(monkeypatch):
    """What `gateway.app.serve` and `gateway.demo.run` were called with; they answer 7."""
    calls = []

    def serve(loaded, *, ready_file):
        calls.append(("serve", loaded, ready_file))
        return 7

    def run(*, port_base, ready_file):
        calls.append(("demo", port_base, ready_file))
        return 7

    monkeypatch.setitem(sys.modules, "gateway.app", SimpleNamespace(serve=serve))
    monkeypatch.setitem(sys.modules, "gateway.demo", SimpleNamespace(run=run))
    return calls


def test_demo(scoregate, started):
    """Port base and ready file are passed on, their defaults too; its exit code is ours."""
    assert scoregate("demo").exit_code == 7
    assert scoregate("demo", "--port-base", 0, "--ready-file", "r.json").exit_code == 7
    assert started == [("demo", 8443, Path("var/ready.json")), ("demo", 0, Path("r.json"))]
    assert scoregate("demo", "--port-base", 65533).exit_code == 2


def test_serve_by_file(scoregate, started, tmp_path):
    """The configuration is loaded and passed on; its exit code is ours."""
    (tmp_path / "gateway.yaml").write_text(GOOD)
    assert scoregate("serve", "--config", "gateway.yaml", "--ready-file", "r.json").exit_code == 7
    (_, loaded, ready_file) = started[0]
    assert list(loaded.settings.services) == ["diabetes"]
    assert ready_file == Path("r.json")


def test_serve_a_backend(scoregate, started):
    """Without a file: one service, named or with the default name."""
    assert scoregate("serve", "--backend", "http://127.0.0.1:5001", "--name", "mine").exit_code == 7
    spec = started[0][1].settings.services["mine"]
    assert spec.backends == ("http://127.0.0.1:5001",)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--config", "a.yaml", "--backend", "http://a:1"],
        ["--config", "a.yaml", "--name", "mine"],
    ],
)
def test_serve_used_wrongly(scoregate, started, arguments):
    """Neither, both, or a name without a backend: exit code 2, nothing started."""
    result = scoregate("serve", *arguments)
    assert (result.exit_code, started) == (2, [])
    assert "--backend" in result.stderr


def test_serve_a_backend_that_is_no_url(scoregate, started):
    """The option is named with what it should look like."""
    result = scoregate("serve", "--backend", "localhost:5001")
    assert (result.exit_code, started) == (1, [])
    assert "--backend" in result.stderr
    assert "http://127.0.0.1:5001" in result.stderr


def test_check_a_good_file(scoregate, tmp_path):
    """What would be served is on stdout; that the certificate is not made yet is a warning on stderr."""
    (tmp_path / "gateway.yaml").write_text(GOOD)
    result = scoregate("check", "--config", "gateway.yaml")
    assert result.exit_code == 0
    assert "service diabetes" in result.stdout
    assert "scoregate: warning: " in result.stderr


def test_check_a_bad_file(scoregate, tmp_path):
    """Each mistake is a line with file and line number; exit code 1."""
    (tmp_path / "gateway.yaml").write_text(f"{GOOD}    max_queue_lenght: 5\n    tags: 7\n")
    result = scoregate("check", "--config", "gateway.yaml")
    assert (result.exit_code, result.stdout) == (1, "")
    lines = result.stderr.splitlines()
    assert [line.split(": ")[1] for line in lines] == ["gateway.yaml:4", "gateway.yaml:5"]
    assert "max_queue_length" in lines[0]


def test_check_a_missing_file(scoregate):
    """A missing file is told by name."""
    result = scoregate("check", "--config", "none.yaml")
    assert result.exit_code == 1
    assert "none.yaml: no such file" in result.stderr


def test_config_schema(scoregate):
    """It is a JSON schema that takes a good configuration and refuses a bad one."""
    schema = json.loads(scoregate("config", "schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid({"services": {"diabetes": {"backends": ["http://127.0.0.1:5001"]}}})
    assert not validator.is_valid({"servces": {}})


def test_certificate_dev(scoregate, tmp_path):
    """Files are made at the first call and kept at the second; the line says what clients need."""
    first = scoregate("certificate", "dev", "--directory", "tls", "--name", "gw.example")
    again = scoregate("certificate", "dev", "--directory", "tls", "--name", "gw.example")
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert first.stdout.startswith("made  tls/ca.crt  (give it to clients")
    assert again.stdout.startswith("kept  tls/ca.crt")
    assert (tmp_path / "tls" / "server.key").stat().st_mode & 0o077 == 0


def test_certificate_for_no_name(scoregate):
    """What is no host name is refused in one line."""
    result = scoregate("certificate", "dev", "--name", "https://x")
    assert result.exit_code == 1
    assert "is no host name or address" in result.stderr
