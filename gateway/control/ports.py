"""What the control process serves: the admin API with the portal, the lane of the workers, the metrics."""

from __future__ import annotations

import socket
import ssl
from concurrent.futures import Executor
from contextlib import AsyncExitStack
from dataclasses import dataclass

from aiohttp import ClientSession, web

from gateway.control import founding, lane, metrics
from gateway.control.api.application import application
from gateway.control.api.attempts import Attempts
from gateway.control.api.callers import CallerOperations
from gateway.control.api.credential import AdminToken, Gate
from gateway.control.api.keys import KeyOperations
from gateway.control.api.master_keys import MasterKeyOperations
from gateway.control.api.services import ServiceOperations
from gateway.control.api.tokens import TokenOperations
from gateway.control.api.view import View
from gateway.control.audit import AuditLog
from gateway.control.callers import Callers
from gateway.control.catalog import Catalog
from gateway.control.duties import every
from gateway.control.failures import Failures
from gateway.control.link import Link
from gateway.control.master_keys import MasterKeys
from gateway.control.oidc import Identities, Provider
from gateway.control.plane import ControlPlane, Opened
from gateway.control.portal.pages import Portal
from gateway.control.probes import Probes
from gateway.control.token_file import LOOK_SECONDS, TokenFile
from gateway.control.tokens import Tokens
from gateway.control.uri import Addresses
from gateway.core.settings import OidcSettings

SHUTDOWN_SECONDS = 2.0
MAX_FIELD_BYTES = 32_768
"""A provider that lists groups makes tokens larger than the 8 KiB that aiohttp takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What runs behind the ports."""

    plane: ControlPlane
    opened: Opened
    thread: Executor
    link: Link
    catalog: Catalog
    probes: Probes
    tokens: Tokens
    audit: AuditLog


async def open_ports(parts: Parts, stack: AsyncExitStack) -> None:
    """Serve on every socket of the plane, until the stack unwinds."""
    plane, settings = parts.plane, parts.plane.settings
    identities = _identities(settings.admin.oidc, stack)
    attempts = Attempts(Failures(settings.admin.max_auth_failures_per_minute), parts.audit)
    admin = _admin(parts, stack, identities, attempts)
    await _serve(stack, admin, plane.admin_socket, plane.admin_ssl)
    if plane.lane_socket is not None:
        exchange = None
        if settings.tokens.exchange and identities is not None:
            exchange = lane.Exchange(parts.catalog, parts.tokens, identities, attempts)
        await _serve(stack, lane.application(exchange, parts.audit), plane.lane_socket, None)
    await _serve(stack, _metrics(parts), plane.metrics_socket, None)


def _admin(parts: Parts, stack: AsyncExitStack, identities: Identities | None, attempts: Attempts) -> web.Application:
    plane, opened, catalog, settings = parts.plane, parts.opened, parts.catalog, parts.plane.settings
    addresses = Addresses(plane.scoring_scheme, plane.scoring_port, settings.scoring.public_url)
    view = View(catalog, parts.probes, plane.board, addresses)
    token = AdminToken(opened.admin_token)
    master_keys = MasterKeys(opened.foundation.master_keys, opened.foundation.vault, opened.store, parts.thread)
    reveals = settings.admin.reveal_keys != "never"
    app = application(
        gate=Gate(token, settings.admin.reveal_keys, attempts, identities),
        services=ServiceOperations(catalog, view, parts.link),
        keys=KeyOperations(catalog, opened.uses),
        callers=CallerOperations(Callers(catalog, opened.keyring), opened.uses, reveals=reveals),
        tokens=TokenOperations(catalog, parts.tokens),
        master_keys=MasterKeyOperations(master_keys),
        audit=parts.audit,
    )
    portal = Portal(catalog, view, token, attempts, secure=plane.admin_ssl is not None)
    portal.add_to(app)

    def replaced(value: str) -> None:
        portal.replace_token(value)
        parts.audit.token_replaced()

    token_file = TokenFile(founding.admin_token_path(settings), opened.admin_token, replaced)
    every(stack, LOOK_SECONDS, token_file.look)
    return app


def _identities(settings: OidcSettings | None, stack: AsyncExitStack) -> Identities | None:
    if settings is None:
        return None
    provider = Provider(settings.issuer, ClientSession())
    stack.push_async_callback(provider.close)
    provider.fetch()
    return Identities(settings, provider)


def _metrics(parts: Parts) -> web.Application:
    plane, opened = parts.plane, parts.opened
    own = metrics.Own(parts.catalog, parts.link, plane.board, opened.status, plane.certificates, opened.uses)
    return metrics.application(own=own, link=parts.link, workers=plane.workers)


async def _serve(
    stack: AsyncExitStack, app: web.Application, listener: socket.socket, tls: ssl.SSLContext | None
) -> None:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS, max_field_size=MAX_FIELD_BYTES)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, listener, ssl_context=tls).start()
