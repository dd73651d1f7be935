"""A worker's data plane in memory: virtual time, recorded transports, scripted backends, and books kept on all of it.

A test talks like a conversation: the client sends, the backend sees and answers, time passes. At its end the rig holds
every permit against zero, and every request against one log record and one observation.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import os
import socket
import struct
import subprocess
import sys
import textwrap
import time
from collections import deque
from pathlib import Path
from types import SimpleNamespace

import httptools
import pytest

from gateway.core import key
from gateway.core.ejection import IN
from gateway.core.message import TO_CONTROL, TO_WORKER, Ack, Frames, Publish, frame
from gateway.core.route import RouteTable
from gateway.core.settings import ScoringSettings
from gateway.core.snapshot import BackendEntry, DeploymentEntry, KeyEntry, ServiceEntry, Trust, Update
from gateway.core.spec import ServiceSpec
from gateway.policy import World
from gateway.proxy import (
    client,
    compiler,
    delivery,
    desk,
    forward,
    handler,
    handshake,
    memo,
    message,
    sweep,
    upload,
    upstream,
)
from gateway.proxy.compiler import Compiler
from gateway.proxy.desk import Desk
from gateway.proxy.handler import Handler
from gateway.proxy.listener import Listener
from gateway.proxy.local import Local
from gateway.proxy.meters import Meters
from gateway.proxy.standings import StandingColumns
from gateway.proxy.sweep import Sweep

sys.path.insert(0, str(Path(__file__).parent))

HIGH_WATER = 65_536
NEVER_READABLE = os.eventfd(0)
DIGEST_KEY = b"d" * 32
PRIMARY = b"a-key-of-this-service"
TIMED = (client, compiler, delivery, desk, forward, handler, handshake, memo, message, sweep, upload, upstream)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0
        self.module = SimpleNamespace(
            monotonic=lambda: self.now, time=lambda: self.now + 1.7e9, gmtime=time.gmtime, strftime=time.strftime
        )


class Loop:
    """An event loop whose time passes only when the test says so."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.network = {}
        self.failures = []
        self._ready = deque()
        self._timers = []
        self._order = itertools.count()

    def time(self) -> float:
        return self.clock.now

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context) -> None:
        self.failures.append(context)

    def call_soon(self, callback, *arguments, **_):
        handle = Handle(callback, arguments)
        self._ready.append(handle)
        return handle

    def call_later(self, delay, callback, *arguments):
        handle = Handle(callback, arguments)
        heapq.heappush(self._timers, (self.clock.now + delay, next(self._order), handle))
        return handle

    def create_future(self):
        return asyncio.Future(loop=self)

    def create_task(self, coroutine):
        return asyncio.Task(coroutine, loop=self)

    async def create_connection(self, factory, host, port, **_):
        backend = self.network.get((host, port))
        if backend is None or backend.mode == "refuse":
            raise ConnectionRefusedError(111, "Connection refused")
        if isinstance(backend.mode, Exception):
            raise backend.mode
        if backend.mode == "hang":
            backend.hanging = self.create_future()
            await backend.hanging
        protocol = factory()
        side = Transport(self, protocol)
        protocol.connection_made(side)
        backend.sides.append(side)
        return side, protocol

    def settle(self) -> None:
        """Run what is due now, and what comes of it."""
        while self._ready:
            self._ready.popleft().run()

    def advance(self, seconds: float) -> None:
        until = self.clock.now + seconds
        self.settle()
        while self._timers and self._timers[0][0] <= until:
            when, _, handle = heapq.heappop(self._timers)
            self.clock.now = max(self.clock.now, when)
            handle.run()
            self.settle()
        self.clock.now = until


class Handle:
    def __init__(self, callback, arguments) -> None:
        self.callback, self.arguments = callback, arguments

    def cancel(self) -> None:
        self.callback = None

    def run(self) -> None:
        if self.callback is not None:
            self.callback(*self.arguments)


