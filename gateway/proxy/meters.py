"""What a worker counts, as plain integers: no locks, no label look-ups on the path of a request.

Shown to the control process as the rows of `core.message.Counts`, under the names of `core.meter`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from gateway.core import meter
from gateway.core.meter import BUCKETS, Metric

Row = tuple[str, tuple[str, ...], tuple[float, ...]]
OTHER = "other"
"""The service label of requests that meant no service."""
NAMED = "caller"
"""The slot label of all named callers together: a series for each would be as many as a service has customers."""


class Histogram:
    """Bucket counts, not cumulative, and the sum of what was observed."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds

    def values(self) -> tuple[float, ...]:
        """As `core.meter` says: buckets, then the sum."""
        return (*self.counts, self.total)


class ServiceMeter:
    """The counts of one service. They outlive a change of the service: the worker keeps them by name.

    `key_uses`: by slot, for the metric. `uses`: by the id of the key, since they were last taken.
    """

    __slots__ = (
        "backend_durations",
        "durations",
        "ejections",
        "errors",
        "in_flight",
        "key_uses",
        "name",
        "queue_waits",
        "queued",
        "refusals",
        "retries",
        "retries_over_budget",
        "timeouts",
        "uses",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.durations: defaultdict[int, Histogram] = defaultdict(Histogram)
        self.backend_durations = Histogram()
        self.queue_waits = Histogram()
        self.refusals: defaultdict[str, int] = defaultdict(int)
        self.timeouts: defaultdict[str, int] = defaultdict(int)
        self.errors: defaultdict[str, int] = defaultdict(int)
        self.retries: defaultdict[str, int] = defaultdict(int)
        self.retries_over_budget = 0
        self.ejections = 0
        self.key_uses: defaultdict[str, int] = defaultdict(int)
        self.uses: defaultdict[str, int] = defaultdict(int)
        self.in_flight = 0
        self.queued = 0

    def rows(self) -> Iterator[Row]:
        """Everything counted for this service."""
        name = self.name
        for status, histogram in self.durations.items():
            yield _row(meter.REQUESTS, (name, str(status)), (sum(histogram.counts),))
            yield _row(meter.DURATION, (name, str(status)), histogram.values())
        yield _row(meter.BACKEND_DURATION, (name,), self.backend_durations.values())
        yield _row(meter.QUEUE_WAIT, (name,), self.queue_waits.values())
        for metric, counts in (
            (meter.REFUSALS, self.refusals),
            (meter.TIMEOUTS, self.timeouts),
            (meter.UPSTREAM_ERRORS, self.errors),
            (meter.RETRIES, self.retries),
            (meter.KEY_USES, self.key_uses),
        ):
            for label, count in counts.items():
                yield _row(metric, (name, label), (count,))
        yield _row(meter.RETRIES_OVER_BUDGET, (name,), (self.retries_over_budget,))
        yield _row(meter.EJECTIONS, (name,), (self.ejections,))
        yield _row(meter.IN_FLIGHT, (name,), (self.in_flight,))
        yield _row(meter.QUEUED, (name,), (self.queued,))


class Meters:
    """All services' meters of one worker. A service that is gone keeps its counters: they never go backwards."""

    __slots__ = ("_services",)

    def __init__(self) -> None:
        self._services: dict[str, ServiceMeter] = {}

    def of(self, service: str) -> ServiceMeter:
        """The meter of a service, made when first asked for."""
        return self._services.setdefault(service, ServiceMeter(service))

    def take_uses(self) -> Iterator[tuple[str, str, int]]:
        """(service, id of the key, how often) since the last time."""
        for service in self._services.values():
            if service.uses:
                for key_id, count in service.uses.items():
                    yield service.name, key_id, count
                service.uses.clear()

    def rows(self, connections: int, turned_away: Mapping[str, int], log_dropped: int) -> list[Row]:
        """Everything this worker has counted."""
        rows: list[Row] = [_row(meter.CONNECTIONS, (), (connections,)), _row(meter.LOG_DROPPED, (), (log_dropped,))]
        rows += [_row(meter.TURNED_AWAY, (reason,), (count,)) for reason, count in turned_away.items()]
        for service in self._services.values():
            rows.extend(service.rows())
        return rows


def _row(metric: Metric, labels: Iterable[str], values: Iterable[float]) -> Row:
    return metric.name, tuple(labels), tuple(values)
