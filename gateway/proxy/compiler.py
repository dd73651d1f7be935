"""From a snapshot entry to a route: checks compiled, pools shaped, connections kept where the backend is the same."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Callable, Iterator
from weakref import WeakValueDictionary

from gateway.core.admission import Backend, Board, Pool
from gateway.core.balance import compile_pick
from gateway.core.route import Route, RouteTable
from gateway.core.snapshot import BackendEntry, ServiceEntry, Update
from gateway.core.spec import ServiceSpec
from gateway.policy import World, compile_checks, compile_rechecks
from gateway.policy.cors import compile_decoration
from gateway.proxy.meters import Meters
from gateway.proxy.tls import backend_context
from gateway.proxy.upstream import Upstream

log = logging.getLogger("gateway.worker")


class Compiler:
    """Keeps a worker's route table what the control process last said. A failed entry leaves the old one in place."""

    __slots__ = ("_backends", "_board", "_loop", "_meters", "_pools", "_table", "_world")

    def __init__(
        self, table: RouteTable, world: World, board: Board, meters: Meters, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._table = table
        self._world = world
        self._board = board
        self._meters = meters
        self._loop = loop
        # A service that is deleted and made again while requests wait or run keeps its queue, and its order.
        self._pools: WeakValueDictionary[tuple[str, str], Pool] = WeakValueDictionary()
        self._backends: dict[BackendEntry, Backend] = {}

    def apply(self, update: Update, beat: Callable[[], None] = lambda: None) -> dict[str, str]:
        """Serve the update. Returns the services that kept their old entry, and why.

        `beat` is called for every service: ten thousand take seconds, and a worker that is silent for long is ended.
        """
        if update.trust is not None:
            self._world.replace_trust(update.trust)
        self._enroll(update)
        kept_old: dict[str, str] = {}
        left: list[ServiceEntry] = []
        for entry in update.services:
            beat()
            before = self._table.get(entry.name)
            try:
                self._table.put(self._compile(entry))
            except Exception as error:
                log.exception("the new entry of service %s cannot be served; the old one stays", entry.name)
                kept_old[entry.name] = f"{type(error).__name__}: {error}"
                left.append(entry)
            else:
                left += [before.entry] if before is not None else []
        for name in self._gone(update):
            route = self._table.get(name)
            left += [route.entry] if route is not None else []
            self._table.remove(name)
        self._forget_unused(left, update)
        return kept_old

    def close(self) -> None:
        """Close what is idle towards the backends: the worker ends."""
        for backend in self._backends.values():
            assert isinstance(backend.upstream, Upstream)
            backend.upstream.close()

    def _enroll(self, update: Update) -> None:
        """Named callers come before their services; those of a service that stays as it is get its checks anew."""
        self._world.dismiss(tuple(self._world.rosters) if update.full else update.removed)
        for change in update.rosters:
            self._world.enroll(change)
        compiled_anyway = {entry.name for entry in update.services}
        for name in {change.service for change in update.rosters} - compiled_anyway:
            route = self._table.get(name)
            if route is not None:
                checks = compile_checks(route.entry, self._world)
                rechecks = compile_rechecks(route.entry, self._world)
                self._table.put(Route(route.entry, checks, route.decorate, route.pools, route.meter, rechecks=rechecks))

    def _gone(self, update: Update) -> list[str]:
        if not update.full:
            return list(update.removed)
        named = {entry.name for entry in update.services}
        return [route.name for route in self._table if route.name not in named]

    def _compile(self, entry: ServiceEntry) -> Route:
        """Everything that can fail comes first: a pool is shared with the route that stays if this one fails."""
        checks = compile_checks(entry, self._world)
        decorate = compile_decoration(entry)
        context = self._backend_context(entry)
        backends = [
            (deployment, [self._backend(backend, entry.spec, context) for backend in deployment.backends])
            for deployment in entry.deployments
            if deployment.traffic
        ]
        pools = tuple((deployment.traffic, self._pool(entry, deployment.name, own)) for deployment, own in backends)
        rechecks = compile_rechecks(entry, self._world)
        return Route(entry, checks, decorate, pools, self._meters.of(entry.name), rechecks=rechecks)

    def _pool(self, entry: ServiceEntry, deployment: str, backends: list[Backend]) -> Pool:
        spec = entry.spec
        pool = self._pools.get((entry.name, deployment))
        if pool is None:
            pool = self._pools[entry.name, deployment] = Pool(deployment, self._board)
        pool.shape(
            backends,
            pick=compile_pick(spec.load_balancer, self._board.outstanding, random.random),
            limit=spec.max_concurrent_requests_per_container,
            max_waiting=spec.max_queue_length,
            ejection=spec.ejection,
            retry_percent=spec.retry.budget_percent,
        )
        return pool

    def _backend_context(self, entry: ServiceEntry) -> ssl.SSLContext | None:
        urls = (backend.url for deployment in entry.deployments for backend in deployment.backends)
        return backend_context(entry.spec.backend_tls) if any(map(_is_https, urls)) else None

    def _backend(self, entry: BackendEntry, spec: ServiceSpec, context: ssl.SSLContext | None) -> Backend:
        known = self._backends.get(entry)
        if known is not None and not _is_https(entry.url):
            return known
        backend = known or Backend(entry.url, entry.row, entry.address)
        if isinstance(backend.upstream, Upstream):
            # How it is verified may have changed: what was verified otherwise is used no more.
            backend.upstream.close()
        server_name = spec.backend_tls.server_name if spec.backend_tls else None
        own = context if _is_https(entry.url) else None
        backend.upstream = Upstream(entry.url, self._loop, own, server_name, entry.address)
        self._backends[entry] = backend
        return backend

    def _forget_unused(self, left: list[ServiceEntry], update: Update) -> None:
        """Close the backends of entries that are served no more; other services than these have rows of their own."""
        routes = filter(None, (self._table.get(entry.name) for entry in update.services))
        used = {backend for route in routes for backend in _backends_of(route.entry)}
        for unused in {backend for entry in left for backend in _backends_of(entry)} - used:
            backend = self._backends.pop(unused, None)
            if backend is not None:
                assert isinstance(backend.upstream, Upstream)
                backend.upstream.close()


def _backends_of(entry: ServiceEntry) -> Iterator[BackendEntry]:
    return (backend for deployment in entry.deployments if deployment.traffic for backend in deployment.backends)


def _is_https(url: str) -> bool:
    return url.startswith("https:")
