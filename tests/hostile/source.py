"""A backend that gives as much as it is asked for: `?length=N`, `?chunked=N`, or `?drip`, a trickle without an end."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys

from recorder import HOST, ServerThread
from strict_http import MAX_HEAD, BrokenError, EndedError, Request, read_request

PIECE = 65_536
_ASKED = re.compile(rb"(length|chunked|drip)=?(\d*)$")


class Source(ServerThread):
    """Bodies of requests are given back if nothing is asked for. `at_once`: requests that are here now."""

    at_once = 0

    async def open(self) -> int:
        self._server = await asyncio.start_server(self._serve, HOST, 0, limit=MAX_HEAD)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(EndedError, BrokenError, ConnectionError, asyncio.CancelledError):
            while True:
                request = await read_request(reader)
                self.at_once += 1
                try:
                    await _answer(request, writer)
                finally:
                    self.at_once -= 1
        writer.transport.abort()


async def _answer(request: Request, writer: asyncio.StreamWriter) -> None:
    match = _ASKED.search(request.target)
    if request.method == "HEAD":
        match = None
    kind, size = (match[1], int(match[2] or 0)) if match else (b"length", len(request.body))
    is_chunked = kind != b"length"
    framing = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % size
    writer.write(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
    if kind == b"drip":
        await _drip(writer)
    elif match is None:
        writer.write(request.body)
    else:
        for at in range(0, size, PIECE):
            data = content(at, min(PIECE, size - at))
            writer.write(b"%x\r\n%b\r\n" % (len(data), data) if is_chunked else data)
            await writer.drain()
        writer.write(b"0\r\n\r\n" if is_chunked else b"")
    await writer.drain()


async def _drip(writer: asyncio.StreamWriter) -> None:
    """Half a megabyte, more than what lies between here and a client that reads nothing; then drops."""
    data = content(0, PIECE)
    for _ in range(64):
        writer.write(b"%x\r\n%b\r\n" % (len(data), data))
    while not writer.is_closing():
        writer.write(b"1\r\nx\r\n")
        await asyncio.sleep(0.05)


def content(start: int, size: int) -> bytes:
    """Bytes that tell where they belong."""
    assert start + size <= len(_CONTENT)
    return _CONTENT[start : start + size]


_CONTENT = b"".join(b"%07x " % word for word in range(2**18))


if __name__ == "__main__":
    # As a process of its own: it tells its port, and ends with its stdin.
    sys.stdout.write(f"{Source().port}\n")
    sys.stdout.flush()
    sys.stdin.read()
