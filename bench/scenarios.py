"""What is compared: every scenario with its contestants, each an own table of the report."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from bench import machine
from bench.connecting import Connecting
from bench.contest import Contestant
from bench.idle import Idle
from bench.load import Load
from bench.open_loop import OpenLoop
from bench.peers import DIRECT, SCOREGATE
from bench.peers.peer import ORIGIN, Peer, Setting
from bench.request import Request
from bench.wrk import Wrk

Compose = Callable[[Setting, Collection[Peer]], list[Contestant]]
"""The contestants, given what is common to all and the peers that are there."""

CLOSED_LOOP = ("cpu_us", "per_second", "p50_ms", "p99_ms", "memory_mib")
PROXIES = ("nginx", "haproxy", "envoy", "caddy")
MANY_SERVICES = 10_000
SIZES = {
    "0.1 KB": (100, 16),
    "1 KB": (1_000, 16),
    "10 KB": (10_000, 16),
    "100 KB": (100_000, 16),
    "1 MB": (1_000_000, 4),
    "10 MB": (10_000_000, 2),
}
"""Bytes, and connections: few where a round has few requests, since it ends amid so many."""
DIFFERENT, REPEATED = Request(), Request(different=False)
UNKNOWN = Request(varying="x-bench")
"""Different in a field that the gateway's head memo does not expect to differ: it recognizes none of these."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One table. `peers`: who takes part, if there; `columns`: figures shown; `stretch`: makes its rounds longer."""

    name: str
    title: str
    compose: Compose
    peers: tuple[str, ...] = ("nginx",)
    columns: tuple[str, ...] = CLOSED_LOOP
    stretch: int = 1


def _everyone(request: Request, *, tls: bool) -> Compose:
    def compose(setting: Setting, peers: Collection[Peer]) -> list[Contestant]:
        own = replace(setting, tls=tls)
        return [
            Contestant(peer.name, peer, own, Wrk(replace(request, body=peer.document), peer.connections))
            for peer in (SCOREGATE, *peers)
        ]

    return compose


def _services(setting: Setting, _: Collection[Peer]) -> list[Contestant]:
    many = replace(setting, services=MANY_SERVICES)
    every = Wrk(replace(DIFFERENT, services=MANY_SERVICES))
    return [
        Contestant("1 service", SCOREGATE, setting, Wrk(DIFFERENT), "1 service"),
        Contestant("10,000 services, one asked", SCOREGATE, many, Wrk(DIFFERENT), "1 service"),
        # On a server of its own: what it keeps for each asked service is no memory of the services themselves.
        Contestant("10,000 services, all asked", SCOREGATE, replace(many, instance=1), every, "1 service"),
    ]


def _connections(setting: Setting, peers: Collection[Peer]) -> list[Contestant]:
    return [
        Contestant(
            f"{peer.name}, {count:,}",
            peer,
            # What 5,000 closed connections leave to tidy up is not charged to the 16.
            replace(setting, instance=count),
            Wrk(DIFFERENT, count),
            f"{peer.name}, 16",
        )
        for peer in (SCOREGATE, *peers)
        for count in (16, 5_000)
    ]


def _token(setting: Setting, _: Collection[Peer]) -> list[Contestant]:
    own = replace(setting, tokens=True)
    by_token = replace(DIFFERENT, by_token=True)
    return [
        Contestant("key", SCOREGATE, own, Wrk(DIFFERENT), "key"),
        Contestant("token", SCOREGATE, own, Wrk(by_token), "key"),
    ]


def _refusals(setting: Setting, peers: Collection[Peer]) -> list[Contestant]:
    wrong = replace(DIFFERENT, credential="sk-another-key", status=401)
    asking = (("Origin", ORIGIN), ("Access-Control-Request-Method", "POST"))
    preflight = replace(DIFFERENT, method="OPTIONS", credential="", body=b"", fields=asking, status=204)
    return [
        *(Contestant("nginx forwarding", peer, setting, Wrk(DIFFERENT), "nginx forwarding") for peer in peers),
        Contestant("401", SCOREGATE, setting, Wrk(wrong), "nginx forwarding"),
        Contestant(
            "429", SCOREGATE, replace(setting, limit=1), Wrk(replace(DIFFERENT, status=429)), "nginx forwarding"
        ),
        Contestant("preflight", SCOREGATE, replace(setting, cors=True), Wrk(preflight), "nginx forwarding"),
    ]