class Transport:
    """One end of a connection: what the protocol does is recorded, what the peer does is said by the test.

    As with uvloop, `connection_lost` comes from the loop, never from within a call; data waits while reading is paused.
    """

    def __init__(self, loop: Loop, protocol, *, peer=("192.0.2.7", 40000), secure: bool = False) -> None:
        self.loop, self.protocol, self.secure = loop, protocol, secure
        self.peer = peer
        self.received = bytearray()
        self.writes = 0
        self.unsent = bytearray()
        self.arriving = deque()
        self.stalled = self.reading_paused = self.eof = self.closing = self.aborted = self.lost = False
        self.writing_paused = self.resets = False
        self.high = HIGH_WATER

    # --- what the protocol does

    def write(self, data) -> None:
        if self.eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self.lost or self.aborted:
            return
        self.writes += 1
        if not self.stalled:
            self.received += data
            return
        self.unsent += data
        if len(self.unsent) > self.high and not self.writing_paused:
            self.writing_paused = True
            self.protocol.pause_writing()

    def writelines(self, pieces) -> None:
        self.write(b"".join(pieces))

    def can_write_eof(self) -> bool:
        return not self.secure

    def write_eof(self) -> None:
        assert not self.secure
        self.eof = True

    def close(self) -> None:
        self.closing = True
        if not self.unsent:
            self._lose(None)

    def abort(self) -> None:
        self.closing = self.aborted = True
        self.unsent.clear()
        self._lose(None)

    def is_closing(self) -> bool:
        return self.closing

    def set_protocol(self, protocol) -> None:
        self.protocol = protocol

    def is_reading(self) -> bool:
        return not self.reading_paused

    def pause_reading(self) -> None:
        assert not self.reading_paused
        self.reading_paused = True

    def resume_reading(self) -> None:
        assert self.reading_paused
        self.reading_paused = False
        self.loop.call_soon(self._deliver)

    def get_extra_info(self, name, default=None):
        return {"peername": self.peer, "socket": self}.get(name, default)

    def setsockopt(self, level, option, value) -> None:
        assert (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER)
        self.resets = struct.unpack("ii", value) == (1, 0)

    family = socket.AF_INET

    def fileno(self) -> int:
        return NEVER_READABLE

    def getsockopt(self, level, option, size: int) -> bytes:
        assert (level, option) == (socket.IPPROTO_TCP, socket.TCP_INFO)
        info = bytearray(size)
        struct.pack_into("Q", info, 120, len(self.received))
        struct.pack_into("I", info, 144, len(self.unsent))
        return bytes(info)

    def get_write_buffer_size(self) -> int:
        return len(self.unsent)

    def set_write_buffer_limits(self, high: int, low: int | None = None) -> None:
        assert high in (0, HIGH_WATER)
        assert low is None
        self.high = high

    # --- what the peer does

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.arriving.append(piece)
            self._deliver()
            self.loop.settle()

    def take(self) -> bytes:
        data = bytes(self.received)
        self.received.clear()
        return data

    def stall(self) -> None:
        """Read no more."""
        self.stalled = True

    def sip(self, size: int) -> None:
        """Read a little."""
        self.received += self.unsent[:size]
        del self.unsent[:size]

    def unstall(self) -> None:
        """Read on."""
        self.stalled = False
        self.received += self.unsent
        self.unsent.clear()
        if self.closing:
            self._lose(None)
        elif self.writing_paused:
            self.writing_paused = False
            self.protocol.resume_writing()
        self.loop.settle()

    def shut(self) -> None:
        """Send no more."""
        if not self.lost and not self.protocol.eof_received():
            self.close()
        self.loop.settle()

    def reset(self) -> None:
        self.closing = True
        self._lose(ConnectionResetError(104, "Connection reset by peer"))
        self.loop.settle()

    def _deliver(self) -> None:
        while self.arriving and not self.reading_paused and not self.closing:
            self.protocol.data_received(self.arriving.popleft())

    def _lose(self, error) -> None:
        if not self.lost:
            self.lost = True
            self.loop.call_soon(self.protocol.connection_lost, error)


class Answer(SimpleNamespace):
    """status, headers (lower case, str), body, complete."""


