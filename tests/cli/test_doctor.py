"""`doctor`: each check, sick and well."""

import json
import resource
import socket

import pytest

from gateway.cli import doctor


def test_a_well_machine(scoregate, ready):
    """Every finding is one line; with a gateway that answers and nothing wrong the exit code is 0."""
    result = scoregate("doctor")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0, result.stdout
    assert all(line.split()[0] in ("ok", "note") for line in lines)
    assert lines[-1].endswith("answers, services: 1")


def test_a_gateway_that_is_gone(scoregate, ready, fake):
    """A ready file whose gateway does not answer fails, with the address."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        gone = f"https://127.0.0.1:{taken.getsockname()[1]}"
        ready.write_text(json.dumps(json.loads(ready.read_text()) | {"admin_url": gone}))
        result = scoregate("doctor")
    assert result.exit_code == 1
    assert f"fail  gateway      {gone} did not answer" in result.stdout


def test_secrets_that_others_may_read(scoregate, ready):
    """A secret file with open permissions fails, with the command that mends it; the control is the well machine."""
    for name in ("admin-token", "master.key", "tls/server.key"):
        file = ready.parent / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("x")
        file.chmod(0o644)
        assert f"chmod 600 var/{name}" in scoregate("doctor").stdout
        file.chmod(0o600)
    assert scoregate("doctor").exit_code == 0


def test_a_directory_that_everybody_may_write(scoregate, ready):
    """So may the data directory not be."""
    ready.parent.chmod(0o777)
    assert "chmod o-w var" in scoregate("doctor").stdout


def test_ports():
    """A taken port is a note, or fine when a gateway runs here."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        assert doctor.port("admin", number, in_use_is_fine=False).level == "note"
        assert doctor.port("admin", number, in_use_is_fine=True).level == "ok"
    assert doctor.port("admin", number, in_use_is_fine=False).text == "admin: free"


@pytest.mark.parametrize(
    ("finding", "level"),
    [
        (doctor.python((3, 10, 9)), "fail"),
        (doctor.python((3, 11, 0)), "ok"),
        (doctor.openssl((1, 1, 0), "OpenSSL 1.1.0"), "fail"),
        (doctor.openssl((3, 0, 0), "OpenSSL 3"), "ok"),
        (doctor.parser(), "ok"),
        (doctor.event_loop(), "ok"),
        (doctor.descriptors(256), "note"),
        (doctor.descriptors(65536), "ok"),
        (doctor.descriptors(resource.RLIM_INFINITY), "ok"),
    ],
)
def test_findings(finding, level):
    """What is too old fails, what is scarce is noted, the rest is well."""
    assert finding.level == level
