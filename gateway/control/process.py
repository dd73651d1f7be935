"""Runs the control process: wires its parts in the order in which they need each other, and takes them down in reverse.

The supervisor opens the sockets and hands them in; nothing here binds a port.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from gateway.control import founding, metrics, ready
from gateway.control.api.application import application
from gateway.control.api.credential import AdminToken, Gate
from gateway.control.api.keys import KeyOperations
from gateway.control.api.services import ServiceOperations
from gateway.control.api.view import View
from gateway.control.catalog import Catalog
from gateway.control.inventory import Inventory
from gateway.control.keyring import Keyring
from gateway.control.link import Link
from gateway.control.portal.pages import Portal
from gateway.control.probes import Probes
from gateway.control.refusal import StartError
from gateway.control.reload import Reloader, Source, Status
from gateway.control.resolver import Resolver
from gateway.control.rows import Rows
from gateway.control.served import Served
from gateway.control.service import Place, Service
from gateway.control.tally import Tally
from gateway.control.tokens import Issuer
from gateway.control.uri import Addresses
from gateway.core.record import SigningKeyRecord
from gateway.core.scoreboard import HealthBoard
from gateway.core.settings import Settings
from gateway.core.snapshot import Trust
from gateway.core.store import Store
from gateway.core.token import SigningKey
from gateway.core.vault import VaultError

HEARTBEAT_SECONDS = 0.5
TIDY_SECONDS = 1.0
GATHER_SECONDS = 5.0
"""After a restart of this process alone, old workers serve on: no change is made before they are back, or this long."""
SHUTDOWN_SECONDS = 2.0

__all__ = ["ControlPlane", "StartError", "run"]

log = logging.getLogger("gateway.control")


@dataclass(frozen=True, kw_only=True)
class ControlPlane:
    """What the control process is given. Paths in `settings` are absolute.

    `places`: where the services of the file are declared. `open_store` is called in the store's thread. `link_socket`
    (Unix), `admin_socket` and `metrics_socket` (TCP) listen already. URLs are as told in the ready file, with real
    ports and no trailing slash. `scoring_scheme` and `scoring_port` make the URLs shown to remote callers.
    `heartbeat` is called twice a second from the loop. `certificates`: those of each listener with TLS, as this process
    sees them. `source`: where the services came from, None where that cannot change; `hangup` is set to have it read.
    """

    settings: Settings
    places: Mapping[str, Place]
    open_store: Callable[[], Store]
    board: HealthBoard
    link_socket: socket.socket
    admin_socket: socket.socket
    metrics_socket: socket.socket
    admin_ssl: ssl.SSLContext | None
    workers: int
    scoring_scheme: str
    scoring_port: int
    scoring_url: str
    admin_url: str
    metrics_url: str
    ca_file: Path | None
    ready_file: Path | None
    supervisor_pid: int
    heartbeat: Callable[[], None]
    certificates: Mapping[str, metrics.Certificates]
    source: Source[Any] | None
    hangup: asyncio.Event


@dataclass(frozen=True, slots=True)
class _Opened:
    """What the store's thread found at the start."""

    store: Store
    keyring: Keyring
    trust: Trust
    signing_keys: tuple[SigningKeyRecord, ...]
    signing_key: SigningKey
    services: dict[str, Service]
    absent: set[str]
    admin_token: str
    status: Status


async def run(plane: ControlPlane, stop: asyncio.Event) -> None:
    """Serve until `stop` is set. Raises StartError or StoreError when the start fails; the text is for a person."""
    async with AsyncExitStack() as stack:
        _every(stack, HEARTBEAT_SECONDS, plane.heartbeat)
        thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        stack.callback(thread.shutdown)
        loop = asyncio.get_running_loop()
        opened = await loop.run_in_executor(thread, _open, plane)
        stack.push_async_callback(loop.run_in_executor, thread, opened.store.close)
        link, catalog, probes = await _start_core(plane, stack, opened, thread)
        _background(stack, _reloads(plane, catalog, opened.status))
        await _serve(stack, _admin(plane, opened, link, catalog, probes), plane.admin_socket, plane.admin_ssl)
        await _serve(stack, _metrics(plane, opened, link, catalog), plane.metrics_socket, None)
        announcing = loop.create_task(_announce(plane, link, catalog))
        stack.push_async_callback(_cancelled, announcing)
        stopping = loop.create_task(_wait(stop))
        stack.push_async_callback(_cancelled, stopping)
        await asyncio.wait((announcing, stopping), return_when=asyncio.FIRST_COMPLETED)
        if announcing.done():
            announcing.result()
        await stopping