def read_answers(data: bytes, methods=("GET",)) -> list[Answer]:
    """The answers in a byte stream, read strictly; raises where a client could not read them."""
    answers = []

    class Events:
        def on_message_begin(self):
            answers.append(Answer(status=0, headers={}, body=b"", complete=False, is_chunked=False))

        def on_header(self, name, value):
            name = name.decode().lower()
            assert name == "vary" or name not in answers[-1].headers, f"{name} twice"
            answers[-1].headers[name] = value.decode("latin-1")

        def on_headers_complete(self):
            answers[-1].status = parser.get_status_code()

        def on_body(self, body):
            answers[-1].body += body

        def on_message_complete(self):
            answers[-1].complete = True

    parser = httptools.HttpResponseParser(Events())
    if methods == ("HEAD",):
        head, _, rest = data.partition(b"\r\n\r\n")
        assert rest == b"", "a body after the answer to HEAD"
        data = (
            b"".join(line + b"\r\n" for line in head.split(b"\r\n") if not line.startswith(b"content-length")) + b"\r\n"
        )
    parser.feed_data(data)
    return answers


class Backend:
    """A scripted model server. `mode`: accept, refuse, hang, or the exception that connecting ends with."""

    def __init__(self) -> None:
        self.mode = "accept"
        self.sides = []
        self.hanging = None

    @property
    def last(self) -> Transport:
        return self.sides[-1]


class Board(StandingColumns):
    """`core.admission.Board` of one worker, strict: never below zero, never above the limit."""

    ROWS = 16

    def __init__(self) -> None:
        rows = memoryview(bytearray(12 * self.ROWS)).cast("I")
        spans = memoryview(bytearray(16 * self.ROWS)).cast("d")
        super().__init__(rows, spans, None, stride=3, columns=(0, 1, 2), alone=True)
        self.hurried = 0
        self.served = 0
        self.calls = 0
        self.counts = {}
        self.waiting = {}
        self.down = set()
        self.taken = 0
        self.most = {}
        self.pokes = []

    def take(self, row, limit) -> bool:
        if limit is not None and self.outstanding(row) >= limit:
            return False
        self.counts[row] = self.outstanding(row) + 1
        self.most[row] = max(self.most.get(row, 0), self.counts[row])
        self.taken += 1
        return True

    def give_back(self, row) -> None:
        assert self.counts[row] > 0, "a permit was given back twice"
        self.counts[row] -= 1

    def succeeded(self, row) -> bool:
        self.served += 1
        return self.failures(row) != 0

    def outstanding(self, row) -> int:
        return self.counts.get(row, 0)

    def healthy(self, row) -> bool:
        return row not in self.down

    def is_well(self, row) -> bool:
        return row not in self.down and self.standing(row) == IN

    def hurry_probe(self) -> None:
        self.hurried += 1

    def wake_all(self) -> None:
        self.calls += 1

    def set_waiting(self, row, waiting) -> None:
        self.waiting[row] = waiting

    def poke(self, row) -> bool:
        self.pokes.append(row)
        return False


class NoLimits:
    def admit(self, *_) -> float:
        return 0.0

    def refund(self, *_) -> None:
        pass


