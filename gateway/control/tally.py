"""Adds up what the workers counted, so that a worker that is replaced never makes a counter go backwards.

Pure bookkeeping. A life is one worker process: what it counted stays when it has died, its gauges do not.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from gateway.core.meter import BUCKETS, FROM_WORKERS

Row = tuple[str, tuple[str, ...], tuple[float, ...]]
Series = dict[tuple[str, tuple[str, ...]], tuple[float, ...]]
"""(metric name, label values) → values, as in `core.message.Counts`."""

HISTOGRAM_VALUES = len(BUCKETS) + 2
"""One for every bound, the unbounded bucket, the sum."""

_METRICS = {metric.name: metric for metric in FROM_WORKERS}


class Tally:
    """The newest counts of every life, and the sum of all that have ended."""

    def __init__(self) -> None:
        self._lives: dict[str, Series] = {}
        self._ended: Series = {}

    def record(self, life: str, rows: Iterable[Row]) -> None:
        """What this life counted so far, in place of what it said before. Rows of unknown shape are left out."""
        self._lives[life] = {(row[0], row[1]): row[2] for row in rows if _fits(row)}

    def end(self, life: str) -> None:
        """The process is gone: its counters are kept, its gauges are dropped."""
        for series, values in self._lives.pop(life, {}).items():
            if _METRICS[series[0]].kind != "gauge":
                _add(self._ended, series, values)

    def forget(self, service: str) -> None:
        """Drop what ended lives counted for a service that is no more, else names of the past would pile up."""
        for series in [series for series in self._ended if _service(series) == service]:
            del self._ended[series]

    def totals(self, connected: Container[str]) -> Series:
        """Sums over all lives; gauges only of those that are `connected` now."""
        sums = dict(self._ended)
        for life, rows in self._lives.items():
            for series, values in rows.items():
                if life in connected or _METRICS[series[0]].kind != "gauge":
                    _add(sums, series, values)
        return sums


def _fits(row: Row) -> bool:
    name, labels, values = row
    metric = _METRICS.get(name)
    if metric is None:
        return False
    return len(labels) == len(metric.labels) and len(values) == (HISTOGRAM_VALUES if metric.kind == "histogram" else 1)


def _service(series: tuple[str, tuple[str, ...]]) -> str | None:
    name, labels = series
    names = _METRICS[name].labels
    return labels[names.index("service")] if "service" in names else None


def _add(sums: Series, series: tuple[str, tuple[str, ...]], values: tuple[float, ...]) -> None:
    before = sums.get(series)
    sums[series] = values if before is None else tuple(map(sum, zip(before, values, strict=True)))
