"""TLS as scanners and old clients meet it: Mozilla's intermediate profile, nothing below 1.2, 1.2 alone where asked."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from running_gateway import JSON, ROWS, SCORES, RunningGateway
from wire import Wire, bearer

from gateway.certificate import Paths, make_development_certificate

WEAKEST = ["-cipher", "DEFAULT@SECLEVEL=0"]
"""Without it OpenSSL does not offer TLS 1.1 at all, and a refusal proves nothing."""


@pytest.fixture(scope="module")
def openssl(program) -> str:
    return program("openssl", "apt-get install openssl")


@pytest.fixture(scope="module")
def gateway(start_gateway, diabetes) -> RunningGateway:
    return start_gateway({"diabetes": {"backends": [diabetes], "token_auth_enabled": True}})


@pytest.fixture(scope="module")
def gateway_1_2(start_gateway, diabetes) -> RunningGateway:
    """One that speaks TLS 1.2 and no other."""
    services = {"diabetes": {"backends": [diabetes], "token_auth_enabled": True}}
    return start_gateway(services, scoring={"tls": {"maximum_version": "1.2"}})


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Paths:
    return make_development_certificate(tmp_path_factory.mktemp("tls"))


def _handshake(openssl: str, url: str, *options: str) -> tuple[bool, str]:
    """Whether OpenSSL's client came through with these options, and what it said."""
    done = subprocess.run(
        [openssl, "s_client", "-connect", urlsplit(url).netloc or url, *options],
        input="",
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    said = done.stdout + done.stderr
    return done.returncode == 0 and "Cipher is (NONE)" not in said, said


@contextmanager
def _server(openssl: str, pair: Paths, *options: str) -> Iterator[str]:
    """OpenSSL's own server on a free port: its address."""
    files = ["-cert", str(pair.certificate), "-key", str(pair.private_key)]
    with subprocess.Popen(
        [openssl, "s_server", "-accept", "127.0.0.1:0", *files, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            address = next(match[1] for line in server.stdout if (match := re.match(r"ACCEPT (\S+)", line)))
            yield address
        finally:
            server.kill()


def _scan(sslyze: str, address: str, ca_file: str) -> subprocess.CompletedProcess[str]:
    options = ["--mozilla_config=intermediate", f"--certinfo_ca_file={ca_file}"]
    return subprocess.run([sslyze, *options, address], capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def sslyze(program) -> str:
    return program("sslyze", "scripts/environment dev")


@pytest.mark.parametrize("port", ["scoring_url", "admin_url"])
def test_mozilla_intermediate(gateway: RunningGateway, sslyze: str, port: str) -> None:
    """The scanner sslyze finds both TLS ports compliant with Mozilla's intermediate profile, certificate included."""
    done = _scan(sslyze, urlsplit(gateway.ready[port]).netloc, gateway.ready["ca_file"])
    assert done.returncode == 0, done.stdout
    assert "OK - Compliant" in done.stdout
    assert "TLS 1.3 Cipher Suites" in done.stdout


def test_the_scanner_finds_faults(start_gateway, diabetes, sslyze: str) -> None:
    """Control: with OpenSSL's own settings instead of ours the same gateway does not pass the same scan."""
    loose = start_gateway(
        {"diabetes": {"backends": [diabetes]}}, scoring={"workers": 1}, environ={"OPENSSL_CONF": os.devnull}
    )
    done = _scan(sslyze, urlsplit(loose.ready["scoring_url"]).netloc, loose.ready["ca_file"])
    assert done.returncode == 1
    assert "FAILED - Not compliant" in done.stdout
    assert "X448" in done.stdout


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_versions_are_refused(gateway: RunningGateway, openssl: str, version: str) -> None:
    """A client that really offers TLS 1.0 or 1.1 is refused, on both ports."""
    for port in ("scoring_url", "admin_url"):
        came_through, said = _handshake(openssl, gateway.ready[port], version, "-msg", *WEAKEST)
        assert not came_through
        assert "Handshake [length" in said
        assert "ClientHello" in said
        assert "ServerHello" not in said


def test_such_a_client_succeeds_elsewhere(openssl: str, pair: Paths) -> None:
    """Control: the same client comes through where TLS 1.1 is allowed."""
    with _server(openssl, pair, "-tls1_1", *WEAKEST) as address:
        came_through, said = _handshake(openssl, address, "-tls1_1", *WEAKEST)
    assert came_through, said
    assert "TLSv1.1" in said


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_both_versions_of_today(gateway: RunningGateway, openssl: str, version: str) -> None:
    """TLS 1.2 and 1.3 are both spoken, and the certificate verifies against the CA of the ready file."""
    options = [version, "-CAfile", gateway.ready["ca_file"], "-verify_return_error"]
    came_through, said = _handshake(openssl, gateway.ready["scoring_url"], *options)
    assert came_through, said
    assert "Verify return code: 0 (ok)" in said


def test_maximum_version_1_2(gateway_1_2: RunningGateway, openssl: str) -> None:
    """With maximum_version 1.2 a client that speaks only 1.3 is refused; 1.2 goes on."""
    came_through, said = _handshake(openssl, gateway_1_2.ready["scoring_url"], "-tls1_3", "-msg")
    assert not came_through
    assert "ServerHello" not in said
    assert _handshake(openssl, gateway_1_2.ready["scoring_url"], "-tls1_2")[0]


def test_everything_works_on_1_2_alone(gateway_1_2: RunningGateway) -> None:
    """With maximum_version 1.2 keys, tokens, regeneration, command line and metrics work as before."""
    gateway = gateway_1_2
    with gateway.wire() as wire:
        assert wire.tls.version() == "TLSv1.2"
        headers = JSON | bearer(gateway.keys("diabetes")[0])
        assert wire.ask("POST", gateway.path("diabetes"), ROWS, headers).json == SCORES
    assert gateway.score("diabetes", gateway.token("diabetes")).json == SCORES
    assert gateway.score("diabetes", gateway.regenerate("diabetes", "Secondary")).json == SCORES
    assert gateway.cli("services", "list").returncode == 0
    assert gateway.metrics()["scoregate_requests_total", "diabetes", "200"] == 3


def test_plain_http_is_not_answered(gateway: RunningGateway) -> None:
    """Who speaks plain HTTP to the TLS port gets no answer that could be taken for one."""
    plain = gateway.ready["scoring_url"].replace("https://", "http://")
    with Wire(plain, None) as wire, pytest.raises(OSError):
        wire.ask("GET", "/")


def test_a_certificate_of_ones_own(start_gateway, diabetes, tmp_path) -> None:
    """A certificate and key named in the configuration are what clients see, and no development CA is offered."""
    own = make_development_certificate(tmp_path / "own", ["models.example.com"])
    tls = {"certificate": str(own.certificate), "private_key": str(own.private_key)}
    gateway = start_gateway({"diabetes": {"backends": [diabetes]}}, scoring={"tls": tls, "workers": 1})
    assert gateway.ready["ca_file"] is None
    context = ssl.create_default_context(cafile=str(own.ca))
    with gateway.wire(context=context) as wire:
        assert ("DNS", "models.example.com") in (wire.tls.getpeercert() or {})["subjectAltName"]
        assert wire.ask("GET", "/").text == "Healthy"
    gateway.process.terminate()
    assert gateway.wait() == 0
