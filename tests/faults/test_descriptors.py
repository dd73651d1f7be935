"""Few file descriptors: hundreds of connections crash nothing and spin nowhere, and when they go all is well again."""

from __future__ import annotations

import contextlib
import itertools
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import process_facts
import pytest
from running_gateway import RunningGateway
from wire import bearer

LIMIT = 128
CONNECTIONS = 400
WORKERS = 2
TAKEN = 32
"""Clients of a worker with so many descriptors."""
SERVICE, UNTOUCHED = "echo", "untouched"
HEALTHY = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
SPINNING = 0.2
"""Share of a core: a worker that has nothing to do but to refuse needs next to none."""


@pytest.fixture(scope="module")
def gateway(start_gateway, start_container) -> RunningGateway:
    services = {
        name: {"backends": [start_container().url], "max_concurrent_requests_per_container": None, "health": None}
        for name in (SERVICE, UNTOUCHED)
    }
    return start_gateway(services, descriptors=LIMIT, scoring={"workers": WORKERS, "drain_seconds": 1})


@pytest.fixture
def flood(gateway: RunningGateway) -> Iterator[list[socket.socket]]:
    """More connections than there are descriptors, none of which says a word."""
    address = ("127.0.0.1", int(gateway.ready["scoring_url"].rpartition(":")[2]))
    with ExitStack() as undo:
        sockets = []
        for _ in range(CONNECTIONS):
            one = undo.enter_context(socket.socket())
            one.settimeout(5)
            one.connect(address)
            sockets.append(one)
        gateway.until(lambda: gateway.metrics()["scoregate_connections",] == WORKERS * TAKEN)
        yield sockets


@contextmanager
def _no_descriptor_left(gateway: RunningGateway) -> Iterator[None]:
    """The workers may have no descriptor more than they have."""
    before = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in gateway.workers()}
    for pid, (_, hard) in before.items():
        unused = next(number for number in itertools.count() if not Path(f"/proc/{pid}/fd/{number}").exists())
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (unused, hard))
    yield
    for pid, limits in before.items():
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def _scores(gateway: RunningGateway, times: int) -> list[int]:
    key = gateway.keys(SERVICE)[0]
    return [gateway.score(SERVICE, key).status for _ in range(times)]


def test_says_how_many_it_takes(gateway: RunningGateway) -> None:
    """At the start the log tells that the limit allows fewer connections than are configured."""
    (said,) = [line["message"] for line in gateway.log() if "scoring.max_connections" in line["message"]]
    assert said.startswith(
        f"a worker takes {TAKEN} connections and not scoring.max_connections (10000): a process may have 128"
    )


def test_flood_of_connections(gateway: RunningGateway, flood) -> None:
    """Hundreds of half-made TLS handshakes are no more than there are places: no process dies and none spins."""
    processes = gateway.children()
    before = {pid: process_facts.cpu_seconds(pid) for pid in processes}
    began = time.monotonic()
    time.sleep(1.5)
    seconds = time.monotonic() - began
    assert gateway.children() == processes
    busy = {pid: (process_facts.cpu_seconds(pid) - before[pid]) / seconds for pid in processes}
    assert max(busy.values()) < SPINNING
    assert max(process_facts.descriptors(pid) for pid in gateway.workers()) < LIMIT
    assert "Traceback" not in gateway.errors


def test_control_a_spinning_process_is_seen() -> None:
    """Control: a process that spins is told apart from one that waits."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as spinning:
        time.sleep(0.3)
        before, began = process_facts.cpu_seconds(spinning.pid), time.monotonic()
        time.sleep(0.7)
        busy = (process_facts.cpu_seconds(spinning.pid) - before) / (time.monotonic() - began)
        spinning.kill()
    assert busy > SPINNING


def test_recovers(gateway: RunningGateway) -> None:
    """When the flood is gone, every request is served."""
    assert _scores(gateway, 20) == [200] * 20
    gateway.until(lambda: all(process_facts.descriptors(pid) < LIMIT / 2 for pid in gateway.workers()))


def test_clients_leave_room_for_containers(gateway: RunningGateway) -> None:
    """As many clients as are taken can all be served: a connection is refused rather than a request."""
    headers = bearer(gateway.keys(SERVICE)[0])
    with ExitStack() as undo:
        statuses = []
        wires = [undo.enter_context(gateway.wire()) for _ in range(200)]
        for wire in wires:
            with contextlib.suppress(OSError):
                statuses.append(wire.ask("POST", gateway.path(SERVICE), b"{}", headers).status)
        assert set(statuses) == {200}
        assert WORKERS * TAKEN - 8 <= len(statuses) <= WORKERS * TAKEN


def test_no_descriptor_for_a_container(gateway: RunningGateway) -> None:
    """A request that finds no descriptor left is answered 503 with this reason, and the container is not blamed."""
    headers = bearer(gateway.keys(UNTOUCHED)[0])
    with ExitStack() as undo:
        wires = [undo.enter_context(gateway.wire()) for _ in range(8)]
        assert {wire.ask("GET", "/livez").status for wire in wires} == {200}
        with _no_descriptor_left(gateway):
            answers = [wire.ask("POST", gateway.path(UNTOUCHED), b"{}", headers) for wire in wires]
    assert {answer.status for answer in answers} == {503}
    assert {answer.json["reason"] for answer in answers} == {"exhausted"}
    assert answers[0].json["stage"] == "connect"
    assert answers[0].headers["retry-after"] == "1"
    assert gateway.metrics()["scoregate_upstream_errors_total", "exhausted", UNTOUCHED] == len(answers)
    assert gateway.metrics()["scoregate_refusals_total", "exhausted", UNTOUCHED] == len(answers)


def test_max_connections(start_gateway, start_container) -> None:
    """No worker has more clients than `max_connections`; the others are closed, and served when there is room."""
    gateway = start_gateway(
        {SERVICE: {"backends": [start_container().url], "health": None}},
        scoring={"workers": 1, "max_connections": 5, "drain_seconds": 1},
    )
    with ExitStack() as undo:
        wires = [undo.enter_context(gateway.wire()) for _ in range(5)]
        assert {wire.ask("GET", "/livez").status for wire in wires} == {200}
        with pytest.raises(OSError):
            gateway.ask("GET", "/livez")
    assert gateway.ask("GET", "/livez").status == 200
