"""Connections to one backend: kept open, handed out newest first, each carrying one request at a time."""

from __future__ import annotations

import asyncio
import errno
import ssl
import time
from urllib.parse import urlsplit

from gateway.proxy.connection import Connection, UpstreamError
from gateway.proxy.journey import PAUSE, Journey

IDLE_SECONDS = 4.0
"""Kept connections are used again only for this long: common servers close theirs after 5 s, and a request sent into a
closing connection is lost without a sign whether it was computed."""
HASTY_SECONDS = 0.2
DISTRUST_SECONDS = 30.0
"""A backend that closes so soon after an answer, without saying so, is sent one request a connection for a while."""
OUR_OWN_FAULT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
"""This process or machine ran out of descriptors, memory or ports: that says nothing about the backend."""


class Upstream:
    """Everything this worker has open to one backend."""

    __slots__ = (
        "_address",
        "_closed",
        "_closing_stale",
        "_distrusted_until",
        "_host",
        "_idle",
        "_loop",
        "_port",
        "_server_name",
        "_ssl",
        "authority",
    )

    def __init__(
        self,
        url: str,
        loop: asyncio.AbstractEventLoop,
        context: ssl.SSLContext | None = None,
        server_name: str | None = None,
        address: str = "",
    ) -> None:
        """`url`: scheme, host and port. `context`: for https, how the backend is verified.

        `address`: where to connect to; what is said in `Host` and verified by TLS is the URL's all the same.
        """
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._loop = loop
        self._host = parts.hostname
        self._address = address or parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._ssl = context
        self._server_name = (server_name or self._host) if context else None
        self._idle: list[Connection] = []
        self._closed = False
        self._distrusted_until = 0.0
        self._closing_stale: asyncio.TimerHandle | None = None
        self.authority = parts.netloc.encode()

    def kept(self, now: float) -> Connection | None:
        """The connection used last, if one is open and fresh."""
        while self._idle:
            connection = self._idle.pop()
            if now - connection.idle_since <= IDLE_SECONDS:
                if connection.is_quiet:
                    return connection
                self._suspect(connection, now)
            connection.transport.abort()
        return None

    async def connect(self, journey: Journey) -> Connection:
        """A new connection. Raises UpstreamError; ends the attempt when the journey is thrown out of it."""
        attempt = self._loop.create_task(self._open())
        attempt.add_done_callback(lambda _: journey.wake())
        try:
            while not attempt.done():
                await PAUSE
        except BaseException:
            attempt.cancel()
            attempt.add_done_callback(_close_unwanted)
            raise
        connection = attempt.result()
        if connection.transport.is_closing():
            raise UpstreamError("closed", "the backend closed the connection at once", unsent=True)
        return connection

    async def _open(self) -> Connection:
        try:
            _, connection = await self._loop.create_connection(
                lambda: Connection(self), self._address, self._port, ssl=self._ssl, server_hostname=self._server_name
            )
        except ssl.SSLError as error:
            raise UpstreamError("tls", f"TLS with the backend failed: {error}", unsent=True) from None
        except (OSError, UnicodeError) as error:
            if isinstance(error, OSError) and error.errno in OUR_OWN_FAULT:
                raise UpstreamError("exhausted", f"nothing left to connect with: {error}", unsent=True) from None
            raise UpstreamError("refused", f"no connection to the backend: {error}", unsent=True) from None
        return connection

    def keep(self, connection: Connection) -> None:
        """Put a clean connection aside for the next request, for as long as it is fresh."""
        connection.idle_since = now = time.monotonic()
        if self._closed or now < self._distrusted_until:
            connection.transport.abort()
            return
        self._idle.append(connection)
        if self._closing_stale is None:
            self._closing_stale = self._loop.call_later(IDLE_SECONDS, self._close_stale)

    def drop(self, connection: Connection) -> None:
        """This connection is closed."""
        if connection in self._idle:
            self._idle.remove(connection)
            self._suspect(connection, time.monotonic())
        elif connection.is_unanswered:
            self._suspect(connection, time.monotonic())

    def _suspect(self, connection: Connection, now: float) -> None:
        if now - connection.idle_since < HASTY_SECONDS:
            self._distrusted_until = now + DISTRUST_SECONDS

    def close(self) -> None:
        """Close what is idle. Connections in use close when their request has ended."""
        self._closed = True
        if self._closing_stale is not None:
            self._closing_stale.cancel()
            self._closing_stale = None
        for connection in self._idle:
            connection.transport.abort()
        self._idle.clear()

    def _close_stale(self) -> None:
        """Connections that will not be used again hold descriptors, here and at the backend."""
        now = time.monotonic()
        while self._idle and now - self._idle[0].idle_since > IDLE_SECONDS:
            self._idle.pop(0).transport.abort()
        self._closing_stale = self._loop.call_later(IDLE_SECONDS, self._close_stale) if self._idle else None


def _close_unwanted(attempt: asyncio.Task[Connection]) -> None:
    """The connection came up in the moment in which nobody waited for it any more."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().transport.abort()
