"""Memory of a worker: flat over many requests and connections, and what an idle connection takes."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from typing import Self

import process_facts
import pytest
from running_gateway import RunningGateway
from wire import trusting

from gateway.proxy.worker import BEATS_PER_TRIM, HEARTBEAT_SECONDS

MB = 1 << 20
KB = 1 << 10
SERVICE = "echo"
GROWTH = 4 * MB
"""How much larger a worker may be afterwards."""
TRIM_SECONDS = BEATS_PER_TRIM * HEARTBEAT_SECONDS
"""How often a worker gives back what the connections of others have left, most of which is OpenSSL's."""
IDLE = {"http": 16 * KB, "https": 64 * KB}
"""What an idle connection may take."""


@pytest.fixture(scope="module")
def container(start_container):
    return start_container(milliseconds=0)


@pytest.fixture(scope="module", params=["plain", pytest.param("tls", marks=pytest.mark.prove)])
def gateway(request, start_gateway, container) -> RunningGateway:
    return _start(start_gateway, container, {"tls": None} if request.param == "plain" else {})


def _start(start_gateway, container, tls: dict[str, None], **options: str) -> RunningGateway:
    spec = {"backends": [container.url], "auth_enabled": False, "max_concurrent_requests_per_container": None}
    return start_gateway({SERVICE: spec}, scoring={"workers": 1, "drain_seconds": 1} | tls, **options)


class Clients:
    """So many connections, opened and used by a loop in a thread of their own."""

    def __init__(self, gateway: RunningGateway) -> None:
        self._port = int(gateway.ready["scoring_url"].rpartition(":")[2])
        self._context: ssl.SSLContext | None = None
        if gateway.ready["scoring_url"].startswith("https"):
            self._context = trusting(gateway.ready["ca_file"])
        path = gateway.path(SERVICE).encode()
        self._request = b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n" % path + bytes(500)
        self._streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def open(self, count: int) -> None:
        """Open them, fifty at a time, each with one request."""
        for _ in range(count // 50):
            self._run(self._open(50))

    def score(self, rounds: int) -> None:
        """So many requests on each."""
        self._run(self._score(rounds))

    def _run(self, work) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(300)

    async def _open(self, count: int) -> None:
        name = "127.0.0.1" if self._context else None
        opening = [
            asyncio.open_connection("127.0.0.1", self._port, ssl=self._context, server_hostname=name)
            for _ in range(count)
        ]
        new = await asyncio.gather(*opening)
        self._streams += new
        await asyncio.gather(*(self._ask(*one) for one in new))

    async def _score(self, rounds: int) -> None:
        turns = asyncio.Semaphore(50)

        async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for _ in range(rounds):
                async with turns:
                    await self._ask(reader, writer)

        await asyncio.gather(*(client(*one) for one in self._streams))

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        await reader.readexactly(500)

    async def _close(self) -> None:
        for _, writer in self._streams:
            writer.transport.abort()
        self._streams.clear()
        await asyncio.sleep(0.1)


def _growth(gateway: RunningGateway, connections: int, rounds: int) -> int:
    """Bytes that the worker is larger after so many requests on each of so many connections."""
    (pid,) = gateway.workers()
    sizes = []
    for turns in (1, rounds):
        with Clients(gateway) as clients:
            clients.open(connections)
            clients.score(turns)
        gateway.until(lambda: process_facts.descriptors(pid) < 120)
        if _scheme(gateway) == "https":
            time.sleep(TRIM_SECONDS + 1)
        sizes.append(process_facts.rss(pid))
    return sizes[1] - sizes[0]


@pytest.mark.parametrize(
    ("connections", "rounds"), [(200, 15), pytest.param(2000, 25, marks=pytest.mark.prove)], ids=["3000", "50000"]
)
def test_flat(gateway: RunningGateway, connections: int, rounds: int, show) -> None:
    """Thousands of requests over many connections leave the worker as large as it was."""
    growth = _growth(gateway, connections, rounds)
    show(f"{_scheme(gateway)}: {connections * rounds} requests over {connections} connections: {growth / MB:+.1f} MB")
    assert growth < GROWTH


@pytest.mark.parametrize("connections", [500, pytest.param(4000, marks=pytest.mark.prove)])
def test_idle_connection(gateway: RunningGateway, connections: int, show) -> None:
    """What a kept connection takes while nothing happens on it."""
    (pid,) = gateway.workers()
    with Clients(gateway) as clients:
        clients.open(500)
        before = process_facts.rss(pid)
        clients.open(connections)
        each = (process_facts.rss(pid) - before) / connections
    show(f"{_scheme(gateway)}: an idle connection takes {each / KB:.1f} KiB ({connections} of them)")
    assert each < IDLE[_scheme(gateway)]


def test_control_a_leak_is_seen(start_gateway, container) -> None:
    """Control: a gateway that keeps 2 KiB of each request is told apart."""
    assert _growth(_start(start_gateway, container, {"tls": None}, altered="leaking"), 200, 15) > GROWTH


def _scheme(gateway: RunningGateway) -> str:
    return str(gateway.ready["scoring_url"]).partition(":")[0]