class Rig:
    """The data plane of one worker around one service, `svc`, behind as many backends as asked."""

    def __init__(self, *, backends=1, limits=None, traffic=None, **spec) -> None:
        self.clock = Clock()
        self.loop = Loop(self.clock)
        self.board = Board()
        self.meters = Meters()
        self.records = []
        self.begun = 0
        self.expected_failures = 0
        self.urls = [f"http://backend{number}:5001" for number in range(backends)]
        self.backends = [Backend() for _ in self.urls]
        for number, backend in enumerate(self.backends):
            self.loop.network[f"backend{number}", 5001] = backend
        self.table = RouteTable()
        self.world = World(Trust(DIGEST_KEY, "urn:test", ()), NoLimits())
        self.sweep = self.listener = None
        self.spec, self.limits, self.traffic = spec, limits or {}, traffic
        self.clients = []

    def open(self) -> Rig:
        """Build it; the modules' clock must be the rig's by now."""
        self.desk = Desk(self.loop)
        self.compiler = Compiler(self.table, self.world, self.board, self.meters, self.loop)
        local = Local(lambda: (True, False, "serving"), lambda name: self.table.get(name) is not None)
        self.handler = Handler(self.table, self.desk, self.meters, local, lambda *record: self.records.append(record))
        self.sweep = Sweep(self.loop)
        self.listener = self.listen()
        self.serve(**self.spec)
        return self

    def listen(self, *, secure=False, trusted=()) -> Listener:
        return Listener(self._count, ScoringSettings(**self.limits), self.sweep, secure=secure, trusted=trusted)

    def _count(self, client, message):
        self.begun += 1
        return self.handler(client, message)

    def serve(self, name="svc", *, keys=False, **spec) -> None:
        """Publish the service, as the control process would."""
        entry = self.entry(name, keys=keys, **spec)
        assert self.compiler.apply(Update(serial=1, services=(entry,))) == {}

    def entry(self, name="svc", *, keys=False, **spec) -> ServiceEntry:
        given = {"backends": tuple(self.urls), "auth_enabled": keys, "error_dialect": "plain"} | spec
        spec = ServiceSpec(**given)
        rows = tuple(BackendEntry(url, row) for row, url in enumerate(self.urls, start=1))
        digest = KeyEntry(key.digest(DIGEST_KEY, PRIMARY), "k1", "primary")
        return ServiceEntry(
            name=name,
            spec=spec,
            keys=(digest,) if keys else (),
            deployments=(DeploymentEntry("default", 100, rows),),
            born=0.0,
        )

    # --- the people

    @property
    def backend(self) -> Backend:
        return self.backends[0]

    def connect(self, peer=("192.0.2.7", 40000), listener=None) -> Transport:
        """A new client connection, from the client's side."""
        listener = listener or self.listener
        protocol = listener()
        side = Transport(self.loop, protocol, peer=peer, secure=listener.secure)
        protocol.connection_made(side)
        self.loop.settle()
        self.clients.append(side)
        return side

    def pass_time(self, seconds: float) -> None:
        self.loop.advance(seconds)

    @property
    def meter(self):
        return self.meters.of("svc")

    @property
    def trip(self):
        """What is known of the request that ended last."""
        return self.records[-1][0]

    # --- the books

    def audit(self) -> None:
        """Nothing is owed: permits, places in the queue, log records, observations, deadlines."""
        for side in self.clients:
            if not side.lost:
                side.reset()
        self.loop.settle()
        self.pass_time(100_000)
        assert not any(self.board.counts.values()), f"permits not given back: {self.board.counts}"
        assert not any(self.board.waiting.values()), "the board still shows somebody waiting"
        assert not self.listener.clients
        assert len(self.records) == self.begun, "not one log record a request"
        observed = sum(
            sum(histogram.counts) for name in ("svc", "other") for histogram in self.meters.of(name).durations.values()
        )
        assert observed == self.begun, "not one observation a request"
        assert all(self.meters.of(name).in_flight == 0 for name in ("svc", "other"))
        assert self.meter.queued == 0
        assert not self.sweep._turns, "a deadline is still watched"
        assert len(self.loop.failures) == self.expected_failures, self.loop.failures


@pytest.fixture
def make_rig(monkeypatch):
    """`make_rig(backends=1, limits={}, **spec)`: the data plane in memory; its books are checked when the test ends."""
    rigs = []

    def make(**options) -> Rig:
        rig = Rig(**options)
        for module in TIMED:
            if hasattr(module, "time"):
                monkeypatch.setattr(module, "time", rig.clock.module)
        rigs.append(rig)
        return rig.open()

    yield make
    for rig in rigs:
        rig.audit()


@pytest.fixture
def rig(make_rig):
    return make_rig()


@pytest.fixture
def clock(monkeypatch):
    """Virtual time in all modules of the data plane."""
    clock = Clock()
    for module in TIMED:
        if hasattr(module, "time"):
            monkeypatch.setattr(module, "time", clock.module)
    return clock


@pytest.fixture
def loop(clock):
    return Loop(clock)


