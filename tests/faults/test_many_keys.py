"""Keys of ten thousand services: what it costs to list and to change one of them, while others score."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import running_gateway
from running_gateway import JSON, RunningGateway
from wire import Answer, Wire, bearer

SERVICES = 10_000
START_SECONDS = 600
CHANGES, LISTINGS = 200, 2000
CHANGE_SECONDS = 0.1
WORKER_SECONDS = 0.005
"""What a change may keep the loop of a worker from scoring."""
LISTING_SECONDS = 1 / 500

pytestmark = pytest.mark.prove


@pytest.fixture(scope="module")
def gateway(start_gateway, start_container) -> RunningGateway:
    spec = {"backends": [start_container(milliseconds=0).url], "health": None}
    services = {f"service-{number}": spec for number in range(SERVICES)}
    with pytest.MonkeyPatch.context() as patience:
        patience.setattr(running_gateway, "START_SECONDS", START_SECONDS)
        return start_gateway(services, scoring={"workers": 2, "drain_seconds": 1}, logging={"access_log": None})


@pytest.fixture
def admin(gateway):
    """`admin(method, path)`: one request to the admin API, over one connection."""
    headers = JSON | bearer(gateway.admin_token)
    with Wire(gateway.ready["admin_url"], gateway.ready["ca_file"]) as wire:
        yield lambda method, path: wire.ask(
            method, f"/v1/services/{path}", b"{}" if method == "POST" else None, headers
        )


def processor_seconds(pid: int) -> float:
    """User and system time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(pids: set[int], times: int, call: Callable[[int], Answer]) -> tuple[float, list[float]]:
    """Processor seconds of these processes for one call, and how long each took, shortest first."""
    before, took = sum(map(processor_seconds, pids)), []
    for turn in range(times):
        began = time.perf_counter()
        assert call(turn).status == 200
        took.append(time.perf_counter() - began)
    return (sum(map(processor_seconds, pids)) - before) / times, sorted(took)


def test_a_key_change(gateway, admin, show) -> None:
    """Answered in 100 ms, and no worker is kept from scoring for 5 ms by it."""
    workers = gateway.workers()
    spent, took = measured(workers, CHANGES, lambda turn: admin("POST", f"service-{turn * 37}/keys/primary/regenerate"))
    own = spent / len(workers)
    show(
        f"{SERVICES} services: a key change is answered in {statistics.median(took) * 1000:.1f} ms (median),"
        f" {took[-1] * 1000:.1f} ms (longest); a worker spends {own * 1000:.2f} ms on it"
    )
    assert statistics.median(took) <= CHANGE_SECONDS
    assert own <= WORKER_SECONDS


def test_listing_keys(gateway, admin, show) -> None:
    """500 a second on one core: some clients list them before every score, again and again those of one service."""
    spent, took = measured({gateway.control()}, LISTINGS, lambda turn: admin("GET", f"service-{turn % 20}/keys"))
    show(f"listing keys takes {spent * 1000:.2f} ms of processor time, {statistics.median(took) * 1000:.1f} ms in all")
    assert spent <= LISTING_SECONDS
