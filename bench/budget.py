"""What the gateway may cost: the rows that decide whether a run is good, and those that only tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CPU = "cpu_us"


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit on `figure` of the line `line` of a scenario, against the line `to`; a row without `must` only tells.

    `relation`: what is limited: the `ratio` of the two, their `difference` times `scale`, or the figure `itself`.
    """

    what: str
    scenario: str
    line: str
    to: str = "nginx"
    must: float | None = None
    goal: float | None = None
    figure: str = CPU
    relation: Literal["ratio", "difference", "itself"] = "ratio"
    scale: float = 1.0
    unit: str = ""


def _headline(to: str, must: float, goal: float, scenario: str = "different-plain") -> Budget:
    return Budget(f"against {to}", scenario, "scoregate", to, must, goal)


def _added(what: str, figure: str, must: float, goal: float) -> Budget:
    title = f"added latency at 5,000 requests/s, 2 workers, TLS: {what}"
    return Budget(title, "latency", "scoregate", "direct", must, goal, figure, "difference", unit="ms")


def _idle(kind: str, must: float | None = None, goal: float | None = None) -> Budget:
    what, line = f"memory of an idle {kind} connection", f"scoregate, {kind}"
    return Budget(what, "idle", line, "", must, goal, "connection_kib", "itself", unit="KiB")


def _service_memory(what: str, line: str) -> Budget:
    figure, scale = "memory_mib", 1024 / 9_999
    return Budget(what, "services", line, "1 service", None, None, figure, "difference", scale, "KiB")


BUDGETS = [
    Budget("every head different, plain: the headline", "different-plain", "scoregate", "nginx", 2.7, 2.0),
    Budget("every head different, TLS 1.2", "different-tls", "scoregate", "nginx", 2.8, 2.0),
    Budget("repeated heads, plain", "repeated-plain", "scoregate", "nginx", 1.5, 1.0),
    Budget("repeated heads, TLS 1.2", "repeated-tls", "scoregate", "nginx", 1.6, 1.1),
    _headline("envoy", 0.6, 0.35),
    _headline("caddy", 0.6, 0.35),
    _headline("aiohttp", 0.2, 0.12),
    _headline("litellm", 0.02, 0.01),
    Budget("1 → 10,000 services, one of them asked", "services", "10,000 services, one asked", "1 service", 1.3, 1.1),
    Budget("1 → 10,000 services, all of them asked", "services", "10,000 services, all asked", "1 service", 1.3, 1.1),
    Budget("16 → 5,000 connections", "connections", "scoregate, 5,000", "scoregate, 16", 1.3, 1.1),
    Budget("token instead of key", "token", "token", "key", 1.1, 1.05),
    _idle("plain", 16, 8),
    *(
        Budget(f"refusal: {kind}", "refusals", kind, "nginx forwarding", 0.6, 0.4)
        for kind in ("401", "429", "preflight")
    ),
    _added("mean", "mean_ms", 3, 0.5),
    _added("p99", "p99_ms", 15, 3),
    _idle("TLS"),
    _service_memory("memory of a service", "10,000 services, one asked"),
    _service_memory("memory of a service that was asked, its connection kept", "10,000 services, all asked"),
    Budget("1 → 4 workers", "workers", "4 workers", "1 worker"),
]
