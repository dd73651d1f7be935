"""Requests that workers pass on to the control process: what goes along, what comes back, and what is never sent."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from gateway.core.exchange import Exchange
from gateway.core.problem import Reply
from gateway.core.route import Route, RouteTable
from gateway.core.settings import ScoringSettings
from gateway.core.snapshot import ServiceEntry, Trust
from gateway.core.spec import CorsSpec, ServiceSpec
from gateway.policy import World, compile_checks
from gateway.policy.cors import compile_decoration
from gateway.proxy import lane as lane_module
from gateway.proxy.handler import Handler
from gateway.proxy.lane import AWAY, EXCHANGE, MAX_BODY, Errand, Lane
from gateway.proxy.listener import Listener
from gateway.proxy.local import Local
from gateway.proxy.meters import Meters
from gateway.proxy.sweep import Sweep

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nX-Told: yes\r\nServer: x\r\n\r\n{}"
ERRANDS = EXCHANGE | {b"/jobs": Errand(b"POST", "batch")}


class Control:
    """The control process's end: keeps what it was asked, and says what it is told to."""

    def __init__(self, path):
        self.path = path
        self.answer = OK
        self.asked = []
        self.holds = asyncio.Event()
        self.holds.set()

    async def start(self):
        self.server = await asyncio.start_unix_server(self._serve, str(self.path))
        return self

    async def stop(self):
        self.holds.set()
        self.server.close()
        await self.server.wait_closed()

    async def _serve(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        self.asked.append(head + await reader.readexactly(length))
        await self.holds.wait()
        writer.write(self.answer)
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()


class NoLimits:
    def admit(self, *_):
        return 0.0

    def refund(self, *_):
        pass


@pytest.fixture
async def control(tmp_path):
    made = await Control(tmp_path / "lane").start()
    yield made
    await made.stop()


@pytest.fixture
async def worker(control):
    """`worker.ask(request)`: what a client reads. `worker.open`: whether the control process is there."""

    class Worker:
        open = True

        def __init__(self):
            self.records = []
            table, self.meters = RouteTable(), Meters()
            world = World(Trust(b"d", "urn:test", ()), NoLimits())
            spec = ServiceSpec(
                backends=("http://b",),
                max_request_bytes=1 << 20,
                cors=CorsSpec(allowed_origins=("https://app.example.com",)),
                auth_enabled=False,
                hosts=("svc.example.com",),
            )
            entry = ServiceEntry(name="svc", spec=spec, keys=(), deployments=(), born=0.0)
            checks = compile_checks(entry, world)
            table.put(Route(entry, checks, compile_decoration(entry), (), self.meters.of("svc")))
            local = Local(lambda: (True, False, ""), lambda name: table.get(name) is not None)
            self.lane = Lane(str(control.path), table, world, ERRANDS, lambda: self.open)
            handler = Handler(table, None, self.meters, local, self._record, lane=self.lane)
            self.sweep = Sweep(asyncio.get_running_loop())
            limits = ScoringSettings(body_timeout_seconds=0.3)
            self.listener = Listener(handler, limits, self.sweep, secure=False)

        def _record(self, trip, _ended):
            self.records.append(trip)

        async def start(self):
            self.server = await asyncio.get_running_loop().create_server(self.listener, "127.0.0.1", 0)
            return self

        @property
        def address(self):
            return self.server.sockets[0].getsockname()[:2]

        async def ask(self, path=b"/api/v1/service/svc/token", *fields, body=b"", method=b"POST", host=b"gw:1"):
            head = b"%b %b HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n" % (method, path, host)
            lines = b"".join(field + b"\r\n" for field in (*fields, b"Content-Length: %d" % len(body)))
            return await self.send(head + lines + b"\r\n" + body)

        async def send(self, data):
            reader, writer = await asyncio.open_connection(*self.address)
            writer.write(data)
            async with asyncio.timeout(10):
                answer = await reader.read()
            writer.close()
            return answer

    made = await Worker().start()
    yield made
    made.server.close()
    made.sweep.close()


async def test_there_and_back(worker, control) -> None:
    """The request goes whole, with its query; the answer comes with its own fields, and with those of the service."""
    got = await worker.ask(
        b"/api/v1/service/svc/token?a=1",
        b"Content-Type: application/json",
        b"X-Request-Id: r-1",
        body=b'{"verbs":["score"]}',
    )
    (asked,) = control.asked
    assert asked.startswith(b"POST /services/svc/token?a=1 HTTP/1.1\r\nhost: control\r\n")
    assert asked.endswith(b'\r\n\r\n{"verbs":["score"]}')
    assert b"\r\nx-request-id: r-1\r\n" in asked
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert got.endswith(b"\r\n\r\n{}")
    for line in (b"x-told: yes", b"content-type: application/json", b"x-request-id: r-1", b"vary: Origin"):
        assert b"\r\n" + line + b"\r\n" in got
    assert got.count(b"content-length:") == got.count(b"content-type:") == 1
    assert b"server:" not in got
    (trip,) = worker.records
    assert (trip.status, trip.outcome, trip.exchange.operation) == (200, "ok", "token")
    assert worker.meters.of("svc").in_flight == 0


async def test_by_host(worker, control) -> None:
    """A service that has a host of its own is found there; the control process sees the same path."""
    assert (await worker.ask(b"/token", host=b"svc.example.com:8443")).startswith(b"HTTP/1.1 200 ")
    assert control.asked[0].startswith(b"POST /services/svc/token HTTP/1.1\r\n")
    assert (await worker.ask(b"/token", host=b"other.example.com")).startswith(b"HTTP/1.1 404 ")
    assert len(control.asked) == 1


async def test_a_foreign_credential_goes_along(worker, control) -> None:
    """Where the control process judges it; every field of it, so that two are seen as two."""
    await worker.ask(b"/api/v1/service/svc/token", b"Authorization: Bearer a.b.c", b"authorization: Bearer d")
    assert control.asked[0].count(b"\r\nauthorization: Bearer ") == 2


async def test_our_own_credential_does_not(worker, control) -> None:
    """Where this worker judged it, the control process is told who it was."""
    await worker.ask(b"/api/v1/service/svc/jobs", b"Authorization: Bearer secret")
    assert b"secret" not in control.asked[0]
    assert b"\r\nx-scoregate-auth-type: none\r\nx-scoregate-caller: anonymous\r\n" in control.asked[0]


async def test_nobody_speaks_for_us(worker, control) -> None:
    """Identity, addresses and framing are the gateway's to tell."""
    lies = (b"X-Scoregate-Caller: admin", b"X-Forwarded-For: 10.0.0.1", b"X_Forwarded_For: 10.0.0.1", b"Lane: x")
    await worker.ask(b"/api/v1/service/svc/jobs", *lies, b"X-Scoregate-Auth-Type: key")
    (asked,) = control.asked
    assert b"admin" not in asked
    assert b"10.0.0.1" not in asked
    assert asked.count(b"x-scoregate-caller:") == asked.count(b"x-forwarded-for:") == 1
    assert b"\r\nx-forwarded-for: 127.0.0.1\r\n" in asked


@pytest.mark.parametrize(
    "path",
    [
        b"/token",
        b"/api/v1/service/svc",
        b"/api/v1/service/svc/",
        b"/api/v1/service/svc/token/",
        b"/api/v1/service/svc/Token",
        b"/api/v1/service/svc/x/token",
        b"/api/v1/service/svc//token",
        b"/api/v1/service/svc/%74oken",
        b"/api/v1/service/nobody/token",
        b"/api/v1/service//token",
        b"/api/v1/service/\xff/token",
    ],
)
async def test_other_paths_are_not_passed_on(worker, control, path: bytes) -> None:
    """Only the exact path below a service that exists."""
    assert worker.lane.find(Exchange(b"POST", path, b"", [])) is None
    got = await worker.ask(path)
    assert got.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 "))
    assert not control.asked


async def test_another_method(worker, control) -> None:
    """405 with the one there is."""
    got = await worker.ask(method=b"GET")
    assert got.startswith(b"HTTP/1.1 405 ")
    assert b"\r\nallow: POST\r\n" in got
    assert not control.asked


async def test_a_preflight_is_answered_here(worker, control) -> None:
    """A page may ask for a token; the control process knows nothing of origins."""
    fields = (b"Origin: https://app.example.com", b"Access-Control-Request-Method: POST")
    got = await worker.ask(b"/api/v1/service/svc/token", *fields, method=b"OPTIONS")
    assert got.startswith(b"HTTP/1.1 204 ")
    assert b"access-control-allow-origin: https://app.example.com\r\n" in got
    assert not control.asked


async def test_the_control_process_is_away(worker, control) -> None:
    """503 with when to come again, at once; neither the body is awaited nor anything sent."""
    worker.open = False
    got = await worker.send(
        b"POST /api/v1/service/svc/token HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\n"
    )
    assert got.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nretry-after: 2\r\n" in got
    assert b'"control_away"' in got
    assert not control.asked
    assert worker.meters.of("svc").refusals == {"control_away": 1}


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        OK[:-1],
        OK[:20],
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + b"x" * 1_100_000,
    ],
    ids=["nothing", "garbage", "cut body", "cut head", "too much"],
)
async def test_a_broken_answer(worker, control, answer: bytes) -> None:
    """It ended in the middle of it: the same 503, and never a part of an answer."""
    control.answer = answer
    assert (await worker.ask()).startswith(b"HTTP/1.1 503 ")


