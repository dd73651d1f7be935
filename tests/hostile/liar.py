"""A backend that tells one lie where it is asked to, and is honest otherwise; each lie has a server of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading

from lies import Lie, Then
from recorder import HOST
from strict_http import MAX_HEAD, BrokenError, EndedError, MalformedError, read_request

PATIENCE = 5.0
"""Seconds after which even an endless lie ends, should nobody leave before."""


class Liars:
    """All liars, in one thread. `ports`: where each listens; an honest request gives its body back."""

    def __init__(self, lies: list[Lie]) -> None:
        self.ports: dict[str, int] = {}
        self._greeting: set[str] = set()
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(lies, started)), daemon=True)
        self._thread.start()
        assert started.wait(10)

    def greet(self, lie: Lie, *, hostile: bool) -> None:
        """Whether connections that come up from now on are lied to at once."""
        (self._greeting.add if hostile else self._greeting.discard)(lie.name)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _run(self, lies: list[Lie], started: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        servers = [await self._listen(lie) for lie in lies]
        started.set()
        await self._stop.wait()
        for server in servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self, lie: Lie) -> asyncio.Server:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._serve(lie, reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        server = await asyncio.start_server(accept, HOST, 0, limit=MAX_HEAD)
        self.ports[lie.name] = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, lie: Lie, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, EndedError, BrokenError, TimeoutError, asyncio.IncompleteReadError):
            try:
                if lie.name in self._greeting:
                    await _tell(lie, writer)
                while await _serve_one(lie, reader, writer):
                    pass
            finally:
                writer.transport.abort()


async def _serve_one(lie: Lie, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Serve a request. False: the connection is done with."""
    if lie.large:
        # Enough to know whether it is to be lied to; the body behind it is read late or never.
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        if b"?lie " in head:
            return await _tell(lie, writer) and bool(await reader.readexactly(length))
        body = await reader.readexactly(length)
    else:
        try:
            request = await read_request(reader)
        except MalformedError:
            return False
        if request.target.endswith(b"?lie"):
            return await _tell(lie, writer)
        body = request.body
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    return True


async def _tell(lie: Lie, writer: asyncio.StreamWriter) -> bool:
    for piece in lie.pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(lie.pause)
    if lie.then is Then.STAY:
        return True
    if lie.then is Then.RESET:
        sock = writer.get_extra_info("socket")
        if sock is not None:  # else the gateway was first
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if lie.then in (Then.HANG, Then.REPEAT):
        async with asyncio.timeout(PATIENCE):
            while not writer.is_closing():
                if lie.then is Then.REPEAT:
                    writer.write(lie.pieces[-1])
                    await writer.drain()
                await asyncio.sleep(lie.pause)
    if lie.then is Then.CLOSE:
        await writer.drain()
        writer.close()
    return False
