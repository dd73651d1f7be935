"""From a request's path and host to the service it means, and the checks it must pass."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from gateway.core.exchange import ANONYMOUS, Exchange
from gateway.core.problem import Headers, Reply
from gateway.core.snapshot import ServiceEntry

Check = Callable[[Exchange], Reply | None]
Decorate = Callable[[Exchange], Headers]

SERVICE_PREFIX = b"/api/v1/service/"

_DOT_SEGMENT = re.compile(rb"(?:^|/)(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)


class Route:
    """A service compiled for one worker. `pools` and `meter` belong to the worker that made it."""

    __slots__ = ("checks", "decorate", "entry", "meter", "name", "pools", "rechecks", "spec")

    def __init__(
        self,
        entry: ServiceEntry,
        checks: Iterable[Check],
        decorate: Decorate | None,
        pools: tuple[tuple[int, Any], ...],
        meter: Any,
        *,
        rechecks: Iterable[tuple[Check, bool]] = (),
    ) -> None:
        """`pools`: (percent of traffic, pool) for each deployment that takes any. `rechecks`: see `decide_again`."""
        self.entry = entry
        self.name = entry.name
        self.spec = entry.spec
        self.checks = tuple(checks)
        self.rechecks = tuple(rechecks)
        self.decorate = decorate
        self.pools = pools
        self.meter = meter

    def decide(self, exchange: Exchange) -> Reply | None:
        """The first refusal or early answer, or None: the request may go on to admission."""
        for check in self.checks:
            reply = check(exchange)
            if reply is not None:
                return reply
        return None

    def decide_again(self, exchange: Exchange) -> Reply | None:
        """Like `decide`, for a head that passed before: only what depends on more than the head is asked.

        `rechecks`: (check, whether it comes after the credential). Whom an earlier one refuses nobody knows.
        """
        for check, is_introduced in self.rechecks:
            reply = check(exchange)
            if reply is not None:
                if not is_introduced:
                    exchange.caller = ANONYMOUS
                return reply
        return None


class Target(NamedTuple):
    """Where a request goes: its service, what is done there, and the path the backend sees."""

    route: Route
    operation: str
    path: bytes


class RouteTable:
    """Every route of a worker, found by exact path, by host, or by prefix for services with `extra_paths`."""

    __slots__ = ("_hosts", "_names", "_paths")

    def __init__(self) -> None:
        self._names: dict[bytes, Route] = {}
        self._paths: dict[bytes, Target] = {}
        self._hosts: dict[bytes, Route] = {}

    def __iter__(self) -> Iterator[Route]:
        return iter(self._names.values())

    def __len__(self) -> int:
        return len(self._names)

    def get(self, name: str) -> Route | None:
        """The route of a service, by name."""
        return self._names.get(name.encode())

    def put(self, route: Route) -> Route | None:
        """Serve this route in place of the one of the same name, which is returned."""
        old = self.remove(route.name)
        name = route.name.encode()
        self._names[name] = route
        for operation, path in _operations(route):
            self._paths[SERVICE_PREFIX + name + path[0]] = Target(route, operation, path[1])
        for host in route.spec.hosts:
            self._hosts[host.encode()] = route
        return old

    def remove(self, name: str) -> Route | None:
        """Serve this service no more."""
        route = self._names.pop(name.encode(), None)
        if route is None:
            return None
        for _, path in _operations(route):
            del self._paths[SERVICE_PREFIX + name.encode() + path[0]]
        for host in route.spec.hosts:
            # Another service may have taken the host over since.
            if self._hosts.get(host.encode()) is route:
                del self._hosts[host.encode()]
        return route

    def find(self, path: bytes, host: bytes) -> Target | None:
        """The target of a request, or None: nothing is served under this path."""
        target = self._paths.get(path)
        if target is not None:
            return target
        if self._hosts and (route := self._hosts.get(_host_name(host))):
            return _target_within(route, path)
        if path.startswith(SERVICE_PREFIX):
            name, slash, rest = path[len(SERVICE_PREFIX) :].partition(b"/")
            route = self._names.get(name)
            if route is not None and slash:
                return _target_within(route, slash + rest)
        return None


def _operations(route: Route) -> list[tuple[str, tuple[bytes, bytes]]]:
    """(operation, (path below the service, path at the backend)) for what every service has."""
    operations = [("score", (b"/score", route.spec.scoring_path.encode()))]
    if route.spec.swagger_path is not None:
        operations.append(("swagger", (b"/swagger.json", route.spec.swagger_path.encode())))
    return operations


def _target_within(route: Route, path: bytes) -> Target | None:
    for operation, (own, backend) in _operations(route):
        if path == own:
            return Target(route, operation, backend)
    if route.spec.extra_paths and not _DOT_SEGMENT.search(path):
        return Target(route, "extra", path)
    return None


def _host_name(host: bytes) -> bytes:
    """The host of a Host field, without port, in lower case."""
    name, _, port = host.rpartition(b":")
    return (name if name and port.isdigit() else host).lower()
