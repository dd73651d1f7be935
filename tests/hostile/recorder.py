"""A backend that keeps every byte that reaches it, and gives each request back under the id its query carries."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Coroutine
from typing import Any

from strict_http import MAX_HEAD, BrokenError, EndedError, MalformedError, Request, read_request

HOST = "127.0.0.1"
_ID = re.compile(rb"[?&]id=([A-Za-z0-9_.-]+)")
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


class Tape(asyncio.StreamReader):
    """A reader that keeps what it was fed."""

    def __init__(self, kept: bytearray) -> None:
        super().__init__(limit=MAX_HEAD)
        self.kept = kept

    def feed_data(self, data: bytes) -> None:
        self.kept += data
        super().feed_data(data)


class ServerThread:
    """A server on a free port, in an event loop and thread of its own."""

    def __init__(self) -> None:
        self.port = 0
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(started)), daemon=True)
        self._thread.start()
        assert started.wait(10)

    async def open(self) -> int:
        """Listen; the port."""
        raise NotImplementedError

    async def close(self) -> None:
        """Listen no more."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _run(self, started: threading.Event) -> None:
        self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.port = await self.open()
        started.set()
        await self._stop.wait()
        await self.close()


class Recorder(ServerThread):
    """`tapes`: the bytes of each connection. `requests`: what they mean, by id. `violations`: what means nothing."""

    def __init__(self) -> None:
        self.tapes: list[bytearray] = []
        self.requests: defaultdict[str, list[Request]] = defaultdict(list)
        self.violations: list[str] = []
        super().__init__()

    async def open(self) -> int:
        self._server = await asyncio.get_running_loop().create_server(self._connection, HOST, 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        self._server.close()

    def _connection(self) -> asyncio.StreamReaderProtocol:
        tape = bytearray()
        self.tapes.append(tape)
        return asyncio.StreamReaderProtocol(Tape(tape), self._serve)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await read_request(reader)
                name = self._note(request)
                body = name.encode() + b"|" + request.body
                head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body)
                writer.write(head + (b"" if request.method == "HEAD" else body))
                await writer.drain()
        except (EndedError, BrokenError, ConnectionError):
            pass  # a request that was never complete is none; its bytes are on the tape
        except MalformedError as error:
            self.violations.append(str(error))
        finally:
            writer.close()

    def _note(self, request: Request) -> str:
        match = _ID.search(request.target)
        if match is None or request.target.split(b"?")[0] != b"/score":
            self.violations.append(f"smuggled: {request.method} {request.target!r}")
            return "smuggled"
        name = match[1].decode()
        self.requests[name].append(request)
        return name