def _open(plane: ControlPlane) -> _Opened:
    """All that blocks. The store is closed again if anything after it fails."""
    store = plane.open_store()
    try:
        now = datetime.now(UTC)
        foundation = founding.found(plane.settings, store, now)
        keyring = Keyring(foundation.vault, foundation.digest_key)
        records, active = founding.signing_keys(plane.settings, store, keyring, now)
        services, absent = Inventory(
            declared=plane.settings.services, places=plane.places, store=store, keyring=keyring, now=now
        ).take()
        return _Opened(
            store=store,
            keyring=keyring,
            trust=founding.trust(plane.settings, foundation, records, now),
            signing_keys=tuple(records),
            signing_key=keyring.signing_key(active),
            services=services,
            absent=absent,
            admin_token=founding.admin_token(plane.settings),
            status=Status(plane.settings),
        )
    except BaseException as error:
        store.close()
        if isinstance(error, VaultError):
            raise StartError(f"a secret in the store: {error}") from None
        raise


async def _start_core(
    plane: ControlPlane, stack: AsyncExitStack, opened: _Opened, thread: ThreadPoolExecutor
) -> tuple[Link, Catalog, Probes]:
    link = Link(tally=Tally())
    probes = Probes(plane.board)
    stack.push_async_callback(probes.close)
    resolver = Resolver()
    stack.push_async_callback(resolver.close)
    rows = Rows(plane.board)
    gathering = time.monotonic() + GATHER_SECONDS
    served = Served(
        keyring=opened.keyring,
        rows=rows,
        publisher=link,
        watches=(probes, resolver),
        addresses=resolver.addresses,
    )
    catalog = Catalog(
        store=opened.store,
        thread=thread,
        keyring=opened.keyring,
        served=served,
        settle=resolver.settle,
        settled=lambda: link.ready >= plane.workers or time.monotonic() > gathering,
    )
    try:
        await catalog.open(opened.services, opened.absent, opened.trust)
    except VaultError as error:
        raise StartError(f"a secret in the store: {error}") from None
    stack.push_async_callback(link.close)
    await link.start(plane.link_socket)
    _every(stack, TIDY_SECONDS, rows.release_idle)
    _background(stack, resolver.run(catalog.readdress))
    return link, catalog, probes


def _admin(plane: ControlPlane, opened: _Opened, link: Link, catalog: Catalog, probes: Probes) -> web.Application:
    settings = plane.settings
    addresses = Addresses(plane.scoring_scheme, plane.scoring_port, settings.scoring.public_url)
    view = View(catalog, probes, plane.board, addresses)
    token = AdminToken(opened.admin_token)
    issuer = Issuer(settings.tokens, opened.signing_key, opened.trust.issuer)
    app = application(
        gate=Gate(token, settings.admin.reveal_keys),
        services=ServiceOperations(catalog, view, link),
        keys=KeyOperations(catalog, issuer, opened.signing_keys),
    )
    Portal(catalog, view, token, secure=plane.admin_ssl is not None).add_to(app)
    return app


def _metrics(plane: ControlPlane, opened: _Opened, link: Link, catalog: Catalog) -> web.Application:
    own = metrics.Own(catalog, link, plane.board, opened.status, plane.certificates)
    return metrics.application(own=own, link=link, workers=plane.workers)


async def _reloads(plane: ControlPlane, catalog: Catalog, status: Status) -> None:
    if plane.source is not None:
        await Reloader(plane.source, catalog, plane.settings, status).run(plane.hangup)
    while True:
        await plane.hangup.wait()
        plane.hangup.clear()
        log.info("SIGHUP: there is no configuration file to read again")


async def _serve(
    stack: AsyncExitStack, app: web.Application, listener: socket.socket, tls: ssl.SSLContext | None
) -> None:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, listener, ssl_context=tls).start()


async def _announce(plane: ControlPlane, link: Link, catalog: Catalog) -> None:
    """Tell that everything accepts: admin and metrics do, and every worker serves all of the configuration."""
    await link.gathered(plane.workers)
    log.info(
        "ready: %d workers serve %d services on %s; admin API and portal on %s, metrics on %s/metrics",
        plane.workers,
        len(catalog.services),
        plane.scoring_url,
        plane.admin_url,
        plane.metrics_url,
    )
    if plane.ready_file is not None:
        content = ready.document(
            services=catalog.services.values(),
            scoring_url=plane.scoring_url,
            admin_url=plane.admin_url,
            metrics_url=plane.metrics_url,
            ca_file=plane.ca_file,
            admin_token_file=founding.admin_token_path(plane.settings),
            pid=plane.supervisor_pid,
        )
        ready.write(plane.ready_file, content)


def _every(stack: AsyncExitStack, seconds: float, call: Callable[[], None]) -> None:
    async def again() -> None:
        while True:
            call()
            await asyncio.sleep(seconds)

    _background(stack, again())


def _background(stack: AsyncExitStack, work: Coroutine[None, None, None]) -> None:
    stack.push_async_callback(_cancelled, asyncio.get_running_loop().create_task(work))


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
