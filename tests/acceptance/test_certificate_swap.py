"""Certificates and configuration swapped under load: nobody notices; half a swap; sessions that go on."""

from __future__ import annotations

import os
import signal
import socket
import ssl
from pathlib import Path

import pytest
from reloading import Load, reload
from running_gateway import RunningGateway

from gateway.certificate import make_development_certificate

ROUNDS = 20
HOST = "moving.example.com"


@pytest.fixture(scope="module")
def backend(start_backend):
    return start_backend()


@pytest.fixture(scope="module")
def other(start_backend):
    return start_backend()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Path:
    """A folder like a mounted Secret, with two pairs to swap, and `cas.crt` with the authorities of both."""
    folder = tmp_path_factory.mktemp("secret")
    authorities = ""
    for name in ("..a", "..b"):
        made = make_development_certificate(folder / name)
        authorities += made.ca.read_text()
    (folder / "cas.crt").write_text(authorities)
    (folder / "..data").symlink_to("..a")
    for name in ("server.crt", "server.key"):
        (folder / name).symlink_to(f"..data/{name}")
    return folder


@pytest.fixture(scope="module")
def secured(start_gateway, backend, pairs) -> RunningGateway:
    tls = {"certificate": str(pairs / "server.crt"), "private_key": str(pairs / "server.key")}
    services = {"busy": {"backends": [backend.url], "max_concurrent_requests_per_container": None}}
    return start_gateway(services, scoring={"tls": tls}, admin={"tls": {}})


def swap(gateway: RunningGateway, folder: Path) -> None:
    """Serve the other pair, and wait until every process says that it does."""
    said = "the changed certificate"
    before = gateway.errors.count(said)
    following = "..b" if (folder / "..data").readlink() == Path("..a") else "..a"
    (folder / "..data_tmp").symlink_to(following)
    (folder / "..data_tmp").replace(folder / "..data")
    gateway.until(lambda: gateway.errors.count(said) >= before + 3)


def test_nobody_notices(secured: RunningGateway, pairs: Path, backend, other) -> None:
    """20 reloads, which move the service from container to container, and 20 swaps of certificate: no request fails."""
    context = ssl.create_default_context(cafile=str(pairs / "cas.crt"))
    tls = {"certificate": str(pairs / "server.crt"), "private_key": str(pairs / "server.key")}
    containers = ([backend.url, other.url], [other.url], [backend.url])
    with Load(secured, "busy", context) as load:
        for number in range(ROUNDS):
            busy = {
                "backends": containers[number % 3],
                "max_concurrent_requests_per_container": None if number % 2 else 3,
                "max_queue_wait_ms": 10_000,
                "hosts": [HOST] if number % 2 else [],
            }
            beside = {"backends": [backend.url], "hosts": [] if number % 2 else [HOST], "description": str(number)}
            services = {"busy": busy, f"beside-{number % 4}": beside}
            reload(secured, services, scoring={"tls": tls}, admin={"tls": {}})
            swap(secured, pairs)
    assert load.failed == []
    assert load.served > ROUNDS * 10
    assert len(other.seen) > 0
    assert secured.metrics()["scoregate_certificate_reload_failed", "scoring"] == 0


def test_half_a_swap(secured: RunningGateway, pairs: Path) -> None:
    """A pair that does not match is refused: the old certificate is served, the metric says so until it is mended."""
    context = ssl.create_default_context(cafile=str(pairs / "cas.crt"))
    expiry = secured.metrics()["scoregate_certificate_expiry_timestamp_seconds", "scoring"]
    with secured.wire(context=context) as wire:
        before = (wire.tls.getpeercert() or {})["serialNumber"]
        assert ssl.cert_time_to_seconds(str((wire.tls.getpeercert() or {})["notAfter"])) == expiry
    current = (pairs / "..data").readlink()
    wrong = "..b" if current == Path("..a") else "..a"
    (pairs / "scratch.key").symlink_to(f"{wrong}/server.key")
    (pairs / "scratch.key").replace(pairs / "server.key")
    failed = ("scoregate_certificate_reload_failed", "scoring")
    secured.until(lambda: secured.metrics()[failed] == 1)
    assert secured.metrics()["scoregate_certificate_reload_failed", "admin"] == 0
    with secured.wire(context=context) as wire:
        assert (wire.tls.getpeercert() or {})["serialNumber"] == before
    (pairs / "scratch.key").symlink_to("..data/server.key")
    (pairs / "scratch.key").replace(pairs / "server.key")
    secured.until(lambda: secured.metrics()[failed] == 0)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed_everywhere(secured: RunningGateway, pairs: Path, version: ssl.TLSVersion) -> None:
    """A TLS session resumes on both workers, after a swap of the certificate, and on workers that replaced both."""
    context = ssl.create_default_context(cafile=str(pairs / "cas.crt"))
    context.minimum_version = context.maximum_version = version
    session, is_reused = _resumed(secured, context, None)
    assert not is_reused
    assert all(_resumed(secured, context, session)[1] for _ in range(16))
    swap(secured, pairs)
    assert all(_resumed(secured, context, session)[1] for _ in range(16))
    victims = secured.workers()
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    secured.until(lambda: len(secured.workers() - victims) == 2)
    secured.until(lambda: secured.metrics()["scoregate_workers_ready",] == 2)
    assert all(_resumed(secured, context, session)[1] for _ in range(16))


def _resumed(
    gateway: RunningGateway, context: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[ssl.SSLSession | None, bool]:
    """One request on a new connection that offers this session: the session it ends with, and whether it resumed."""
    address = gateway.ready["scoring_url"].removeprefix("https://")
    host, port = address.split(":")
    with (
        socket.create_connection((host, int(port)), timeout=15) as plain,
        context.wrap_socket(plain, server_hostname=host, session=session) as connection,
    ):
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
        assert connection.recv(12) == b"HTTP/1.1 200"
        return connection.session, bool(connection.session_reused)
