"""A fixed backend, faster than what is measured: the same answer to every request. `python -m bench.backend PORT`.

Two paths answer otherwise: `/same` with as many bytes as it got, `/v1/chat/completions` as a language model would.
"""

from __future__ import annotations

import asyncio
import functools
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

from bench.process import free_port, server

ANSWER = b"[217.67978776218715, 224.78937091757172]"
CHAT = {
    "id": "chatcmpl-bench",
    "object": "chat.completion",
    "created": 0,
    "model": "bench",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": ANSWER.decode()}}],
    "usage": {"prompt_tokens": 200, "completion_tokens": 20, "total_tokens": 220},
}


def answer(body: bytes) -> bytes:
    """A whole answer with this body."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


FIXED, CHATTED = answer(ANSWER), answer(json.dumps(CHAT).encode())


class Backend(asyncio.Protocol):
    """One kept connection. It trusts its peer: one request at a time, Content-Length, as every proxy here sends."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A proxy connected."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._head = b""
        self._missing = 0
        self._answer = FIXED

    def data_received(self, data: bytes) -> None:
        """Bytes of a request; its answer when they are all here."""
        if self._missing:
            self._missing -= len(data)
        else:
            self._begin(self._head + data)
        if self._missing == 0 and not self._head:
            self._transport.write(self._answer)

    def _begin(self, data: bytes) -> None:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._head = data
            return
        self._head = b""
        head = data[:end].lower()
        _, _, rest = head.partition(b"\r\ncontent-length:")
        length = int(rest.partition(b"\r\n")[0] or 0)
        self._missing = end + 4 + length - len(data)
        if head.startswith(b"post /same "):
            self._answer = _as_long(length)
        else:
            self._answer = CHATTED if head.startswith(b"post /v1/chat/") else FIXED


@functools.cache
def _as_long(length: int) -> bytes:
    return answer(b"x" * length)


async def main(port: int) -> None:
    """Serve until ended."""
    listening = await asyncio.get_running_loop().create_server(Backend, "127.0.0.1", port, backlog=4096)
    await listening.serve_forever()


@contextmanager
def running(cores: frozenset[int], log: Path) -> Iterator[int]:
    """The backend in a process of its own on these cores. Yields its port."""
    port = free_port()
    with server([sys.executable, "-m", "bench.backend", str(port)], cores, log, port=port):
        yield port


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