@pytest.fixture
def board() -> Board:
    """Permits of one worker."""
    return Board()


@pytest.fixture
def backend(loop) -> Backend:
    """A scripted backend at http://model:5001 of `loop`."""
    made = loop.network["model", 5001] = Backend()
    return made


@pytest.fixture
def make_transport(loop):
    return lambda protocol, **options: Transport(loop, protocol, **options)


@pytest.fixture
def answers():
    """`answers(data)`: the HTTP answers in it."""
    return read_answers


@pytest.fixture
def answer():
    """`answer(data)`: the one HTTP answer in it."""

    def one(data, method="GET"):
        (only,) = read_answers(bytes(data), (method,))
        return only

    return one


@pytest.fixture
def post():
    """`post(body, *fields)`: the bytes of a scoring request."""

    def build(body=b"{}", *fields: bytes, path=b"/api/v1/service/svc/score", method=b"POST", version=b"1.1"):
        lines = [b"%b %b HTTP/%b" % (method, path, version), b"Host: gateway", *fields]
        if body is not None and not any(field.lower().startswith(b"transfer-encoding") for field in fields):
            lines.append(b"Content-Length: %d" % len(body))
        return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")

    return build


@pytest.fixture
def ok():
    """`ok(body)`: the bytes of a backend's good answer."""

    def build(body=b"[1]", *fields: bytes, status=b"200 OK"):
        lines = [b"HTTP/1.1 " + status, b"Content-Type: application/json", *fields, b"Content-Length: %d" % len(body)]
        return b"\r\n".join(lines) + b"\r\n\r\n" + body

    return build


@pytest.fixture
def primary_key() -> bytes:
    return PRIMARY


@pytest.fixture
def run_script(tmp_path):
    """`run_script(source, timeout=30)`: runs it as a process of its own; returns what it printed, read as JSON."""

    def run(source: str, *, timeout: float = 30.0, environ=None):
        script = tmp_path / "script.py"
        script.write_text(textwrap.dedent(source))
        done = subprocess.run(
            [sys.executable, "-W", "error", script],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=os.environ | (environ or {}),
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


class ControlProcess:
    """The other end of a worker's link: says what it is told to say, remembers what it hears."""

    def __init__(self, path) -> None:
        self.path = path
        self.heard = asyncio.Queue()
        self.writer = None
        self._server = None
        self._serial = 0

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._talk, str(self.path))

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self.hang_up()

    def hang_up(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    async def hear(self, kind):
        """The next message of the worker, which must be of this kind."""
        async with asyncio.timeout(10):
            said = await self.heard.get()
        assert isinstance(said, kind), said
        return said

    def say(self, message) -> None:
        self.writer.write(frame(TO_WORKER.dump_json(message)))

    async def publish(self, *services, full=False, trust=None, removed=()):
        """Publish, and hear the acknowledgement."""
        self._serial += 1
        update = Update(serial=self._serial, full=full, services=services, removed=removed, trust=trust)
        self.say(Publish(update))
        said = await self.hear(Ack)
        assert said.serial == self._serial
        return said

    async def _talk(self, reader, writer) -> None:
        self.writer, frames = writer, Frames()
        try:
            while data := await reader.read(1 << 16):
                for payload in frames.feed(data):
                    self.heard.put_nowait(TO_CONTROL.validate_json(payload))
        finally:
            writer.close()


@pytest.fixture
async def control(tmp_path):
    """A control process to link to, already listening."""
    process = ControlProcess(tmp_path / "link")
    await process.open()
    yield process
    await process.close()


@pytest.fixture
def make_entry():
    """`make_entry(name, url, **spec)`: a service with one backend, row 1."""

    def make(name="svc", url="http://127.0.0.1:1", **spec) -> ServiceEntry:
        spec = ServiceSpec(**({"backends": (url,), "auth_enabled": False} | spec))
        deployments = (DeploymentEntry("default", 100, (BackendEntry(url, 1),)),)
        return ServiceEntry(name=name, spec=spec, keys=(), deployments=deployments, born=0.0)

    return make
