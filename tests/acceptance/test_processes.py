"""Processes: what dies is replaced while scoring goes on, and the whole ends in order, leaving nothing."""

from __future__ import annotations

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import model_servers
import pytest
from running_gateway import RunningGateway
from wire import trusting

SERVICE = "echo"


@pytest.fixture(scope="module")
def backend(start_backend) -> model_servers.Backend:
    return start_backend()


@pytest.fixture(scope="module")
def services(backend) -> dict[str, object]:
    return {SERVICE: {"backends": [backend.url], "max_concurrent_requests_per_container": None}}


@pytest.fixture(scope="module")
def gateway(start_gateway, services) -> RunningGateway:
    return start_gateway(services)


def _alive(pid: int) -> bool:
    """Whether a process exists and is not just waiting to be reaped."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_killed_worker_is_replaced(gateway: RunningGateway) -> None:
    """Workers killed with -9 in turn: every request on a new connection is served, before, while and after."""
    key = gateway.keys(SERVICE)[0]
    for victim in gateway.workers():
        os.kill(victim, signal.SIGKILL)
        statuses = [gateway.score(SERVICE, key).status for _ in range(40)]
        assert statuses == [200] * 40
        gateway.until(lambda gone=victim: gone not in gateway.workers() and len(gateway.workers()) == 2)
        assert any(
            f"(process {victim}) ended with code -9 and is replaced" in line["message"] for line in gateway.log()
        )
    gateway.until(lambda: gateway.metrics()["scoregate_workers_ready",] == 2)


def test_replaced_worker_knows_the_newest_key(gateway: RunningGateway) -> None:
    """A worker that starts after a regeneration refuses the old key and takes the new one."""
    old = gateway.keys(SERVICE)[0]
    new = gateway.regenerate(SERVICE, "Primary")
    for victim in gateway.workers():
        os.kill(victim, signal.SIGKILL)
    assert {gateway.score(SERVICE, new).status for _ in range(20)} == {200}
    assert {gateway.score(SERVICE, old).status for _ in range(20)} == {401}


def test_killed_control_process_comes_back(gateway: RunningGateway) -> None:
    """A control process killed with -9: scoring goes on meanwhile; the admin API comes back with the same keys."""
    keys = gateway.keys(SERVICE)
    victim = gateway.control()
    os.kill(victim, signal.SIGKILL)
    statuses = [gateway.score(SERVICE, key).status for _ in range(20) for key in keys]
    assert set(statuses) == {200}
    gateway.until(lambda: gateway.control() != victim)
    assert gateway.keys(SERVICE) == keys
    gateway.until(lambda: gateway.admin("POST", f"/services/{SERVICE}/keys/primary/regenerate").status == 200)
    new = gateway.keys(SERVICE)[0]
    assert [gateway.score(SERVICE, key).status for key in (keys[0], new)] == [401, 200]


def test_stopped_control_process_does_not_stop_scoring(gateway: RunningGateway) -> None:
    """While the control process is halted, as its silent admin port shows, scores still come."""
    key = gateway.keys(SERVICE)[1]
    control = gateway.control()
    os.kill(control, signal.SIGSTOP)
    try:
        assert not _shakes_hands(gateway.ready["admin_url"], gateway.ready["ca_file"])
        assert {gateway.score(SERVICE, key).status for _ in range(10)} == {200}
    finally:
        os.kill(control, signal.SIGCONT)
    assert _shakes_hands(gateway.ready["admin_url"], gateway.ready["ca_file"])


def _shakes_hands(url: str, ca_file: str) -> bool:
    """Whether a TLS handshake comes about within half a second."""
    host, port = urlsplit(url).hostname, urlsplit(url).port
    try:
        with (
            socket.create_connection((host, port), timeout=0.5) as plain,
            trusting(ca_file).wrap_socket(plain, server_hostname=host),
        ):
            return True
    except TimeoutError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_orderly_end(start_gateway, services, backend: model_servers.Backend, number: signal.Signals) -> None:
    """SIGTERM and SIGINT: a request under way is finished, the exit code is 0, and nothing is left."""
    gateway = start_gateway(services, scoring={"drain_seconds": 5})
    key = gateway.keys(SERVICE)[0]
    processes = {gateway.process.pid, *gateway.children()}
    backend.hold()
    with ThreadPoolExecutor(1) as pool, gateway.wire() as idle:
        request = pool.submit(gateway.score, SERVICE, key, b"the last one")
        try:
            backend.wait_for(1)
            assert idle.ask("GET", "/").text == "Healthy"
            gateway.process.send_signal(number)
            assert idle.tls.recv(1) == b""  # idle connections are closed first: the end has begun
        finally:
            backend.let_go()
        answer = request.result()
    assert (answer.status, answer.body) == (200, b"the last one")
    assert gateway.wait() == 0
    assert not gateway.ready_file.exists()
    assert not [pid for pid in processes if _alive(pid)]
    assert "Traceback" not in gateway.errors


def test_ready_file_tells_the_truth(gateway: RunningGateway) -> None:
    """The ready file names the supervisor, real ports and absolute paths, to this user alone."""
    ready = gateway.ready
    assert ready["pid"] == gateway.process.pid
    assert all(Path(ready[name]).is_absolute() for name in ("ca_file", "admin_token_file"))
    assert ready["services"][SERVICE]["scoring_uri"] == ready["scoring_url"] + gateway.path(SERVICE)
    assert ready["portal_url"] == ready["admin_url"]
    assert gateway.ready_file.stat().st_mode & 0o777 == 0o600


def test_killed_supervisor_takes_all_with_it(start_gateway, services) -> None:
    """A supervisor killed with -9: the kernel ends the others, so that a port is never held by orphans."""
    gateway = start_gateway(services, scoring={"workers": 1})
    processes = gateway.children()
    gateway.process.kill()
    gateway.process.wait()
    gateway.workspace.close()
    deadline = time.monotonic() + 10
    while left := [pid for pid in processes if _alive(pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.02)
