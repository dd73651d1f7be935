"""What Prometheus reads: sums over workers, and the control process's own gauges."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from gateway import __version__
from gateway.control.metrics import Own, application
from gateway.control.pair import NewKey
from gateway.control.reload import Status
from gateway.core.ejection import EJECTED, SUSPECT, TRIAL
from gateway.core.meter import BUCKETS, DURATION, IN_FLIGHT, REQUESTS
from gateway.core.record import KeyUseRecord


@dataclass
class Served:
    """What a listener serves."""

    expires: float
    failed: bool = False


@pytest.fixture
async def scrape(aiohttp_client, make_rig, make_spec, board):
    rig = await make_rig({"diabetes": make_spec(), "open": make_spec(auth_enabled=False)})
    listeners = {"scoring": Served(expires=1_800_000_000.0), "admin": Served(expires=1_900_000_000.0, failed=True)}
    status = Status(rig.settings)
    own = Own(rig.catalog, rig.link, board, status, listeners, rig.uses)
    client = await aiohttp_client(application(own=own, link=rig.link, workers=2))

    async def read(accept: str = "text/plain", parser=parse):
        answer = await client.get("/metrics", headers={"Accept": accept})
        assert answer.status == 200
        families = parser(await answer.text())
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }

    read.rig, read.client, read.status = rig, client, status
    return read


def labels(**values: str):
    return tuple(sorted(values.items()))


def rows(requests: float):
    counts = [0.0] * (len(BUCKETS) + 1)
    counts[0], counts[-1] = requests - 1, 1
    return [
        (REQUESTS.name, ("diabetes", "200"), (requests,)),
        (DURATION.name, ("diabetes", "200"), (*counts, 400.5)),
        (IN_FLIGHT.name, ("diabetes",), (2.0,)),
    ]


async def test_sums_over_workers(scrape) -> None:
    """Counters, histograms and gauges of two workers are added; buckets are cumulative."""
    for life in ("a", "b"):
        (await scrape.rig.ready_worker(life)).rows = rows(5)
    samples = await scrape()
    series = labels(service="diabetes", status="200")
    assert samples["scoregate_requests_total", series] == 10
    assert (
        samples["scoregate_request_duration_seconds_bucket", labels(service="diabetes", status="200", le="0.005")] == 8
    )
    assert (
        samples["scoregate_request_duration_seconds_bucket", labels(service="diabetes", status="200", le="300.0")] == 8
    )
    assert (
        samples["scoregate_request_duration_seconds_bucket", labels(service="diabetes", status="200", le="+Inf")] == 10
    )
    assert samples["scoregate_request_duration_seconds_count", series] == 10
    assert samples["scoregate_request_duration_seconds_sum", series] == 801
    assert samples["scoregate_requests_in_flight", labels(service="diabetes")] == 4
    assert samples["scoregate_workers_ready", ()] == 2


async def test_dead_life(scrape) -> None:
    """A worker that died leaves its counters and takes its gauges; its replacement adds to them."""
    first = await scrape.rig.ready_worker("a")
    first.rows = rows(5)
    await scrape()
    first.die()
    scrape.rig.processes["a"].gone()
    series = labels(service="diabetes", status="200")
    samples = await scrape()
    assert samples["scoregate_requests_total", series] == 5
    assert ("scoregate_requests_in_flight", labels(service="diabetes")) not in samples
    await first.disconnect()
    del scrape.rig.workers["a"]
    (await scrape.rig.ready_worker("b")).rows = rows(3)
    assert (await scrape())["scoregate_requests_total", series] == 8


async def test_worker_that_does_not_answer(scrape) -> None:
    """A worker that is busy does not hold the scrape up: what it said last is shown."""
    worker = await scrape.rig.ready_worker("a")
    worker.rows = rows(5)
    await scrape()
    worker.counts.clear()
    worker.rows = rows(9)
    assert (await scrape())["scoregate_requests_total", labels(service="diabetes", status="200")] == 5


async def test_own_gauges(scrape, board) -> None:
    """Backends by their URL, open doors, build and process."""
    samples = await scrape()
    up = labels(service="diabetes", deployment="default", backend="http://127.0.0.1:5001", address="")
    assert samples["scoregate_backend_up", up] == 1
    board.set_healthy(0, False)
    assert (await scrape())["scoregate_backend_up", up] == 0
    assert samples["scoregate_backend_ejected", up] == 0
    for standing, value in ((SUSPECT, 0), (EJECTED, 1), (TRIAL, 1)):
        board.standings[0] = (standing, 1.0)
        assert (await scrape())["scoregate_backend_ejected", up] == value
    assert samples["scoregate_service_open", labels(service="diabetes")] == 0
    assert samples["scoregate_service_open", labels(service="open")] == 1
    assert samples["scoregate_build_info", labels(version=__version__)] == 1
    assert samples["process_resident_memory_bytes", ()] > 0


async def test_reloads_and_certificates(scrape) -> None:
    """How reloads went, what is served of the file, and when the certificates of each listener expire."""
    samples = await scrape()
    assert samples["scoregate_config_last_reload_successful", ()] == 1
    assert samples["scoregate_config_reloads_total", labels(result="failure")] == 0
    before = samples["scoregate_config_last_reload_success_timestamp_seconds", ()]
    assert samples["scoregate_config_info", labels(hash=scrape.status.hash)] == 1
    assert samples["scoregate_certificate_expiry_timestamp_seconds", labels(listener="scoring")] == 1_800_000_000
    assert samples["scoregate_certificate_reload_failed", labels(listener="scoring")] == 0
    assert samples["scoregate_certificate_reload_failed", labels(listener="admin")] == 1
    scrape.status.note(success=False)
    scrape.status.kept = ("wine",)
    samples = await scrape()
    assert samples["scoregate_config_last_reload_successful", ()] == 0
    assert samples["scoregate_config_reloads_total", labels(result="failure")] == 1
    assert samples["scoregate_config_service_kept", labels(service="wine")] == 1
    assert samples["scoregate_config_last_reload_success_timestamp_seconds", ()] == before


async def test_openmetrics(scrape) -> None:
    """Prometheus asks for OpenMetrics and gets it, valid."""
    (await scrape.rig.ready_worker("a")).rows = rows(5)
    samples = await scrape("application/openmetrics-text; version=1.0.0", parse_openmetrics)
    assert samples["scoregate_requests_total", labels(service="diabetes", status="200")] == 5
    with pytest.raises(ValueError):
        list(parse_openmetrics("scoregate_requests 5"))


async def test_probes_of_people(scrape) -> None:
    """`/livez` always, `/readyz` once a worker serves."""
    assert (await scrape.client.get("/livez")).status == 200
    assert (await scrape.client.get("/readyz")).status == 503
    await scrape.rig.ready_worker("a")
    answer = await scrape.client.get("/readyz")
    assert answer.status == 200
    assert "1 of 2 workers" in await answer.text()


async def test_keys(scrape) -> None:
    """When each value of a slot was last used, whether it is safe to regenerate, and when it ends; absent if never."""
    rig, hour = scrape.rig, scrape.rig.uses.hour
    old = rig.catalog.key("diabetes", "primary")
    ends = datetime(2099, 1, 31, tzinfo=UTC)
    await rig.catalog.regenerate("diabetes", "primary", NewKey(grace_seconds=60, expires_at=ends))
    new = rig.catalog.key("diabetes", "primary")
    rig.uses.add([KeyUseRecord("diabetes", old.id, hour, 3, 1_000), KeyUseRecord("diabetes", new.id, hour, 4, 2_000)])
    samples = await scrape()
    primary = {"service": "diabetes", "slot": "primary"}
    assert samples["scoregate_key_last_used_timestamp_seconds", labels(**primary, value="former")] == 1_000
    assert samples["scoregate_key_last_used_timestamp_seconds", labels(**primary, value="current")] == 2_000
    assert samples["scoregate_key_safe_to_regenerate", labels(**primary)] == 0
    assert samples["scoregate_key_expiry_timestamp_seconds", labels(**primary)] == ends.timestamp()
    secondary = {"service": "diabetes", "slot": "secondary"}
    assert samples["scoregate_key_safe_to_regenerate", labels(**secondary)] == 0
    service = rig.catalog.get("diabetes")
    watched = replace(service.keys["secondary"], created_at=datetime(2026, 1, 1, tzinfo=UTC))
    rig.catalog.services["diabetes"] = replace(service, keys={**service.keys, "secondary": watched})
    samples = await scrape()
    assert samples["scoregate_key_safe_to_regenerate", labels(**secondary)] == 1
    assert ("scoregate_key_last_used_timestamp_seconds", labels(**secondary, value="current")) not in samples
    assert ("scoregate_key_expiry_timestamp_seconds", labels(**secondary)) not in samples
    assert not [name for name, known in samples if name.startswith("scoregate_key_") and ("service", "open") in known]
