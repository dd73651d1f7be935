"""How many requests a container has at once, over all workers, and what callers hear when it has enough."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import model_servers
import pytest
from running_gateway import JSON, RunningGateway
from wire import Answer, bearer

CLIENTS = 8
REQUESTS_PER_CLIENT = 125


@pytest.fixture(scope="module")
def single(start_backend) -> model_servers.Backend:
    return start_backend(seconds=0.001)


@pytest.fixture(scope="module")
def many(start_backend) -> model_servers.Backend:
    return start_backend(seconds=0.001)


@pytest.fixture(scope="module")
def held(start_backend) -> model_servers.Backend:
    return start_backend()


@pytest.fixture(scope="module")
def gateway(start_gateway, single, many, held) -> RunningGateway:
    blocked = {"backends": [held.url], "health": None}
    return start_gateway(
        {
            "single": {
                "backends": [single.url],
                "max_concurrent_requests_per_container": 1,
                "max_queue_wait_ms": 10_000,
            },
            "many": {"backends": [many.url], "max_concurrent_requests_per_container": None},
            "impatient": {**blocked, "max_queue_wait_ms": 300},
            "no-queue": {**blocked, "max_queue_length": 0},
            "late": {**blocked, "scoring_timeout_ms": 300},
        }
    )


def _send(gateway: RunningGateway, service: str) -> list[int]:
    """Statuses of a thousand requests, from eight clients at once."""
    key = gateway.keys(service)[0]

    def client(_: int) -> list[int]:
        headers = JSON | bearer(key)
        with gateway.wire() as wire:
            return [wire.ask("POST", gateway.path(service), b"{}", headers).status for _ in range(REQUESTS_PER_CLIENT)]

    with ThreadPoolExecutor(CLIENTS) as pool:
        return [status for statuses in pool.map(client, range(CLIENTS)) for status in statuses]


def test_one_at_a_time(gateway: RunningGateway, single: model_servers.Backend) -> None:
    """With a limit of 1 and two workers a container never sees two requests at once, and all thousand are served."""
    assert set(_send(gateway, "single")) == {200}
    assert len(single.seen) == CLIENTS * REQUESTS_PER_CLIENT
    assert single.most_at_once == 1


def test_many_at_a_time(gateway: RunningGateway, many: model_servers.Backend) -> None:
    """Control: without the limit the same clients make the same container work on several at once."""
    assert set(_send(gateway, "many")) == {200}
    assert many.most_at_once > 1


def _refused(gateway: RunningGateway, held: model_servers.Backend, service: str) -> tuple[Answer, Answer, float]:
    """The answer to the request that holds the container's one place, to a second one, and the second's seconds."""
    key = gateway.keys(service)[0]
    held.hold()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(gateway.score, service, key)
        try:
            held.wait_for(1)
            began = time.monotonic()
            second = gateway.score(service, key)
            seconds = time.monotonic() - began
        finally:
            held.let_go()
        return first.result(), second, seconds


def test_queue_wait(gateway: RunningGateway, held: model_servers.Backend) -> None:
    """Who waits longer than max_queue_wait_ms hears Azure's words; who has the place is served."""
    first, second, seconds = _refused(gateway, held, "impatient")
    assert first.status == 200
    assert (second.status, second.text) == (503, "Too many requests for service impatient (overloaded)")
    assert second.headers["retry-after"] == "1"
    assert 0.3 <= seconds < 2


def test_full_queue(gateway: RunningGateway, held: model_servers.Backend) -> None:
    """Where the queue has no place left, the same words come at once."""
    first, second, seconds = _refused(gateway, held, "no-queue")
    assert first.status == 200
    assert (second.status, second.text) == (503, "Too many requests for service no-queue (overloaded)")
    assert seconds < 0.3


def test_deadline(gateway: RunningGateway, held: model_servers.Backend) -> None:
    """A container that answers too late is 504 with the stage, and its place is free again when it ends."""
    held.hold()
    answer = gateway.score("late", gateway.keys("late")[0])
    held.let_go()
    assert answer.status == 504
    assert "scoring_timeout_ms (300 ms)" in answer.json["detail"]
    assert answer.json["stage"] == "first_byte"
    gateway.until(lambda: gateway.score("late", gateway.keys("late")[0]).status == 200)