async def test_nobody_listens(worker, control) -> None:
    """The socket is there and nobody behind it."""
    await control.stop()
    assert (await worker.ask()).startswith(b"HTTP/1.1 503 ")


async def test_an_answer_that_does_not_come(worker, control, monkeypatch) -> None:
    """503 after the errand's own deadline."""
    monkeypatch.setattr(lane_module, "SECONDS", 0.2)
    control.holds.clear()
    assert (await worker.ask()).startswith(b"HTTP/1.1 503 ")
    assert AWAY.reason == "control_away"


async def test_a_client_that_leaves(worker, control) -> None:
    """Its errand is dropped, once, and counted as gone."""
    control.holds.clear()
    _, writer = await asyncio.open_connection(*worker.address)
    writer.write(b"POST /api/v1/service/svc/token HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    while not control.asked:
        await asyncio.sleep(0.005)
    writer.transport.abort()
    async with asyncio.timeout(5):
        while not worker.records:
            await asyncio.sleep(0.005)
    assert (worker.records[0].outcome, worker.records[0].status) == ("gone", 499)
    assert worker.meters.of("svc").in_flight == 0


@pytest.mark.parametrize("size", [MAX_BODY + 1, 300_000])
@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_a_body_that_is_too_large(worker, control, size: int, framing: str) -> None:
    """413: what goes this way is small, whatever the service takes."""
    if framing == "length":
        got = await worker.ask(body=b"x" * size)
    else:
        head = b"POST /api/v1/service/svc/token HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        got = await worker.send(head + b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"x" * size))
    assert got.startswith(b"HTTP/1.1 413 ")
    assert not control.asked


async def test_a_body_in_pieces(worker, control) -> None:
    """The largest there is arrives whole, with its length said."""
    reader, writer = await asyncio.open_connection(*worker.address)
    head = (
        b"POST /api/v1/service/svc/token HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    writer.write(head)
    piece = b"y" * (MAX_BODY // 4 - 1)
    for _ in range(4):
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await asyncio.sleep(0.01)
    writer.write(b"0\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
    assert control.asked[0].endswith(b"content-length: %d\r\nconnection: close\r\n\r\n" % (4 * len(piece)) + piece * 4)
    writer.close()


async def test_a_body_that_does_not_come(worker, control) -> None:
    """408, as for scoring."""
    got = await worker.send(b"POST /api/v1/service/svc/token HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
    assert got.startswith(b"HTTP/1.1 408 ")
    assert not control.asked


async def test_a_refusal_there_is_counted_here(worker, control) -> None:
    """The log and the metrics of the scoring port know of it."""
    control.answer = b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/problem+json\r\nContent-Length: 2\r\n\r\n{}"
    assert (await worker.ask()).startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert worker.meters.of("svc").refusals == {"refused_by_control": 1}
    assert (worker.records[0].outcome, worker.records[0].stage) == ("refused", "lane")


async def test_control_a_worker_without_lane_knows_no_such_path(worker) -> None:
    """The tests above are about the lane: without it the same request is 404."""
    worker.listener.serve._lane = None
    assert (await worker.ask()).startswith(b"HTTP/1.1 404 ")
    assert isinstance(AWAY, Reply)
