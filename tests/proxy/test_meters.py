"""What a worker counts, and the rows in which the control process hears of it."""

from __future__ import annotations

import pytest

from gateway.core import meter
from gateway.core.meter import BUCKETS
from gateway.proxy.meters import OTHER, Histogram, Meters


def rows(meters: Meters, connections=0, turned_away=(), log_dropped=0):
    """(metric, labels) → values; each must stand once."""
    listed = meters.rows(connections, dict(turned_away), log_dropped)
    table = {(name, labels): values for name, labels, values in listed}
    assert len(table) == len(listed)
    return table


@pytest.mark.parametrize(("seconds", "bucket"), [(0.0, 0), (0.005, 0), (0.0051, 1), (300.0, 15), (301.0, 16)])
def test_buckets(seconds: float, bucket: int) -> None:
    """A duration falls into the first bucket that is not below it; the last one has no bound."""
    histogram = Histogram()
    histogram.observe(seconds)
    values = histogram.values()
    assert len(values) == len(BUCKETS) + 2
    assert values[bucket] == 1
    assert sum(values[:-1]) == 1
    assert values[-1] == seconds


def test_rows() -> None:
    """Everything counted for a service is in the rows, under the names that stay."""
    meters = Meters()
    svc = meters.of("svc")
    svc.durations[200].observe(0.1)
    svc.durations[200].observe(0.2)
    svc.durations[404].observe(0.1)
    svc.refusals["rate_limited"] += 3
    svc.timeouts["queue"] += 5
    svc.errors["refused"] += 1
    svc.key_uses["primary"] += 2
    svc.retries["closed"] += 6
    svc.retries_over_budget, svc.ejections = 8, 9
    svc.in_flight, svc.queued = 4, 1
    table = rows(meters, connections=7, turned_away={"total": 2}, log_dropped=10)
    assert table[meter.CONNECTIONS.name, ()] == (7,)
    assert table[meter.TURNED_AWAY.name, ("total",)] == (2,)
    assert table[meter.LOG_DROPPED.name, ()] == (10,)
    assert table[meter.RETRIES.name, ("svc", "closed")] == (6,)
    assert table[meter.RETRIES_OVER_BUDGET.name, ("svc",)] == (8,)
    assert table[meter.EJECTIONS.name, ("svc",)] == (9,)
    assert table[meter.REQUESTS.name, ("svc", "200")] == (2,)
    assert table[meter.REQUESTS.name, ("svc", "404")] == (1,)
    assert table[meter.DURATION.name, ("svc", "200")][-1] == pytest.approx(0.3)
    assert table[meter.REFUSALS.name, ("svc", "rate_limited")] == (3,)
    assert table[meter.TIMEOUTS.name, ("svc", "queue")] == (5,)
    assert table[meter.UPSTREAM_ERRORS.name, ("svc", "refused")] == (1,)
    assert table[meter.KEY_USES.name, ("svc", "primary")] == (2,)
    assert table[meter.IN_FLIGHT.name, ("svc",)] == (4,)
    assert table[meter.QUEUED.name, ("svc",)] == (1,)


def test_every_row_is_declared() -> None:
    """No row has a name or a number of labels that the control process does not know."""
    meters = Meters()
    meters.of("svc").durations[200].observe(1)
    svc = meters.of("svc")
    for counts in (svc.refusals, svc.timeouts, svc.errors, svc.retries, svc.key_uses):
        counts["x"] += 1
    declared = {metric.name: metric for metric in meter.FROM_WORKERS}
    listed = meters.rows(0, {"address": 1}, 0)
    assert {name for name, _, _ in listed} == set(declared)
    for name, labels, values in listed:
        assert len(labels) == len(declared[name].labels)
        assert len(values) == (len(BUCKETS) + 2 if declared[name].kind == "histogram" else 1)


def test_same_service_same_meter() -> None:
    """A service keeps its counters for as long as the worker lives."""
    meters = Meters()
    assert meters.of("svc") is meters.of("svc")
    assert meters.of(OTHER) is not meters.of("svc")


def test_control_a_row_twice_is_seen() -> None:
    """Control: the reader of these tests refuses the same series twice."""

    class Doubling(Meters):
        def rows(self, *counts):
            return super().rows(*counts) * 2

    with pytest.raises(AssertionError):
        rows(Doubling())
