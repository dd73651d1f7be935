"""Clients that send or read next to nothing are gone in time and hold no container; those who are merely slow stay.

The long proofs attack with slowhttptest, 500 connections in each of its four forms, while another client is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import ssl
import time
from collections.abc import Iterator

import pytest
from gateway_process import KEY, GatewayProcess
from recorder import HOST
from source import Source, content
from strict_http import MAX_HEAD, read_answer

QUICK = {
    "handshake_timeout_seconds": 1,
    "header_timeout_seconds": 1,
    "body_timeout_seconds": 3,
    "keep_alive_seconds": 1,
}
IDLE_SECONDS = 1.5
LATE_SECONDS = 2.5
"""What may pass beyond a deadline: the lingering close, and a busy machine."""
CROWD = 10
READ_SECONDS = 10.0


@pytest.fixture(scope="module")
def source() -> Iterator[Source]:
    backend = Source()
    yield backend
    backend.stop()


@pytest.fixture(scope="module")
def gateways(start_gateway, source: Source) -> dict[str, GatewayProcess]:
    """Before the same backend: `open` without a limit, `brief` with a short deadline, `narrow` for one at a time."""
    spec = {"backends": [source.url], "max_queue_wait_ms": 10_000}
    unlimited = spec | {"max_concurrent_requests_per_container": None}
    services = {
        "open": unlimited | {"stream_idle_timeout_ms": 3000},
        "brief": unlimited | {"scoring_timeout_ms": 1500},
        "narrow": spec | {"stream_idle_timeout_ms": int(IDLE_SECONDS * 1000)},
    }
    return {name: start_gateway(services, tls=name == "tls", **QUICK) for name in ("plain", "tls")}


@pytest.fixture(params=["plain", "tls"])
def gateway(request, gateways: dict[str, GatewayProcess]) -> GatewayProcess:
    return gateways[request.param]


def head(query: str = "", *fields: str, service: str = "open", method: str = "POST") -> bytes:
    lines = [f"{method} /api/v1/service/{service}/score{query} HTTP/1.1", "Host: h", f"Authorization: Bearer {KEY}"]
    return "\r\n".join([*lines, *fields, "", ""]).encode()


@contextlib.asynccontextmanager
async def call(gateway: GatewayProcess, *, small: bool = False):
    """A connection: (reader, writer). `small`: with hardly any buffer of its own."""
    sock = socket.socket()
    if small:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (HOST, gateway.port))
    context = ssl.create_default_context(cafile=gateway.ca_file) if gateway.tls else None
    reader, writer = await asyncio.open_connection(
        sock=sock, ssl=context, server_hostname="localhost" if context else None, limit=MAX_HEAD
    )
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def read_slowly(reader: asyncio.StreamReader, seconds: float) -> bytes:
    """All that comes until the end, a few kilobytes at a time, pausing between them."""
    received = bytearray()
    reader._limit = 4096  # a StreamReader stops reading when it holds twice its limit
    while data := await reader.read(8192):
        received += data
        await asyncio.sleep(seconds)
    return bytes(received)


ANSWERS = ("?length=600000", "?length=1500000", "?chunked=1500000")


async def test_who_reads_slowly_gets_everything(gateways: dict[str, GatewayProcess]) -> None:
    """An answer that takes longer to read than every idle time is still delivered whole, whatever follows it."""

    async def is_whole(gateway: GatewayProcess, query: str, ending: str) -> bool:
        size = int(query.partition("=")[2])
        async with call(gateway, small=True) as (reader, writer), asyncio.timeout(60):
            writer.write(head(query, f"Connection: {ending}", method="GET"))
            received = await read_slowly(reader, READ_SECONDS * 8192 / size)
        return bool((await _parsed(received)).body == content(0, size))

    ways = list(itertools.product(gateways, ANSWERS, ("close", "keep-alive")))
    whole = await asyncio.gather(*(is_whole(gateways[name], query, ending) for name, query, ending in ways))
    assert [way for way, is_good in zip(ways, whole, strict=True) if not is_good] == []


async def _parsed(received: bytes):
    reader = asyncio.StreamReader(limit=MAX_HEAD)
    reader.feed_data(received)
    reader.feed_eof()
    return await read_answer(reader)


async def test_who_reads_nothing_holds_no_container(gateway: GatewayProcess) -> None:
    """A backend that goes on dripping does not keep a client alive that does not read: the next one gets its place."""
    async with call(gateway, small=True) as (reader, writer), call(gateway) as (others_reader, other):
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(head("?drip", service="narrow", method="GET"))
        await asyncio.sleep(0.3)
        began = time.monotonic()
        other.write(head("", "Content-Length: 2", service="narrow") + b"{}")
        async with asyncio.timeout(20):
            answer = await read_answer(others_reader)
        assert (answer.status, answer.body) == (200, b"{}")
        assert 0.3 < time.monotonic() - began < IDLE_SECONDS + LATE_SECONDS


async def test_who_trickles_holds_no_container(gateway: GatewayProcess) -> None:
    """A large body that stops coming, but for a byte now and then, does not keep its container."""
    async with call(gateway) as (reader, writer), call(gateway) as (others_reader, other):
        writer.write(head("", "Content-Length: 1000000", service="narrow") + bytes(200_000))
        await asyncio.sleep(0.3)
        trickle = asyncio.ensure_future(_trickle(writer, b"x", 0.1))
        other.write(head("", "Content-Length: 2", service="narrow") + b"{}")
        async with asyncio.timeout(20):
            answer = await read_answer(others_reader)
            refusal = await read_answer(reader)
        trickle.cancel()
    assert (answer.status, answer.body, refusal.status) == (200, b"{}", 408)


async def _trickle(writer: asyncio.StreamWriter, piece: bytes, seconds: float) -> None:
    while not writer.is_closing():
        writer.write(piece)
        await asyncio.sleep(seconds)


FORMS = {
    "says-nothing": (b"", b""),
    "slow-head": (head()[:-2], b"X: y\r\n"),
    "slow-start-line": (b"POST /", b"x"),
    "slow-body": (head("", "Content-Length: 1000"), b"x"),
    "slow-chunks": (head("", "Transfer-Encoding: chunked"), b"1\r\nx\r\n"),
    "slow-extension": (head("", "Transfer-Encoding: chunked") + b"5;", b"x"),
    "slow-trailer": (head("", "Transfer-Encoding: chunked") + b"0\r\n", b"X: y\r\n"),
    "slow-empty-lines": (b"\r\n", b"\r\n"),
    "slow-body-of-a-wrong-key": (head("", "Content-Length: 1000").replace(KEY.encode(), b"wrong"), b"x"),
    "slow-body-to-nowhere": (b"POST /nowhere HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n", b"x"),
}


async def test_crowds_of_slow_senders_are_gone_in_time(gateways: dict[str, GatewayProcess]) -> None:
    """Whatever part of a request comes byte by byte: every connection is closed within the deadline of that part."""

    async def life(gateway: GatewayProcess, start: bytes, piece: bytes) -> float:
        async with call(gateway) as (reader, writer):
            began = time.monotonic()
            writer.write(start)
            trickle = asyncio.ensure_future(_trickle(writer, piece, 0.2))
            with contextlib.suppress(ConnectionError):
                await reader.read()
            trickle.cancel()
            return time.monotonic() - began

    ways = list(itertools.product(gateways, FORMS)) * CROWD
    async with asyncio.timeout(30):
        lives = await asyncio.gather(*(life(gateways[name], *FORMS[form]) for name, form in ways))
    longest = max(QUICK.values()) + LATE_SECONDS
    assert [(way, seconds) for way, seconds in zip(ways, lives, strict=True) if seconds > longest] == []


@pytest.mark.parametrize("query", ["?length=500000", "?length=2000"])
async def test_who_asks_and_never_reads_fills_no_memory(gateway: GatewayProcess, query: str) -> None:
    """A client that sends thousands of requests and reads no answer is made to wait, then left; memory stays flat."""
    before, request = gateway.resident_kilobytes(), head(query, service="brief", method="GET")
    async with call(gateway, small=True) as (reader, writer):
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(request * 5000)
        began = time.monotonic()
        while not writer.is_closing() and time.monotonic() - began < 10:
            writer.write(request)
            await asyncio.sleep(0.05)
            assert gateway.resident_kilobytes() < before + 20_000
        assert writer.is_closing()
    assert gateway.held("brief") == {}
