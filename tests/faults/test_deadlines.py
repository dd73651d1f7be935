"""Deadlines of a connection and of a request, and what happens to the container's permit when its client leaves."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Self

import pytest
from running_gateway import RunningGateway
from streaming_server import Request, StreamingServer, says
from wire import trusting

SECOND = 1.0
SLACK = 1.5
"""How much later than its time a deadline may be kept on a machine that is busy."""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SHORT_MS, ABANDON_MS = 600, 400


@pytest.fixture(scope="module")
def container() -> Iterator[StreamingServer]:
    server = StreamingServer(says(OK))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def deaf() -> Iterator[str]:
    """URL of a host that takes no more connections and does not say so either."""
    with ExitStack() as undo:
        listening = undo.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(3):
            one = undo.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture(scope="module")
def gateway(start_gateway, container: StreamingServer, deaf: str) -> RunningGateway:
    common = {"auth_enabled": False, "health": None, "backends": [container.url]}
    single = common | {"max_concurrent_requests_per_container": 1, "max_queue_wait_ms": 10_000}
    short = {"scoring_timeout_ms": SHORT_MS, "connect_timeout_ms": 5000, "stream_idle_timeout_ms": SHORT_MS}
    services = {
        "short": single | short,
        "deaf": common | short | {"backends": [deaf]},
        "auto": single,
        "drain": single | {"on_client_gone": "drain"},
        "abort": single | {"on_client_gone": "abort"},
        "abandon": single | {"abandon_after_ms": ABANDON_MS},
    }
    scoring = {
        "workers": 1,
        "drain_seconds": 1,
        "handshake_timeout_seconds": SECOND,
        "header_timeout_seconds": SECOND,
        "body_timeout_seconds": SECOND,
        "keep_alive_seconds": SECOND,
    }
    return start_gateway(services, scoring=scoring)


class Line:
    """A connection that says what the test has it say."""

    def __init__(self, gateway: RunningGateway, *, tls: bool = True) -> None:
        port = int(gateway.ready["scoring_url"].rpartition(":")[2])
        plain = socket.create_connection(("127.0.0.1", port), timeout=10)
        context = trusting(gateway.ready["ca_file"])
        self.socket = context.wrap_socket(plain, server_hostname="127.0.0.1") if tls else plain
        self.began = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)
        self.began = time.monotonic()

    def ask(self, service: str, body: bytes = b"{}") -> None:
        self.request_id = f"{service}-{time.monotonic_ns()}"
        head = f"POST /api/v1/service/{service}/score HTTP/1.1\r\nHost: a\r\nX-Request-Id: {self.request_id}\r\n"
        self.say(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def leave(self) -> None:
        """Close the connection, so that the other side sees it."""
        self.socket.close()

    def until_closed(self) -> bytes:
        """All that still comes."""
        received = b""
        try:
            while data := self.socket.recv(65_536):
                received += data
        except (ConnectionError, ssl.SSLError):
            pass
        return received

    def answer(self) -> tuple[int, dict[str, Any]]:
        """Status and document of an answer with a length."""
        received = b""
        while b"\r\n\r\n" not in received:
            received += self.socket.recv(65_536)
        head, _, body = received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += self.socket.recv(65_536)
        return int(head[9:12]), json.loads(body) if body.startswith(b"{") else {}

    def took(self, seconds: float) -> bool:
        """Whether it ended when it should."""
        return seconds * 0.9 <= time.monotonic() - self.began < seconds + SLACK


# --- of a connection


def test_handshake_timeout(gateway: RunningGateway) -> None:
    """Who does not finish its TLS handshake is closed in time."""
    with Line(gateway, tls=False) as line:
        line.say(b"\x16\x03\x01")
        assert line.until_closed() == b""
        assert line.took(SECOND)


def test_silent_client(gateway: RunningGateway) -> None:
    """Who says nothing at all is closed in the time that a head may take."""
    with Line(gateway) as line:
        assert line.until_closed() == b""
        assert line.took(SECOND)


def test_header_timeout(gateway: RunningGateway) -> None:
    """Who does not finish the head of its request is told 408, and closed."""
    with Line(gateway) as line:
        line.say(b"POST /api/v1/ser")
        status, problem = line.answer()
        assert line.took(SECOND)
        assert line.until_closed() == b""
    assert (status, problem["reason"], problem["stage"]) == (408, "head_timeout", "head")


def test_body_timeout(gateway: RunningGateway) -> None:
    """Who stops in its body is told 408, closed, and counted under the stage."""
    before = _timeouts(gateway, "short", "body")
    with Line(gateway) as line:
        line.say(b"POST /api/v1/service/short/score HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
        status, problem = line.answer()
        assert line.took(SECOND)
    assert (status, problem["reason"], problem["stage"]) == (408, "body_timeout", "body")
    assert _timeouts(gateway, "short", "body") == before + 1


def test_keep_alive(gateway: RunningGateway) -> None:
    """A kept connection on which nothing comes is closed in time, in good order."""
    with Line(gateway) as line:
        line.say(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        assert line.answer()[0] == 200
        assert line.socket.recv(1) == b""  # with TLS: its closing alert came first
        assert line.took(SECOND)


# --- of a request


def _timeouts(gateway: RunningGateway, service: str, stage: str) -> float:
    return gateway.metrics().get(("scoregate_timeouts_total", service, stage), 0)


def _logged(gateway: RunningGateway, line: Line) -> dict[str, Any]:
    """The line of the access log about the last request of a connection."""
    found: list[dict[str, Any]] = []

    def look() -> bool:
        found[:] = [record for record in gateway.access_log() if record["request_id"] == line.request_id]
        return bool(found)

    gateway.until(look)
    return found[0]


class Held:
    """An answer that waits until it is let go."""

    def __init__(self, first: bytes = b"", rest: bytes = OK) -> None:
        self.arrived, self.go, self.ended = threading.Event(), threading.Event(), threading.Event()
        self._first, self._rest = first, rest

    async def __call__(self, request: Request, reader: Any, writer: Any) -> None:
        try:
            await request.body(reader)
            writer.write(self._first)
            self.arrived.set()
            await asyncio.to_thread(self.go.wait, 20)
            writer.write(self._rest)
        finally:
            self.ended.set()


@pytest.fixture
def held(container: StreamingServer) -> Iterator[Callable[..., Held]]:
    made: list[Held] = []

    def hold(*answer: bytes) -> Held:
        container.answer = one = Held(*answer)
        made.append(one)
        return one

    yield hold
    for one in made:
        one.go.set()
        one.ended.wait(10)
    container.answer = says(OK)


def test_stage_first_byte(gateway: RunningGateway, held) -> None:
    """A container that does not begin to answer: 504, and problem, log and metric name the stage."""
    held()
    before = _timeouts(gateway, "short", "first_byte")
    with Line(gateway) as line:
        line.ask("short")
        status, problem = line.answer()
        assert line.took(SHORT_MS / 1000)
    assert (status, problem["reason"], problem["stage"]) == (504, "timeout", "first_byte")
    logged = _logged(gateway, line)
    assert (logged["status"], logged["reason"], logged["stage"]) == (504, "timeout", "first_byte")
    assert _timeouts(gateway, "short", "first_byte") == before + 1


def test_stage_queue(gateway: RunningGateway, held, container: StreamingServer) -> None:
    """A request that waits for the container all its time: 504 in stage queue."""
    slow = held(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n", b"")
    with Line(gateway) as first, Line(gateway) as second:
        first.ask("short")
        slow.arrived.wait(5)
        # The answer streams, so that the first may go on while the second waits for its whole time.
        stop = threading.Event()
        feeding = threading.Thread(target=_trickle, args=(container, stop))
        feeding.start()
        second.ask("short")
        status, problem = second.answer()
        stop.set()
        feeding.join()
    assert (status, problem["stage"]) == (504, "queue")
    assert _logged(gateway, second)["stage"] == "queue"


def _trickle(container: StreamingServer, stop: threading.Event) -> None:
    while not stop.wait(0.1):
        for writer in list(container.connections):
            container.loop.call_soon_threadsafe(writer.write, b"x")


def test_stage_connect(gateway: RunningGateway) -> None:
    """A container that cannot be connected to all that time: 504 in stage connect."""
    with Line(gateway) as line:
        line.ask("deaf")
        status, problem = line.answer()
        assert line.took(SHORT_MS / 1000)
    assert (status, problem["reason"], problem["stage"]) == (504, "timeout", "connect")
    logged = _logged(gateway, line)
    assert (logged["outcome"], logged["stage"]) == ("timeout", "connect")
    assert _timeouts(gateway, "deaf", "connect") == 1


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n12",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n12\r\n",
    ],
    ids=["the one deadline", "stream_idle_timeout_ms"],
)
def test_stage_answer(gateway: RunningGateway, held, head: bytes) -> None:
    """A container that stops in its answer: the client sees it cut; log and metric name the stage."""
    held(head, b"")
    before = _timeouts(gateway, "short", "answer")
    with Line(gateway) as line:
        line.ask("short")
        received = line.until_closed()
        assert line.took(SHORT_MS / 1000)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert not received.endswith(b"0\r\n\r\n")
    assert _logged(gateway, line)["stage"] == "answer"
    assert _timeouts(gateway, "short", "answer") == before + 1


def test_stream_outlives_the_one_deadline(gateway: RunningGateway, container: StreamingServer) -> None:
    """A stream that goes on may take longer than `scoring_timeout_ms`."""

    async def answer(request: Request, reader: Any, writer: Any) -> None:
        await request.body(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(8):
            writer.write(b"1\r\nx\r\n")
            await asyncio.sleep(SHORT_MS / 1000 / 4)
        writer.write(b"0\r\n\r\n")

    container.answer = answer
    with Line(gateway) as line:
        line.ask("short")
        line.socket.settimeout(10)
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            received += line.socket.recv(65_536)
    assert received.count(b"x\r\n") == 8


# --- when the client leaves


def _waits_for_its_permit(gateway: RunningGateway, service: str, first: Held, container: StreamingServer) -> float:
    """Seconds that the next request waits for the container after the first client left."""
    with Line(gateway) as leaver:
        leaver.ask(service)
        assert first.arrived.wait(5)
        leaver.leave()
    left = time.monotonic()
    container.answer = says(OK)
    with Line(gateway) as line:
        line.ask(service)
        assert line.answer()[0] == 200
    return time.monotonic() - left


@pytest.mark.parametrize("service", ["auto", "drain"])
def test_permit_is_held_while_the_container_computes(gateway: RunningGateway, held, container, service: str) -> None:
    """A client that left before the answer began: the container finishes, and only then gets the next request."""
    first = held()
    threading.Timer(0.8, first.go.set).start()
    assert _waits_for_its_permit(gateway, service, first, container) >= 0.7
    assert first.ended.is_set()


def test_abort_gives_the_permit_back(gateway: RunningGateway, held, container) -> None:
    """With `abort` the container's connection is closed with the client's, and the next request goes there at once."""
    first = held()
    assert _waits_for_its_permit(gateway, "abort", first, container) < 0.7
    assert not first.ended.is_set()


def test_abandon(gateway: RunningGateway, held, container) -> None:
    """A container that does not finish is waited for `abandon_after_ms` and no longer."""
    first = held()
    waited = _waits_for_its_permit(gateway, "abandon", first, container)
    assert ABANDON_MS / 1000 * 0.9 <= waited < ABANDON_MS / 1000 + SLACK
    assert not first.ended.is_set()


def test_stream_without_a_client_ends(gateway: RunningGateway, held, container) -> None:
    """With `auto` an answer that streams is cut off when its client leaves; nothing else is left to wait for."""
    first = held(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", b"")
    assert _waits_for_its_permit(gateway, "auto", first, container) < 0.7


def test_stream_without_a_client_is_drained(gateway: RunningGateway, held, container) -> None:
    """With `drain` the container may end its stream, too."""
    first = held(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", b"0\r\n\r\n")
    threading.Timer(0.8, first.go.set).start()
    assert _waits_for_its_permit(gateway, "drain", first, container) >= 0.7
