"""Sixteen clients that keep their connections score without a pause while parts of the gateway die or are replaced."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import faults
import pytest
from keepalive_load import Load

from gateway.demo.ports import free_port

SERVICE = "echo"
TIMES = 20


@pytest.fixture(scope="module")
def services(start_container) -> tuple[list[object], dict[str, object]]:
    containers = [start_container(milliseconds=2), start_container(milliseconds=2)]
    spec = {"backends": [container.url for container in containers], "max_concurrent_requests_per_container": None}
    return containers, {SERVICE: spec}


def _scene(start_gateway, services, *, altered: str) -> Iterator[faults.Scene]:
    containers, specs = services
    scoring = {"listen": f"127.0.0.1:{free_port()}", "workers": faults.WORKERS, "drain_seconds": 6}
    gateway = start_gateway(specs, altered=altered, scoring=scoring)
    path, key = gateway.path(SERVICE), gateway.keys(SERVICE)[0]
    with Load(gateway.ready["scoring_url"], gateway.ready["ca_file"], path, key) as load:
        yield faults.Scene(gateway, containers, load)


@pytest.fixture(scope="module")
def brisk_scene(start_gateway, services) -> Iterator[faults.Scene]:
    yield from _scene(start_gateway, services, altered="brisk")


@pytest.fixture(scope="module")
def real_scene(start_gateway, services) -> Iterator[faults.Scene]:
    yield from _scene(start_gateway, services, altered="")


@pytest.mark.parametrize("fault", faults.ALL, ids=lambda fault: fault.__name__)
def test_fault(brisk_scene: faults.Scene, fault) -> None:
    """A fault costs the clients only what it must: no request fails that could have been saved."""
    cost = fault(brisk_scene)
    assert cost.saved == []
    assert {attempt.outcome for attempt in brisk_scene.load.attempts} & {"wrong", "late"} == set()


def test_control_what_breaks_is_seen(brisk_scene: faults.Scene) -> None:
    """Control: the death of a worker does break requests; they would count if the worker had not been their own."""
    since = time.monotonic()
    assert faults.worker_killed(brisk_scene).failed > 0
    assert brisk_scene.cost(since, lambda _: False).saved != []


@pytest.mark.prove
@pytest.mark.parametrize("fault", faults.ALL, ids=lambda fault: fault.__name__)
def test_fault_again_and_again(real_scene: faults.Scene, fault, show) -> None:
    """The same twenty times, with the product's own bounds, and printed as docs/operations.md shows it."""
    costs = [fault(real_scene) for _ in range(TIMES)]
    failed, pauses = [cost.failed for cost in costs], [cost.pause for cost in costs]
    saved = [attempt for cost in costs for attempt in cost.saved]
    show(
        f"{fault.__name__:<22} {TIMES} times | failed requests {statistics.median(failed):g} / {max(failed)}"
        f" | longest pause {statistics.median(pauses):.2f} / {max(pauses):.2f} s | could have been saved {len(saved)}"
    )
    assert saved == []
    assert {attempt.outcome for attempt in real_scene.load.attempts} & {"wrong", "late"} == set()
