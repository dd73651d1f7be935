"""Two containers, of which one fails under load: a few requests notice, then none; and who is left is always tried."""

from __future__ import annotations

import time
from typing import Any

import pytest
from containers_apart import Container
from keepalive_load import Load
from running_gateway import RunningGateway

WORKERS = 4
CLIENTS = 16
FAILURES = 5
RUN_ON = 400
LONG = {"consecutive_failures": FAILURES, "seconds": 3600}
SHORT = {"consecutive_failures": FAILURES, "seconds": 1}


@pytest.fixture(scope="module")
def good(start_container) -> Container:
    return start_container()


@pytest.fixture(scope="module")
def mortal(start_container) -> Container:
    """One that is going to be killed."""
    return start_container()


@pytest.fixture(scope="module")
def ailing(start_container) -> list[Container]:
    """They answer their probes well, and every request with 503."""
    return [start_container(status=503), start_container(status=503)]


@pytest.fixture(scope="module")
def gateway(start_gateway, good, mortal, ailing) -> RunningGateway:
    one, two = ailing

    def service(*containers: Container, **spec: Any) -> dict[str, Any]:
        urls = [container.url for container in containers]
        return {"backends": urls, "max_concurrent_requests_per_container": None, "health": None} | spec

    services = {
        "deadly": service(good, mortal, ejection=LONG),
        "unwell": service(good, one, ejection=LONG),
        "lenient": service(good, one, ejection=None),
        "hopeless": service(one, two, ejection=LONG | {"max_percent": 100}),
        "hopeful": service(good, two, ejection=SHORT),
    }
    return start_gateway(services, scoring={"workers": WORKERS, "tls": None, "drain_seconds": 1})


def _load(gateway: RunningGateway, service: str) -> Load:
    key = gateway.keys(service)[0]
    return Load(gateway.ready["scoring_url"], "", gateway.path(service), key, clients=CLIENTS)


def _is_ejected(gateway: RunningGateway, service: str, container: Container) -> bool:
    return bool(gateway.metrics()["scoregate_backend_ejected", "", container.url, "default", service])


def _refused(gateway: RunningGateway, service: str) -> float:
    return gateway.metrics().get(("scoregate_upstream_errors_total", "refused", service), 0.0)


def test_one_that_answers_503_for_ever(gateway, ailing, show) -> None:
    """Four workers find it out together: as many failures as one would need, and those under way; from then on none."""
    with _load(gateway, "unwell") as load:
        load.until(lambda: _is_ejected(gateway, "unwell", ailing[0]))
        since = time.monotonic()
        load.go_on(RUN_ON)
        before = len(load.failed(0))
        assert [attempt for attempt in load.failed(since) if attempt.began > since] == []
    show(f"a container that answers 503 for ever: {before} of {len(load.attempts)} requests failed")
    assert FAILURES <= before <= FAILURES + CLIENTS
    status = gateway.service("unwell").status()
    assert [one["state"] for one in status["deployments"]["default"]["backends"]] == ["Healthy", "Ejected"]
    assert status["state"] == "Healthy"


def test_one_that_is_killed(gateway, mortal, show) -> None:
    """What it was sent is lost; nothing later is, and in the end nobody even tries to connect."""
    with _load(gateway, "deadly") as load:
        mortal.kill()
        gone = time.monotonic()
        load.until(lambda: _is_ejected(gateway, "deadly", mortal))
        refused, since = _refused(gateway, "deadly"), time.monotonic()
        load.go_on(RUN_ON)
        failed = load.failed(gone)
        assert all(attempt.began < gone for attempt in failed)
        assert load.failed(since) == []
        assert _refused(gateway, "deadly") == refused
    show(f"a container that is killed: {len(failed)} of {len(load.attempts)} requests failed")
    assert len(failed) <= CLIENTS


def test_all_fail_and_all_are_tried(gateway, ailing) -> None:
    """With nobody left the ejected ones get the requests, and the first that is well again is noticed at once."""
    key = gateway.keys("hopeless")[0]
    before = [container.facts()["requests"] for container in ailing]
    assert {gateway.score("hopeless", key).status for _ in range(60)} == {503}
    assert all(_is_ejected(gateway, "hopeless", container) for container in ailing)
    for container, count in zip(ailing, before, strict=True):
        assert container.facts()["requests"] - count > 2 * FAILURES
    assert gateway.service("hopeless").status()["state"] == "Unhealthy"
    _heal(ailing[1])
    assert {gateway.score("hopeless", key).status for _ in range(20)} == {200, 503}
    _sicken(ailing[1])


def test_one_that_is_well_again_comes_back(gateway, ailing) -> None:
    """A trial a second, each a failure at most; after the first that succeeds it takes its share again."""
    with _load(gateway, "hopeful") as load:
        load.until(lambda: _is_ejected(gateway, "hopeful", ailing[1]))
        _heal(ailing[1])
        load.until(lambda: not _is_ejected(gateway, "hopeful", ailing[1]))
        count, since = ailing[1].facts()["requests"], time.monotonic()
        load.go_on(RUN_ON)
        assert ailing[1].facts()["requests"] - count > RUN_ON / 10
        assert load.failed(since) == []


def test_control_without_ejection_failures_go_on(gateway, ailing) -> None:
    """Control: `ejection: null` and the same load: requests fail for as long as it lasts."""
    with _load(gateway, "lenient") as load:
        load.go_on(RUN_ON)
        assert len(load.failed(0)) > FAILURES + CLIENTS
        assert not _is_ejected(gateway, "lenient", ailing[0])


def _heal(container: Container) -> None:
    container.kill()
    container.status = 200
    container.start()


def _sicken(container: Container) -> None:
    container.kill()
    container.status = 503
    container.start()
