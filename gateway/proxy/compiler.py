"""From a snapshot entry to a route: checks compiled, pools shaped, connections kept where the backend is the same."""

from __future__ import annotations

import asyncio
import logging

from gateway.core.admission import Backend, Board, Pool
from gateway.core.route import Route, RouteTable
from gateway.core.snapshot import BackendEntry, ServiceEntry, Update
from gateway.core.spec import ServiceSpec
from gateway.policy import World, compile_checks
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
        self._pools: dict[tuple[str, str], Pool] = {}
        self._backends: dict[tuple[str, int], Backend] = {}

    def apply(self, update: Update) -> dict[str, str]:
        """Serve the update. Returns the services that kept their old entry, and why."""
        if update.trust is not None:
            self._world.replace_trust(update.trust)
        kept_old: dict[str, str] = {}
        for entry in update.services:
            try:
                self._table.put(self._compile(entry))
            except Exception as error:
                log.exception("the new entry of service %s cannot be served; the old one stays", entry.name)
                kept_old[entry.name] = f"{type(error).__name__}: {error}"
        for name in self._gone(update):
            self._table.remove(name)
        self._forget_unused()
        return kept_old

    def _gone(self, update: Update) -> list[str]:
        if not update.full:
            return list(update.removed)
        named = {entry.name for entry in update.services}
        return [route.name for route in self._table if route.name not in named]

    def _compile(self, entry: ServiceEntry) -> Route:
        checks = compile_checks(entry, self._world)
        pools = tuple(
            (deployment.traffic, self._pool(entry, deployment.name, deployment.backends))
            for deployment in entry.deployments
            if deployment.traffic
        )
        return Route(entry, checks, compile_decoration(entry), pools, self._meters.of(entry.name))

    def _pool(self, entry: ServiceEntry, deployment: str, backends: tuple[BackendEntry, ...]) -> Pool:
        spec = entry.spec
        pool = self._pools.get((entry.name, deployment))
        if pool is None:
            pool = self._pools[entry.name, deployment] = Pool(deployment, self._board)
        pool.shape(
            [self._backend(backend, spec) for backend in backends],
            limit=spec.max_concurrent_requests_per_container,
            max_waiting=spec.max_queue_length,
        )
        return pool

    def _backend(self, entry: BackendEntry, spec: ServiceSpec) -> Backend:
        known = self._backends.get((entry.url, entry.row))
        if known is not None and not entry.url.startswith("https:"):
            return known
        context = backend_context(spec.backend_tls) if entry.url.startswith("https:") else None
        server_name = spec.backend_tls.server_name if spec.backend_tls else None
        backend = known or Backend(entry.url, entry.row)
        backend.upstream = Upstream(entry.url, self._loop, context, server_name)
        self._backends[entry.url, entry.row] = backend
        return backend

    def _forget_unused(self) -> None:
        used = {
            (backend.url, backend.row) for route in self._table for _, pool in route.pools for backend in pool.backends
        }
        for key in self._backends.keys() - used:
            upstream = self._backends.pop(key).upstream
            assert isinstance(upstream, Upstream)
            upstream.close()
        served = {(route.name, pool.deployment) for route in self._table for _, pool in route.pools}
        for gone in self._pools.keys() - served:
            del self._pools[gone]
