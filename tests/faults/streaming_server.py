"""A container in a thread whose answers are written byte by byte by the test, as fast or as slow as it wants."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable

HOST = "127.0.0.1"
Answer = Callable[["Request", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Request:
    """The head of a request. Names of `fields` in lower case."""

    def __init__(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = first.split(" ")
        self.fields = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
        }

    async def body(self, reader: asyncio.StreamReader) -> bytes:
        """The body whole."""
        pieces = [piece async for piece in self.pieces(reader)]
        return b"".join(pieces)

    async def pieces(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        """The body as it comes."""
        if self.fields.get("transfer-encoding") == "chunked":
            while size := int((await reader.readuntil(b"\r\n"))[:-2], 16):
                yield await reader.readexactly(size)
                await reader.readexactly(2)
            await reader.readexactly(2)
            return
        left = int(self.fields.get("content-length", 0))
        while left:
            piece = await reader.read(min(left, 1 << 18))
            if not piece:
                raise ConnectionError
            left -= len(piece)
            yield piece


class StreamingServer:
    """`with StreamingServer(answer) as server:`; `answer` may be changed at any time. Connections are kept."""

    def __init__(self, answer: Answer, *, receive_buffer: int | None = None) -> None:
        self.answer = answer
        self.connections: set[asyncio.StreamWriter] = set()
        self._receive_buffer = receive_buffer
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(started)), daemon=True)
        self._thread.start()
        assert started.wait(10)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _run(self, started: threading.Event) -> None:
        self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        listening = socket.create_server((HOST, 0))
        if self._receive_buffer:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        server = await asyncio.start_server(self._serve, sock=listening, limit=1 << 18)
        self.port = listening.getsockname()[1]
        started.set()
        await self._stop.wait()
        server.close()
        for writer in self.connections:
            writer.transport.abort()
        await asyncio.sleep(0.05)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.add(writer)
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                await self.answer(Request(head[:-2]), reader, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.connections.discard(writer)
            with contextlib.suppress(ConnectionError):
                writer.close()


def says(data: bytes, *, closes: bool = False) -> Answer:
    """An answer of these bytes."""

    async def answer(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request.body(reader)
        writer.write(data)
        if closes:
            await writer.drain()
            writer.close()

    return answer
