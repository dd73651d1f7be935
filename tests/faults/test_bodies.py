"""Large bodies and streams: flat memory, back-pressure both ways, nothing held back, nothing changed."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import queue
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from typing import Any, Self

import process_facts
import pytest
from running_gateway import RunningGateway
from streaming_server import Request, StreamingServer, says
from wire import trusting

MB = 1 << 20
PIECE = bytes(range(256)) * 256
GROWTH = 20 * MB
"""What a worker may need more while a body of any size passes."""
HELD = 24 * MB
"""What may be under way between two ends of which one stands still: buffers of the kernel, mostly."""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def container() -> Iterator[StreamingServer]:
    server = StreamingServer(says(OK), receive_buffer=65_536)
    yield server
    server.stop()


@pytest.fixture(scope="module", params=["plain", "tls"])
def gateway(request, start_gateway, container: StreamingServer) -> RunningGateway:
    spec = {
        "backends": [container.url],
        "auth_enabled": False,
        "health": None,
        "max_concurrent_requests_per_container": None,
        "max_request_bytes": 4 << 30,
    }
    scoring: dict[str, Any] = {"workers": 1, "drain_seconds": 1}
    if request.param == "plain":
        scoring["tls"] = None
    return start_gateway({"bodies": spec}, scoring=scoring)


class Client:
    """A raw connection to the service."""

    def __init__(self, gateway: RunningGateway, *, small: bool = False) -> None:
        port = int(gateway.ready["scoring_url"].rpartition(":")[2])
        plain = socket.socket()
        if small:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        plain.settimeout(30)
        plain.connect(("127.0.0.1", port))
        is_tls = gateway.ready["scoring_url"].startswith("https")
        context = trusting(gateway.ready["ca_file"]) if is_tls else None
        self.socket = context.wrap_socket(plain, server_hostname="127.0.0.1") if context else plain
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, *fields: str, method: str = "POST", version: str = "1.1") -> None:
        lines = [f"{method} /api/v1/service/bodies/score HTTP/{version}", "Host: a", *fields, "", ""]
        self.send("\r\n".join(lines).encode())

    def head(self) -> tuple[int, dict[str, str]]:
        """Status and fields of the answer."""
        while b"\r\n\r\n" not in self._rest:
            self._rest += self._receive()
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        return int(first.split()[1]), {
            name.lower(): text.strip() for name, _, text in (x.partition(":") for x in lines)
        }

    def pieces(self, length: int) -> Iterator[bytes]:
        """So many bytes of the body, as they come."""
        while length:
            self._rest = self._rest or self._receive()
            piece, self._rest = self._rest[:length], self._rest[length:]
            length -= len(piece)
            yield piece

    def body(self, length: int) -> bytes:
        return b"".join(self.pieces(length))

    def chunks(self) -> Iterator[bytes]:
        """The chunks of the body, as they come, the last one and its trailers left out."""
        while True:
            while b"\r\n" not in self._rest:
                self._rest += self._receive()
            size, _, self._rest = self._rest.partition(b"\r\n")
            chunk = self.body(int(size, 16))
            assert self.body(2) == b"\r\n"
            if not chunk:
                return
            yield chunk

    def whole(self, fields: dict[str, str]) -> bytes:
        """The body of an answer: what the gateway had whole before it began to answer has a length."""
        return self.body(int(fields["content-length"])) if "content-length" in fields else b"".join(self.chunks())

    def _receive(self) -> bytes:
        data = self.socket.recv(1 << 18)
        if not data:
            raise EOFError
        return data


class Growth:
    """What the worker needed more, at most, while the block ran."""

    def __init__(self, gateway: RunningGateway) -> None:
        (self._pid,) = gateway.workers()

    def __enter__(self) -> Self:
        process_facts.forget_peak(self._pid)
        self._before = process_facts.rss(self._pid)
        return self

    def __exit__(self, *_: object) -> None:
        self.bytes = process_facts.peak_rss(self._pid) - self._before


def _digest_of(size: int) -> str:
    digest = hashlib.sha256()
    for _ in range(size // len(PIECE)):
        digest.update(PIECE)
    return digest.hexdigest()


async def _digest(request: Request, reader: Any, writer: Any) -> None:
    """Answers with the digest of the body."""
    digest = hashlib.sha256()
    async for piece in request.pieces(reader):
        digest.update(piece)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" + digest.hexdigest().encode())


@pytest.mark.parametrize("framing", ["content-length", "chunked"])
def test_large_body_up(gateway: RunningGateway, container: StreamingServer, framing: str) -> None:
    """100 MB to the container arrive as they were sent, and the worker's memory stays flat."""
    container.answer = _digest
    size = 100 * MB
    is_chunked = framing == "chunked"
    with Client(gateway) as client, Growth(gateway) as growth:
        client.ask("Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {size}")
        for _ in range(size // len(PIECE)):
            client.send(b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if is_chunked else PIECE)
        if is_chunked:
            client.send(b"0\r\n\r\n")
        assert client.head()[0] == 200
        assert client.body(64).decode() == _digest_of(size)
    assert growth.bytes < GROWTH


@pytest.mark.parametrize("size", [100 * MB, pytest.param(1024 * MB, marks=pytest.mark.prove)], ids=["100MB", "1GB"])
@pytest.mark.parametrize("framing", ["content-length", "chunked"])
def test_large_body_down(gateway, container: StreamingServer, framing: str, size: int, show) -> None:
    """An answer of 100 MB or 1 GB arrives as it was sent, and the worker's memory stays flat."""
    is_chunked = framing == "chunked"

    async def answer(request: Request, reader: Any, writer: Any) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n" if is_chunked else b"Content-Length: %d\r\n\r\n" % size)
        for _ in range(size // len(PIECE)):
            writer.write(b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if is_chunked else PIECE)
            await writer.drain()
        writer.write(b"0\r\n\r\n" if is_chunked else b"")

    container.answer = answer
    digest = hashlib.sha256()
    with Client(gateway) as client, Growth(gateway) as growth:
        client.ask(method="GET")
        assert client.head()[0] == 200
        for piece in client.chunks() if is_chunked else client.pieces(size):
            digest.update(piece)
    show(f"{size // MB} MB down, {framing}: the worker needs {growth.bytes / MB:.1f} MB more")
    assert digest.hexdigest() == _digest_of(size)
    assert growth.bytes < GROWTH


class Pushed:
    """How many bytes one side could push until the other took them."""

    def __init__(self) -> None:
        self.bytes = 0

    def until_it_stands(self) -> int:
        """Wait until nothing more goes; how many there were."""
        before, deadline = -1, time.monotonic() + 30
        while self.bytes != before:
            assert time.monotonic() < deadline
            before = self.bytes
            time.sleep(0.7)
        return before


def test_slow_container_slows_the_client(gateway: RunningGateway, container: StreamingServer, show) -> None:
    """While the container reads nothing, the client cannot go on sending, and nothing piles up in the worker."""
    reads, size, pushed = threading.Event(), 64 * MB, Pushed()

    async def answer(request: Request, reader: Any, writer: Any) -> None:
        await asyncio.to_thread(reads.wait, 30)
        await _digest(request, reader, writer)

    def push(client: Client) -> None:
        for _ in range(size // len(PIECE)):
            client.send(PIECE)
            pushed.bytes += len(PIECE)

    container.answer = answer
    with Client(gateway, small=True) as client, Growth(gateway) as growth:
        client.ask(f"Content-Length: {size}")
        pushing = threading.Thread(target=push, args=(client,))
        pushing.start()
        under_way = pushed.until_it_stands()
        reads.set()
        pushing.join(30)
        assert client.head()[0] == 200
        assert client.body(64).decode() == _digest_of(size)
    show(f"{under_way / MB:.1f} MB are under way to a container that reads nothing")
    assert under_way < HELD
    assert growth.bytes < GROWTH


def test_slow_client_slows_the_container(gateway: RunningGateway, container: StreamingServer, show) -> None:
    """While the client reads nothing, the container cannot go on sending, and nothing piles up in the worker."""
    size, pushed = 64 * MB, Pushed()

    async def answer(request: Request, reader: Any, writer: Any) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // len(PIECE)):
            writer.write(PIECE)
            await writer.drain()
            pushed.bytes += len(PIECE)

    container.answer = answer
    digest = hashlib.sha256()
    with Client(gateway, small=True) as client, Growth(gateway) as growth:
        client.ask(method="GET")
        assert client.head()[0] == 200
        under_way = pushed.until_it_stands()
        for piece in client.pieces(size):
            digest.update(piece)
    show(f"{under_way / MB:.1f} MB are under way to a client that reads nothing")
    assert under_way < HELD
    assert digest.hexdigest() == _digest_of(size)
    assert growth.bytes < GROWTH


def test_events_come_as_they_are_sent(gateway: RunningGateway, container: StreamingServer, show) -> None:
    """Head and events of a stream reach the client one by one, before the container sends the next."""
    seen: queue.Queue[None] = queue.Queue()
    sent: list[float] = []

    async def answer(request: Request, reader: Any, writer: Any) -> None:
        sent.append(time.monotonic())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(20):
            await asyncio.to_thread(seen.get, True, 10)
            event = b"data: %d\n\n" % number
            sent.append(time.monotonic())
            writer.write(b"%x\r\n%b\r\n" % (len(event), event))
        writer.write(b"0\r\n\r\n")

    container.answer = answer
    with Client(gateway) as client:
        client.ask(method="GET")
        status, fields = client.head()
        received, events = [time.monotonic()], []
        seen.put(None)
        for event in client.chunks():
            received.append(time.monotonic())
            events.append(event)
            seen.put(None)
    assert (status, fields["content-type"]) == (200, "text/event-stream")
    assert events == [b"data: %d\n\n" % number for number in range(20)]
    delays = [there - here for here, there in zip(sent, received, strict=True)]
    show(f"an event takes {statistics.median(delays) * 1000:.2f} ms, at most {max(delays) * 1000:.2f} ms")
    assert statistics.median(delays) < 0.05


def test_gzip_is_never_inflated(gateway: RunningGateway, container: StreamingServer) -> None:
    """Compressed bodies pass both ways as they are: 100 MB of zeros stay the 100 kB that they were compressed to."""
    packed = gzip.compress(bytes(100 * MB), 9)

    async def answer(request: Request, reader: Any, writer: Any) -> None:
        body = await request.body(reader)
        assert request.fields["content-encoding"] == request.fields["accept-encoding"] == "gzip"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    container.answer = answer
    with Client(gateway) as client, Growth(gateway) as growth:
        client.ask(f"Content-Length: {len(packed)}", "Content-Encoding: gzip", "Accept-Encoding: gzip")
        client.send(packed)
        status, fields = client.head()
        assert (status, fields["content-encoding"], int(fields["content-length"])) == (200, "gzip", len(packed))
        assert client.body(len(packed)) == packed
    assert growth.bytes < GROWTH


@pytest.mark.parametrize(
    ("method", "answer", "expected"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", (200, "5000", None)),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", (204, None, None)),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 77\r\n\r\n", (304, "77", None)),
        ("GET", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", (204, None, None)),
    ],
    ids=["HEAD", "204", "304", "103"],
)
def test_answers_without_a_body(gateway: RunningGateway, container: StreamingServer, method, answer, expected) -> None:
    """They end where they end: the next request on the same connection gets its own answer."""
    with Client(gateway) as client:
        for _ in range(3):
            container.answer = says(answer)
            client.ask(method=method)
            status, fields = client.head()
            assert (status, fields.get("content-length"), fields.get("transfer-encoding")) == expected
            assert "link" not in fields
            container.answer = says(OK)
            client.ask(method="GET")
            assert client.head()[0] == 200
            assert client.body(2) == b"ok"


def test_answer_until_the_end_of_the_connection(gateway: RunningGateway, container: StreamingServer) -> None:
    """An answer without a length, ended by the container's close, has an end that the client sees, and it is kept."""
    container.answer = says(b"HTTP/1.1 200 OK\r\n\r\n" + PIECE, closes=True)
    with Client(gateway) as client:
        for _ in range(3):
            client.ask(method="GET")
            status, fields = client.head()
            assert status == 200
            assert client.whole(fields) == PIECE


def test_trailers_are_dropped(gateway: RunningGateway, container: StreamingServer) -> None:
    """Fields after a body become no header, in neither direction."""
    heads: list[Request] = []

    async def answer(request: Request, reader: Any, writer: Any) -> None:
        heads.append(request)
        await request.body(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTrailer: X-Late\r\nTransfer-Encoding: chunked\r\n\r\n")
        await writer.drain()
        writer.write(b"3\r\nabc\r\n0\r\nX-Late: yes\r\n\r\n")

    container.answer = answer
    with Client(gateway) as client:
        client.ask("Transfer-Encoding: chunked", "Trailer: X-Late")
        client.send(b"3\r\nabc\r\n0\r\nX-Late: yes\r\n\r\n")
        _, fields = client.head()
        assert client.whole(fields) == b"abc"
    assert {"trailer", "x-late"} & (fields.keys() | heads[0].fields.keys()) == set()


def test_control_a_process_that_collects(gateway: RunningGateway) -> None:
    """Control: what holds a body of 100 MB in memory is told apart from what passes it on."""
    own = os.getpid()
    process_facts.forget_peak(own)
    before = process_facts.rss(own)
    collected = bytearray().join(PIECE for _ in range(100 * MB // len(PIECE)))
    assert process_facts.peak_rss(own) - before > GROWTH
    assert len(collected) == 100 * MB
