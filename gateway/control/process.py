"""Runs the control process: wires its parts in the order in which they need each other, and takes them down in reverse.

The supervisor opens the sockets and hands them in; nothing here binds a port.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

from gateway.control import founding, ready
from gateway.control.audit import AuditLog
from gateway.control.catalog import Catalog
from gateway.control.duties import background, cancelled, every
from gateway.control.link import Link
from gateway.control.plane import ControlPlane, Opened, find
from gateway.control.ports import Parts, open_ports
from gateway.control.probes import Probes
from gateway.control.refusal import StartError
from gateway.control.reload import Reloader, Status
from gateway.control.resolver import Resolver
from gateway.control.rows import Rows
from gateway.control.served import Served
from gateway.control.signing import LONE_SECONDS, SHARED_SECONDS, SigningKeys, is_shared
from gateway.control.tally import Tally
from gateway.control.tokens import Tokens
from gateway.control.uses import UseKeeper
from gateway.core.vault import VaultError

HEARTBEAT_SECONDS = 0.5
TIDY_SECONDS = 1.0
GATHER_SECONDS = 5.0
"""After a restart of this process alone, old workers serve on: no change is made before they are back, or this long."""

__all__ = ["ControlPlane", "StartError", "run"]

log = logging.getLogger("gateway.control")


async def run(plane: ControlPlane, stop: asyncio.Event) -> None:
    """Serve until `stop` is set. Raises StartError or StoreError when the start fails; the text is for a person."""
    async with AsyncExitStack() as stack:
        every(stack, HEARTBEAT_SECONDS, plane.heartbeat)
        thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        stack.callback(thread.shutdown)
        loop = asyncio.get_running_loop()
        opened = await loop.run_in_executor(thread, find, plane)
        stack.push_async_callback(loop.run_in_executor, thread, opened.store.close)
        audit = AuditLog(opened.store, thread)
        stack.push_async_callback(audit.close)
        background(stack, audit.run())
        parts = await _start_parts(plane, stack, opened, thread, audit)
        await audit.started(len(parts.catalog.services), opened.status.hash)
        background(stack, _reloads(plane, parts.catalog, opened.status, audit))
        await open_ports(parts, stack)
        announcing = loop.create_task(_announce(plane, parts.link, parts.catalog))
        stack.push_async_callback(cancelled, announcing)
        stopping = loop.create_task(_wait(stop))
        stack.push_async_callback(cancelled, stopping)
        await asyncio.wait((announcing, stopping), return_when=asyncio.FIRST_COMPLETED)
        if announcing.done():
            announcing.result()
        await stopping


async def _start_parts(
    plane: ControlPlane, stack: AsyncExitStack, opened: Opened, thread: ThreadPoolExecutor, audit: AuditLog
) -> Parts:
    keeper = UseKeeper(opened.uses, opened.store, thread)
    stack.push_async_callback(keeper.close)
    link = Link(tally=Tally(), keep_uses=keeper.keep)
    keys = SigningKeys(
        keys=opened.signing_keys, trust=opened.trust, key_store=opened.key_store, thread=thread, publisher=link
    )
    probes = Probes(plane.board)
    probes.listen()
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
        await catalog.open(opened.services, opened.absent, keys.trust)
    except VaultError as error:
        raise StartError(f"a secret in the store: {error}") from None
    stack.push_async_callback(link.close)
    await link.start(plane.link_socket)
    every(stack, TIDY_SECONDS, rows.release_idle)
    background(stack, resolver.run(catalog.readdress))
    background(stack, keeper.run(catalog.key_ids))
    tokens = Tokens(plane.settings.tokens, keys, catalog)
    background(stack, tokens.run(SHARED_SECONDS if is_shared(plane.settings) else LONE_SECONDS))
    return Parts(
        plane=plane,
        opened=opened,
        thread=thread,
        link=link,
        catalog=catalog,
        probes=probes,
        tokens=tokens,
        audit=audit,
    )


async def _reloads(plane: ControlPlane, catalog: Catalog, status: Status, audit: AuditLog) -> None:
    if plane.source is not None:
        await Reloader(plane.source, catalog, plane.settings, status, audit.reloaded).run(plane.hangup)
    while True:
        await plane.hangup.wait()
        plane.hangup.clear()
        log.info("SIGHUP: there is no configuration file to read again")


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


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