def _idle(setting: Setting, peers: Collection[Peer]) -> list[Contestant]:
    return [
        Contestant(f"{peer.name}, {name}", peer, replace(setting, tls=tls), Idle(DIFFERENT))
        for name, tls in (("plain", False), ("TLS", True))
        for peer in (SCOREGATE, *peers)
    ]


def _latency(setting: Setting, peers: Collection[Peer]) -> list[Contestant]:
    own = replace(setting, tls=True, workers=2, cores=machine.cores(2))
    load = OpenLoop(DIFFERENT, 5_000)
    nobody = OpenLoop(replace(DIFFERENT, credential=""), 5_000)
    proxies = [Contestant(peer.name, peer, own, load, "direct") for peer in (SCOREGATE, *peers)]
    return [Contestant("direct", DIRECT, setting, nobody), *proxies]


def _workers(setting: Setting, _: Collection[Peer]) -> list[Contestant]:
    def of(label: str, count: int) -> Contestant:
        own = replace(setting, workers=count, cores=machine.cores(count))
        return Contestant(label, SCOREGATE, own, Wrk(DIFFERENT), "1 worker")

    return [of("1 worker", 1), of("2 workers", 2), of("4 workers", 4)]


def _bodies(setting: Setting, peers: Collection[Peer]) -> list[Contestant]:
    own = replace(setting, answer="/same")
    return [
        Contestant(
            f"{peer.name}, {name}", peer, own, Wrk(replace(DIFFERENT, body=b"0" * size), count), f"nginx, {name}"
        )
        for name, (size, count) in SIZES.items()
        for peer in (SCOREGATE, *peers)
    ]


def _connecting(setting: Setting, peers: Collection[Peer]) -> list[Contestant]:
    kinds: dict[str, tuple[bool, Load]] = {
        "plain": (False, Connecting(DIFFERENT)),
        "TLS, full": (True, Connecting(DIFFERENT)),
        "TLS, resumed": (True, Connecting(DIFFERENT, resumes=True)),
    }
    return [
        Contestant(f"{peer.name}, {name}", peer, replace(setting, tls=tls), load, f"nginx, {name}")
        for name, (tls, load) in kinds.items()
        for peer in (SCOREGATE, *peers)
    ]


SCENARIOS = [
    Scenario(
        "different-plain",
        "Every head different, plain: the headline",
        _everyone(DIFFERENT, tls=False),
        (*PROXIES, "aiohttp", "litellm"),
    ),
    Scenario("different-tls", "Every head different, TLS 1.2", _everyone(DIFFERENT, tls=True), (*PROXIES, "aiohttp")),
    Scenario("unknown-plain", "Every head different, in a field of no meaning, plain", _everyone(UNKNOWN, tls=False)),
    Scenario("repeated-plain", "Repeated heads, plain", _everyone(REPEATED, tls=False), PROXIES),
    Scenario("repeated-tls", "Repeated heads, TLS 1.2", _everyone(REPEATED, tls=True), PROXIES),
    Scenario("services", "1 → 10,000 services", _services, peers=()),
    Scenario("connections", "16 → 5,000 connections", _connections, stretch=5),
    Scenario("token", "Token instead of key", _token, peers=()),
    Scenario("refusals", "Refusals, beside nginx forwarding", _refusals),
    Scenario("idle", "Idle connections", _idle, columns=("connection_kib", "memory_mib")),
    Scenario(
        "latency",
        "Open loop: 5,000 requests/s, TLS 1.2, 2 workers",
        _latency,
        columns=("mean_ms", "p50_ms", "p99_ms", "late_ms", "per_second", "cpu_us"),
        stretch=2,
    ),
    Scenario("workers", "1 → 4 workers", _workers, peers=()),
    Scenario("bodies", "Bodies of one size, both ways", _bodies, columns=(*CLOSED_LOOP, "answered_mb")),
    Scenario(
        "connecting",
        "New connections, one request each",
        _connecting,
        columns=("cpu_us", "per_core", "per_second", "memory_mib"),
    ),
]
