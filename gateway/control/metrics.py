"""What Prometheus scrapes: the workers' counts summed, and what only the control process knows. Own port, plain HTTP.

Which families there are stands in `core.meter`. A page of 10,000 services takes long to write: that is done in a
thread, so that a scrape delays neither acknowledgements nor the heartbeat.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway import __version__
from gateway.control.advice import advice
from gateway.control.catalog import Catalog
from gateway.control.link import Link
from gateway.control.reload import Status
from gateway.control.tally import Series
from gateway.control.uses import Uses
from gateway.core import meter
from gateway.core.ejection import OUT
from gateway.core.record import KeyRecord, Slot
from gateway.core.scoreboard import HealthBoard

Labelled = tuple[tuple[str, ...], float]


class Scrape(Collector):
    """One scrape: values taken at one moment, turned into families."""

    def __init__(self, counted: Series, gauges: Mapping[meter.Metric, Iterable[Labelled]]) -> None:
        self._counted = counted
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        """All families, those without a sample included: a dashboard finds its names from the first scrape on."""
        rows: dict[str, list[tuple[tuple[str, ...], tuple[float, ...]]]] = {}
        for (name, labels), values in self._counted.items():
            rows.setdefault(name, []).append((labels, values))
        for metric in meter.FROM_WORKERS:
            yield _family(metric, rows.get(metric.name, []))
        for metric, samples in self._gauges.items():
            yield _family(metric, [(labels, (value,)) for labels, value in samples])


class Certificates(Protocol):
    """What a listener serves: `proxy.certificates`. `expires`: Unix seconds; `failed`: a change could not be served."""

    @property
    def expires(self) -> float:
        """When the first of them expires."""

    @property
    def failed(self) -> bool:
        """Whether the files say something else."""


@dataclass(frozen=True, slots=True)
class Own:
    """What only the control process knows. `certificates`: listener → what it serves."""

    catalog: Catalog
    link: Link
    board: HealthBoard
    status: Status
    certificates: Mapping[str, Certificates]
    uses: Uses

    def gauges(self) -> dict[meter.Metric, Iterable[Labelled]]:
        """All of it, now; what takes long with many services is worked out when it is iterated, in any thread."""
        return {
            **self._services(),
            **self._keys(),
            meter.WORKERS_READY: [((), float(self.link.ready))],
            meter.BUILD_INFO: [((__version__,), 1.0)],
            **self._configuration(),
            meter.CERTIFICATE_EXPIRY: [((name,), one.expires) for name, one in self.certificates.items()],
            meter.CERTIFICATE_RELOAD_FAILED: [((name,), float(one.failed)) for name, one in self.certificates.items()],
        }

    def _services(self) -> dict[meter.Metric, list[Labelled]]:
        ups: list[Labelled] = []
        ejected: list[Labelled] = []
        doors: list[Labelled] = []
        for name, service in self.catalog.services.items():
            doors.append(((name,), float(not service.spec.key_auth and not service.spec.token_auth)))
            for deployment in self.catalog.entry(name).deployments:
                for one in deployment.backends:
                    labels = name, deployment.name, one.url, one.address
                    ups.append((labels, float(self.board.healthy(one.row))))
                    ejected.append((labels, float(self.board.standing(one.row) in OUT)))
        return {meter.BACKEND_UP: ups, meter.BACKEND_EJECTED: ejected, meter.OPEN_DOOR: doors}

    def _keys(self) -> dict[meter.Metric, Iterable[Labelled]]:
        services = [service for service in self.catalog.services.values() if service.spec.key_auth]
        keys = [((one.name, slot), record) for one in services for slot, record in one.keys.items()]
        now = datetime.now(UTC)
        return {
            meter.KEY_LAST_USED: _last_used(keys, self.uses),
            meter.KEY_SAFE_TO_REGENERATE: (
                (place, float(advice(record, self.uses, now).is_safe)) for place, record in keys
            ),
            meter.KEY_EXPIRY: (
                (place, record.expires_at.timestamp()) for place, record in keys if record.expires_at is not None
            ),
        }

    def _configuration(self) -> dict[meter.Metric, list[Labelled]]:
        status = self.status
        return {
            meter.CONFIG_RELOADS: [((result,), float(count)) for result, count in status.reloads.items()],
            meter.CONFIG_LAST_RELOAD_SUCCESSFUL: [((), float(status.is_successful))],
            meter.CONFIG_LAST_RELOAD_SUCCESS: [((), status.succeeded_at)],
            meter.CONFIG_SERVICE_KEPT: [((name,), 1.0) for name in status.kept],
            meter.CONFIG_INFO: [((status.hash,), 1.0)],
        }


def application(*, own: Own, link: Link, workers: int) -> web.Application:
    """`/metrics`, and for people copies of the workers' `/livez` and `/readyz`."""
    processes = CollectorRegistry()
    ProcessCollector(registry=processes)

    async def scrape(request: web.Request) -> web.Response:
        counted = await link.collect()
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Scrape(counted, own.gauges()))
        registry.register(_Chained(processes))
        encoder, content_type = choose_encoder(request.headers.get("Accept", ""))
        body = await asyncio.to_thread(encoder, registry)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def livez(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        text = f"{link.ready} of {workers} workers serve the newest configuration\n"
        return web.Response(text=text, status=200 if link.ready else 503)

    app = web.Application()
    app.router.add_get("/metrics", scrape)
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    return app


class _Chained(Collector):
    """Families of another registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        return self._registry.collect()


def _last_used(keys: Sequence[tuple[tuple[str, Slot], KeyRecord]], uses: Uses) -> Iterator[Labelled]:
    for place, record in keys:
        for value, key in (("current", record), ("former", record.former)):
            last = None if key is None else uses.last_used(key.id)
            if last is not None:
                yield (*place, value), float(last)


def _family(metric: meter.Metric, rows: Iterable[tuple[tuple[str, ...], tuple[float, ...]]]) -> Metric:
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, values in rows:
            histogram.add_metric(labels, _cumulative(values[:-1]), values[-1])
        return histogram
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    for labels, values in rows:
        family.add_metric(labels, values[0])
    return family


def _cumulative(counts: tuple[float, ...]) -> list[tuple[str, float]]:
    bounds = [*map(str, meter.BUCKETS), "+Inf"]
    return list(zip(bounds, itertools.accumulate(counts), strict=True))
