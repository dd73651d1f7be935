"""Clients that keep their connections and check every answer, while something happens to the gateway.

Each request has an id and a body of its own, and is repeated until it is answered well: what a client that may repeat
sees. Every try is an `Attempt`; whoever caused a fault says which failed attempts it had to cost.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from wire import trusting

THINK_SECONDS = 0.004
REPEAT_SECONDS = 0.02
ANSWER_SECONDS = 40.0
BODY_BYTES = 600


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try. Times are monotonic seconds; `port` is the client's own, 0 without a connection.

    `outcome`: ok, refused (no connection), handshake (it broke in TLS), closed (no byte of an answer), cut (a part of
    one), late, wrong (another's answer), or a status with its reason. `is_first`: the first one on its connection.
    """

    request_id: str
    asked: float
    began: float
    ended: float
    port: int
    is_first: bool
    outcome: str


class Load:
    """`with Load(url, ca_file, path, key) as load:` runs clients in a thread of its own."""

    def __init__(self, url: str, ca_file: str, path: str, key: str, *, clients: int = 16, think: float = THINK_SECONDS):
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self.host, self.port = parts.hostname, parts.port
        self.context = trusting(ca_file) if parts.scheme == "https" else None
        self.head = f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {key}\r\n".encode()
        self.think = think
        self.attempts: list[Attempt] = []
        self.stopping = False
        self._clients = clients
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.until(lambda: self.answered() > 2 * self._clients)
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping = True
        self._thread.join(ANSWER_SECONDS + 10)
        assert not self._thread.is_alive()

    def until(self, condition: Callable[[], object], seconds: float = 30) -> None:
        """Wait for it while the load goes on."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"it never came true; the last attempts: {self.attempts[-5:]}"
            time.sleep(0.01)

    def go_on(self, requests: int) -> None:
        """Return when so many more requests are answered."""
        enough = self.answered() + requests
        self.until(lambda: self.answered() >= enough)

    def answered(self) -> int:
        """Requests answered well so far."""
        return sum(attempt.outcome == "ok" for attempt in self.attempts)

    def failed(self, since: float) -> list[Attempt]:
        """Attempts that ended since then and were not ok."""
        return [attempt for attempt in self.attempts if attempt.ended >= since and attempt.outcome != "ok"]

    def longest_pause(self, since: float) -> float:
        """Seconds from the first try of a request to its good answer, at most, of those answered since then."""
        return max(
            attempt.ended - max(attempt.asked, since)
            for attempt in self.attempts
            if attempt.ended >= since and attempt.outcome == "ok"
        )

    async def _run(self) -> None:
        await asyncio.gather(*(_Client(self, number).run() for number in range(self._clients)))
        # Connections that were aborted are closed by the loop, a moment later.
        await asyncio.sleep(0.05)


class _Client:
    def __init__(self, load: Load, number: int) -> None:
        self._load = load
        self._number = number
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._port = 0
        self._is_first = True

    async def run(self) -> None:
        count = 0
        while not self._load.stopping:
            count += 1
            await self._until_answered(f"{self._number}-{count}")
            await asyncio.sleep(random.uniform(0, 2 * self._load.think))
        self._close()

    async def _until_answered(self, request_id: str) -> None:
        asked = time.monotonic()
        body = os.urandom(BODY_BYTES)
        while not self._load.stopping:
            began, self._port = time.monotonic(), self._port if self._streams else 0
            is_first = self._streams is None
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    outcome = await self._attempt(request_id, body)
            except TimeoutError:
                outcome = "late"
            attempt = Attempt(request_id, asked, began, time.monotonic(), self._port, is_first, outcome)
            self._load.attempts.append(attempt)
            if outcome == "ok":
                return
            self._close()
            await asyncio.sleep(REPEAT_SECONDS)

    async def _attempt(self, request_id: str, body: bytes) -> str:
        if self._streams is None:
            outcome = await self._connect()
            if outcome:
                return outcome
        assert self._streams is not None
        reader, writer = self._streams
        fields = f"x-test-id: {request_id}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        try:
            writer.write(self._load.head + fields + body)
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            return "cut" if error.partial else "closed"
        except (OSError, ssl.SSLError):
            return "closed"
        return await self._read_answer(reader, head.lower(), body)

    async def _read_answer(self, reader: asyncio.StreamReader, head: bytes, body: bytes) -> str:
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        try:
            answer = await reader.readexactly(length)
        except (asyncio.IncompleteReadError, OSError):
            return "cut"
        if b"connection: close" in head:
            self._close()
        if not head.startswith(b"http/1.1 200 "):
            return f"{head[9:12].decode()} {answer[:300].decode(errors='replace')}"
        return "ok" if hashlib.sha256(answer).digest() == hashlib.sha256(body).digest() else "wrong"

    async def _connect(self) -> str:
        loop = asyncio.get_running_loop()
        plain = socket.socket()
        plain.setblocking(False)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await loop.sock_connect(plain, (self._load.host, self._load.port))
        except OSError:
            plain.close()
            return "refused"
        except BaseException:
            plain.close()
            raise
        self._port = plain.getsockname()[1]
        name = self._load.host if self._load.context else None
        try:
            self._streams = await asyncio.open_connection(sock=plain, ssl=self._load.context, server_hostname=name)
        except OSError:
            plain.close()
            return "handshake"
        return ""

    def _close(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None
