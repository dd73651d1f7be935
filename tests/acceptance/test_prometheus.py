"""A real Prometheus scrapes the gateway, and what it stored equals what was sent."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator

import model_servers
import pytest
import yaml
from running_gateway import RunningGateway

from gateway.demo.ports import free_port

SENT = {
    ("diabetes", "200"): 13,
    ("diabetes", "401"): 5,
    ("limited", "200"): 3,
    ("limited", "429"): 4,
    ("other", "404"): 2,
}


@pytest.fixture(scope="module")
def gateway(start_gateway, diabetes) -> RunningGateway:
    return start_gateway(
        {
            "diabetes": {"backends": [diabetes]},
            "limited": {"backends": [diabetes], "rate_limits": [{"name": "few", "requests": 3, "per_seconds": 3600}]},
        }
    )


@pytest.fixture(scope="module")
def prometheus(program, gateway: RunningGateway, tmp_path_factory) -> Iterator[str]:
    """URL of a Prometheus that scrapes the gateway five times a second."""
    command = program("prometheus", "apt-get install --no-install-recommends prometheus")
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    target = gateway.ready["metrics_url"].removeprefix("http://")
    config = folder / "prometheus.yml"
    config.write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
                "scrape_configs": [{"job_name": "scoregate", "static_configs": [{"targets": [target]}]}],
            }
        )
    )
    arguments = [f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    arguments.append(f"--web.listen-address=127.0.0.1:{port}")
    server = model_servers.Process("prometheus", folder, [command, *arguments], port, path="/-/ready")
    yield server.url
    server.stop()


def _ask(prometheus: str, query: str) -> dict[tuple[str, ...], float]:
    """Label values (in the order of their names; job, instance and the metric's name left out) → value."""
    with urllib.request.urlopen(f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': query})}") as response:
        found = json.load(response)["data"]["result"]
    own = ("__name__", "instance", "job")
    return {
        tuple(value for label, value in sorted(one["metric"].items()) if label not in own): float(one["value"][1])
        for one in found
    }


def _until(prometheus: str, query: str, expected: dict[tuple[str, ...], float]) -> None:
    deadline = time.monotonic() + 15
    while (found := _ask(prometheus, query)) != expected:
        assert time.monotonic() < deadline, f"{query}: {found}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def sent(gateway: RunningGateway, prometheus: str) -> None:
    """Requests of several services and outcomes, after a first scrape."""
    _until(prometheus, "up", {(): 1.0})
    primary, secondary = gateway.keys("diabetes")
    for number in range(SENT["diabetes", "200"]):
        assert gateway.score("diabetes", primary if number % 2 else secondary).status == 200
    for _ in range(SENT["diabetes", "401"]):
        gateway.score("diabetes", "wrong")
    key = gateway.keys("limited")[0]
    for _ in range(SENT["limited", "200"] + SENT["limited", "429"]):
        gateway.score("limited", key)
    for _ in range(SENT["other", "404"]):
        gateway.score("nobody")


@pytest.mark.usefixtures("sent")
def test_counters_equal_what_was_sent(prometheus: str) -> None:
    """Requests by service and status are exactly those that were sent, over both workers."""
    _until(prometheus, "scoregate_requests_total", {series: float(count) for series, count in SENT.items()})


@pytest.mark.usefixtures("sent")
def test_refusals_and_key_uses(prometheus: str) -> None:
    """Refusals are counted by reason, and keys by slot: whether the secondary is still in use can be seen."""
    _until(prometheus, 'scoregate_refusals_total{service="limited"}', {("rate_limited", "limited"): 4.0})
    _until(prometheus, 'scoregate_refusals_total{service="diabetes"}', {("wrong_key", "diabetes"): 5.0})
    uses = {("diabetes", "primary"): 6.0, ("diabetes", "secondary"): 7.0}
    _until(prometheus, 'scoregate_key_uses_total{service="diabetes"}', uses)


@pytest.mark.usefixtures("sent")
def test_durations(prometheus: str) -> None:
    """Durations are seconds in buckets: as many as requests, all of them below the largest bound."""
    _until(prometheus, 'scoregate_request_duration_seconds_count{service="diabetes"}', {
        ("diabetes", "200"): 13.0,
        ("diabetes", "401"): 5.0,
    })  # fmt: skip
    (total,) = _ask(prometheus, 'scoregate_request_duration_seconds_sum{service="diabetes",status="200"}').values()
    assert 0 < total < 13


@pytest.mark.usefixtures("sent")
def test_gauges(prometheus: str) -> None:
    """Backends up, workers ready, open doors and the version are there; nothing is in flight any more."""
    _until(prometheus, "sum(scoregate_backend_up)", {(): 2.0})
    _until(prometheus, "scoregate_workers_ready", {(): 2.0})
    _until(prometheus, "sum(scoregate_service_open)", {(): 0.0})
    _until(prometheus, "sum(scoregate_requests_in_flight)", {(): 0.0})
    assert len(_ask(prometheus, "scoregate_build_info")) == 1


@pytest.mark.usefixtures("sent")
def test_one_request_more_is_seen(gateway: RunningGateway, prometheus: str) -> None:
    """Control: one more request makes the counter one higher, so equality above is no accident."""
    query = 'scoregate_requests_total{service="diabetes",status="401"}'
    gateway.score("diabetes", "wrong")
    _until(prometheus, query, {("diabetes", "401"): SENT["diabetes", "401"] + 1.0})
