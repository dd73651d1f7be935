"""The worker's listening socket: how connections come in, and how that ends.

Rule: whom the kernel let in is served. The supervisor keeps a copy of the socket while successors may come, so what is
queued on it outlives this process.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import resource
import socket
import ssl
from collections.abc import Callable

from gateway.core.settings import ScoringSettings
from gateway.proxy.handshake import Handshake
from gateway.proxy.listener import Listener

log = logging.getLogger("gateway.worker")

BACKLOG = 4096
OWN_DESCRIPTORS = 64
"""What a worker needs beside connections: log, link, scoreboard, listening socket, files it reads."""


class Acceptor:
    """Hands connections to the listener, after a handshake with `context`. None: plain HTTP."""

    __slots__ = ("_listening", "_loop", "_protocol", "_server")

    def __init__(
        self,
        listener: Listener,
        listening: socket.socket,
        loop: asyncio.AbstractEventLoop,
        context: ssl.SSLContext | None,
    ) -> None:
        self._listening = listening
        self._loop = loop
        self._protocol: Callable[[], asyncio.Protocol] = listener
        if context is not None:
            self._protocol = functools.partial(Handshake, listener, context)
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Accept from now on."""
        # The loop closes the socket that it was given without looking who waits on it.
        copy = self._listening.dup()
        self._server = await self._loop.create_server(self._protocol, sock=copy, backlog=BACKLOG)

    async def close(self) -> None:
        """Take in who waits on the socket already, and have the kernel refuse whoever comes later.

        Afterwards the listener knows all connections there will be.
        """
        if self._server is not None:
            self._server.close()
        waiting = self._waiting()
        self._listening.close()
        # At least one turn of the loop, in which whoever was accepted before becomes known.
        await asyncio.gather(asyncio.sleep(0), *map(self._take_in, waiting))

    def _waiting(self) -> list[socket.socket]:
        waiting: list[socket.socket] = []
        while True:
            try:
                connection, _ = self._listening.accept()
            except ConnectionAbortedError:
                continue
            except OSError:
                return waiting
            connection.setblocking(False)
            waiting.append(connection)

    async def _take_in(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError as error:
            log.debug("a connection was lost before its first request: %s", error)


def most_connections(scoring: ScoringSettings) -> int:
    """How many clients a worker takes: `max_connections`, or what its descriptors allow, two for each request."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed == resource.RLIM_INFINITY:
        return scoring.max_connections
    return max(1, min(scoring.max_connections, (allowed - OWN_DESCRIPTORS) // 2))
