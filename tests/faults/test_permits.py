"""A container with one permit, four workers that want it, and some of them killed now and then."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from containers_apart import Container
from keepalive_load import Load
from running_gateway import RunningGateway

SERVICE = "single"
WORKERS = 4
SHORT, LONG = 5_000, 100_000
KILL_SECONDS = 1.5


def _start(start_gateway, container: Container, limit: int | None) -> RunningGateway:
    spec = {
        "backends": [container.url],
        "max_concurrent_requests_per_container": limit,
        "max_queue_wait_ms": 20_000,
        "health": None,
    }
    return start_gateway({SERVICE: spec}, scoring={"workers": WORKERS, "tls": None, "drain_seconds": 1})


def _run(gateway: RunningGateway, requests: int, *, kill: bool) -> set[str]:
    """Outcomes of so many requests, and more until they are answered."""
    enough = threading.Event()
    killer = threading.Thread(target=_kill_now_and_then, args=(gateway, enough))
    load = Load(gateway.ready["scoring_url"], "", gateway.path(SERVICE), gateway.keys(SERVICE)[0], think=0)
    with load:
        if kill:
            killer.start()
        try:
            load.until(lambda: load.answered() >= requests, requests / 50 + 30)
        finally:
            enough.set()
            if kill:
                killer.join()
    return {attempt.outcome for attempt in load.attempts}


def _kill_now_and_then(gateway: RunningGateway, enough: threading.Event) -> None:
    while not enough.wait(KILL_SECONDS):
        workers = gateway.workers()
        if len(workers) == WORKERS:
            os.kill(max(workers), signal.SIGKILL)


@pytest.mark.parametrize("requests", [SHORT, pytest.param(LONG, marks=pytest.mark.prove)])
def test_one_at_a_time(start_gateway, start_container, requests: int, show) -> None:
    """The container never sees two requests at once, also when a worker that has its permit is killed."""
    container = start_container(milliseconds=0.5)
    gateway = _start(start_gateway, container, limit=1)
    began = time.monotonic()
    assert _run(gateway, requests, kill=True) <= {"ok", "closed", "cut", "handshake"}
    facts = container.facts()
    assert facts["requests"] >= requests
    killed = sum("ended with code -9" in line["message"] for line in gateway.log())
    seconds = time.monotonic() - began
    show(f"{facts['requests']} requests in {seconds:.0f} s, {killed} workers killed: {facts['most_at_once']} at once")
    assert killed
    assert facts["most_at_once"] == 1


def test_control_without_a_limit(start_gateway, start_container) -> None:
    """Control: without the limit the same clients make the container work on several at once."""
    container = start_container(milliseconds=0.5)
    assert _run(_start(start_gateway, container, limit=None), 200, kill=False) == {"ok"}
    assert container.facts()["most_at_once"] > 1
