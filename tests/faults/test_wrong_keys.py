"""Thousands of wrong keys: none opens, no memory is taken, and who has a good key notices nothing."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import process_facts
import pytest
from running_gateway import JSON, RunningGateway
from wire import bearer

MB = 1 << 20
SERVICE = "guarded"
PER_MINUTE = 600
"""The default of scoring.max_auth_failures_per_minute."""
GROWTH = 4 * MB
ROUNDS = 3


@pytest.fixture(scope="module")
def container(start_container):
    return start_container(milliseconds=0)


@pytest.fixture(scope="module")
def gateway(start_gateway, container) -> RunningGateway:
    spec = {"backends": [container.url], "max_concurrent_requests_per_container": None}
    return start_gateway(
        {SERVICE: spec, "other": spec},
        scoring={"workers": 2, "tls": None, "drain_seconds": 1},
        logging={"access_log": None},
    )


class Guesser:
    """`guesser.py` as a process."""

    def __init__(self, gateway: RunningGateway, count: int, per_second: float) -> None:
        port = gateway.ready["scoring_url"].rpartition(":")[2]
        program = [sys.executable, str(Path(__file__).parent / "guesser.py")]
        arguments = [port, gateway.path(SERVICE), str(count), str(per_second)]
        self.process = subprocess.Popen([*program, *arguments], stdout=subprocess.PIPE, text=True)

    def statuses(self) -> dict[int, int]:
        text, _ = self.process.communicate(timeout=300)
        return {int(status): count for status, count in json.loads(text).items()}


def latencies(gateway: RunningGateway, key: str, seconds: float, per_second: float = 200.0) -> list[float]:
    """How long each request of a good client took (seconds), at its own pace; every one must be answered with 200."""
    found = []
    with gateway.wire() as wire:
        began = time.monotonic()
        for number in range(int(seconds * per_second)):
            time.sleep(max(0.0, began + number / per_second - time.monotonic()))
            start = time.perf_counter()
            answer = wire.ask("POST", gateway.path(SERVICE), b"{}", JSON | bearer(key))
            found.append(time.perf_counter() - start)
            assert answer.status == 200
    return found


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


def memory(gateway: RunningGateway) -> int:
    return sum(process_facts.rss(pid) for pid in gateway.workers())


def attack(gateway: RunningGateway, count: int, per_second: float) -> tuple[dict[int, int], int]:
    """What so many wrong keys were answered with, while a good client goes on; and how much the workers grew."""
    primary, _ = gateway.keys(SERVICE)
    latencies(gateway, primary, 0.5)
    before = memory(gateway)
    guesser = Guesser(gateway, count, per_second)
    while guesser.process.poll() is None:
        latencies(gateway, primary, 0.1)
    return guesser.statuses(), memory(gateway) - before


def check(statuses: dict[int, int], count: int, grown: int) -> None:
    assert set(statuses) == {401, 429}
    assert sum(statuses.values()) == count
    assert PER_MINUTE <= statuses[401] < count
    assert grown < GROWTH


def test_wrong_keys(gateway) -> None:
    """Twelve hundred: six hundred are told that they are wrong, the rest to wait; a good key opens all the while."""
    statuses, grown = attack(gateway, 1200, 4000)
    check(statuses, 1200, grown)


def test_keys_that_are_nearly_right(gateway) -> None:
    """A character less, more, other, or in other case, and the key of another service: none opens."""
    primary, _ = gateway.keys(SERVICE)
    other, _ = gateway.keys("other")
    wrong = [primary[:-1], primary + "x", primary.swapcase(), primary[:10] + "!" + primary[11:], other, primary[::-1]]
    with gateway.wire() as wire:
        for value in wrong:
            assert wire.ask("POST", gateway.path(SERVICE), b"{}", JSON | bearer(value)).status in (401, 429)
        assert wire.ask("POST", gateway.path(SERVICE), b"{}", JSON | bearer(primary)).status == 200


def test_control_a_right_key_among_them_is_seen(gateway) -> None:
    """The same count finds a credential that opens: it would be in the statuses."""
    primary, _ = gateway.keys(SERVICE)
    with gateway.wire() as wire:
        statuses = {
            wire.ask("POST", gateway.path(SERVICE), b"{}", JSON | bearer(value)).status for value in ("wrong", primary)
        }
    assert 200 in statuses
    with pytest.raises(AssertionError):
        check(dict.fromkeys(statuses, 1000), 2000, 0)


@pytest.mark.prove
def test_ten_thousand_wrong_keys_harm_nobody(gateway, show) -> None:
    """Ten thousand at a thousand a second: none opens, memory is flat, a good client keeps its p99 within twice."""
    primary, _ = gateway.keys(SERVICE)
    ratios = []
    statuses, grown = attack(gateway, 10_000, 1000)
    check(statuses, 10_000, grown)
    for _ in range(ROUNDS):
        calm = p99(latencies(gateway, primary, 5))
        guesser = Guesser(gateway, 8000, 1000)
        attacked = p99(latencies(gateway, primary, 5))
        guesser.process.kill()
        guesser.process.communicate()
        ratios.append(attacked / calm)
        show(f"p99 of a good client: {calm * 1000:.2f} ms alone, {attacked * 1000:.2f} ms beside 1000 wrong keys/s")
    show(f"10,000 wrong keys: {statuses}, workers grew by {grown / MB:.1f} MB, p99 ratios {ratios}")
    assert min(ratios) < 2
