"""The data plane of one worker in memory: a client's connection and a kept one to a backend, both on recorded bytes.

No sockets, no event loop, no TLS: what is left is what the gateway itself does for a request, the same every time.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

from gateway.core import key, token
from gateway.core.exchange import Exchange
from gateway.core.jwk import SigningKey
from gateway.core.route import RouteTable
from gateway.core.settings import ScoringSettings
from gateway.core.snapshot import BackendEntry, DeploymentEntry, KeyEntry, ServiceEntry, Trust, Update
from gateway.core.spec import RateLimitSpec, ServiceSpec
from gateway.policy import World
from gateway.proxy.cells import SharedCells
from gateway.proxy.compiler import Compiler
from gateway.proxy.connection import Connection
from gateway.proxy.desk import Desk
from gateway.proxy.handler import Handler
from gateway.proxy.listener import Listener
from gateway.proxy.local import Local
from gateway.proxy.memo import HeadMemo
from gateway.proxy.meters import Meters
from gateway.proxy.scoreboard import Scoreboard
from gateway.proxy.sweep import Sweep
from gateway.proxy.upstream import Upstream

SERVICE = "diabetes"
PATH = b"/api/v1/service/diabetes/score"
BODY = b'{"data": [[%s], [%s]]}' % (b", ".join([b"0.0199132141783263"] * 10), b", ".join([b"-0.044641636506989"] * 10))
"""Two rows of ten numbers, about 420 bytes."""
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 40\r\n\r\n"
    b"[217.67978776218715, 224.78937091757172]"
)
"""Request and answer stand here as they were recorded: the figures hold for these bytes alone."""
BACKEND_URL = "http://127.0.0.1:5001"
ISSUER = "urn:bench"
DIGEST_KEY = b"d" * 32
KEY = "sg1_" + "k" * 42
QUIET = os.eventfd(0)
"""A descriptor on which nothing ever arrives."""


class Idle:
    """In place of an event loop: what would come later never comes."""

    def call_later(self, *_: Any) -> Idle:
        """A timer that does not fire."""
        return self

    call_soon = call_later

    def cancel(self) -> None:
        """Of a timer."""


class Wire(asyncio.Transport):
    """One end of a connection: what is written is counted, and the last of it kept."""

    __slots__ = ("is_open", "last", "writes")

    def __init__(self) -> None:
        self.is_open = True
        self.writes = 0
        self.last: Any = b""

    def write(self, data: Any) -> None:
        """Bytes towards the peer."""
        self.writes += 1
        self.last = data

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Where the peer is, and a socket to poll."""
        return {"peername": ("127.0.0.1", 40000), "socket": self}.get(name, default)

    def fileno(self) -> int:
        """Of the socket."""
        return QUIET

    def setsockopt(self, *_: Any) -> None:
        """Of the socket."""

    def close(self) -> None:
        """Must not be, since the next request needs it: `OneWorker.hop` looks."""
        self.is_open = False

    abort = write_eof = close

    def is_closing(self) -> bool:
        """Whether it is ending."""
        return not self.is_open

    def get_write_buffer_size(self) -> int:
        """The kernel takes everything."""
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is buffered."""


class OneWorker:
    """A worker with one service (a key, a token, one rate limit), one client and one backend, both connected."""

    def __init__(self, *, memo: bool = True, **listening: Any) -> None:
        """`memo`: whether heads are remembered. `listening`: what the listener is given besides the usual."""
        loop: Any = Idle()
        board = Scoreboard(1)
        signing = SigningKey.generate("ES256")
        trust = Trust(DIGEST_KEY, ISSUER, (signing.verifying_key(),))
        self.token = token.issue(
            signing,
            issuer=ISSUER,
            service=SERVICE,
            subject="bench",
            verbs=frozenset({"score"}),
            now=time.time(),
            lifetime_seconds=3600,
        )
        self.table, meters, self.desk = RouteTable(), Meters(), Desk(loop)
        world, settings = World(trust, SharedCells(board)), ScoringSettings()
        compiler = Compiler(self.table, world, board.seat(1), meters, loop)
        assert compiler.apply(Update(serial=1, services=(_entry(),))) == {}
        local = Local(lambda: (True, False, "serving"), lambda name: self.table.get(name) is not None)
        kept = HeadMemo(settings.head_memo_entries, settings.max_header_bytes, self.table, world) if memo else None
        handler = Handler(self.table, self.desk, meters, local, None, memo=kept)
        self.client, self.backend = Wire(), Wire()
        self.protocol: Any = Listener(handler, settings, Sweep(loop), secure=False, memo=kept, **listening)()
        self.protocol.connection_made(self.client)
        route = self.table.get(SERVICE)
        assert route is not None
        self.route = route
        upstream = route.pools[0][1].backends[0].upstream
        assert isinstance(upstream, Upstream)
        self.connection: Any = Connection(upstream)
        self.connection.connection_made(self.backend)
        upstream.keep(self.connection)

    def credential(self, kind: str) -> bytes:
        """`key` or `token`."""
        return (KEY if kind == "key" else self.token).encode()

    def hop(self, request: bytes) -> None:
        """A request comes in, goes out; its answer comes in, goes out."""
        self.protocol.data_received(request)
        self.connection.data_received(ANSWER)
        if not (self.client.last.startswith(b"HTTP/1.1 200 ") and self.client.is_open and self.backend.is_open):
            raise RuntimeError(f"a request of this measurement ended a connection, or got {self.client.last!r}")

    def decide_and_settle(self, credential: bytes) -> Callable[[], None]:
        """Of one request, what comes without bytes: find, decide, take a permit, give it back, count."""
        headers = [
            (b"host", b"Host", b"127.0.0.1"),
            (b"content-type", b"Content-Type", b"application/json"),
            (b"authorization", b"Authorization", b"Bearer " + credential),
        ]
        exchange = Exchange(
            b"POST", PATH, b"", headers, length=len(BODY), peer="127.0.0.1", now=time.monotonic(), wall=time.time()
        )
        table, desk, now = self.table, self.desk, exchange.now

        def once() -> None:
            target = table.find(exchange.path, b"127.0.0.1")
            assert target is not None
            route = target.route
            exchange.operation = target.operation
            meter = route.meter
            meter.in_flight += 1
            assert route.decide(exchange) is None
            pool = route.pools[0][1]
            backend = pool.take(now)
            assert backend is not None
            desk.give_back(pool, backend)
            meter.in_flight -= 1
            meter.backend_durations.observe(0.001)
            meter.durations[200].observe(0.001)
            if exchange.caller.slot:
                meter.key_uses[exchange.caller.slot] += 1

        return once


HEADS = {"different": b"x-request-id", "unknown": b"x-other"}
"""The field in which all requests differ: one that the head memo looks through, or one that it has never seen so."""


def requests(credential: bytes, count: int, heads: str) -> list[bytes]:
    """Requests as the load generator sends them; `heads`: `repeated` or one of HEADS."""
    lines = (
        b"POST %b HTTP/1.1" % PATH,
        b"Host: 127.0.0.1:8443",
        b"Content-Type: application/json",
        b"Authorization: Bearer " + credential,
        b"Content-Length: %d" % len(BODY),
    )
    head = b"\r\n".join(lines)
    if heads == "repeated":
        return [b"%b\r\n\r\n%b" % (head, BODY)] * count
    return [b"%b\r\n%b: bench-%012d\r\n\r\n%b" % (head, HEADS[heads], number, BODY) for number in range(count)]


def _entry() -> ServiceEntry:
    spec = ServiceSpec(
        backends=(BACKEND_URL,),
        auth_enabled=True,
        token_auth_enabled=True,
        max_concurrent_requests_per_container=None,
        rate_limits=(RateLimitSpec("bench", 10_000_000),),
    )
    return ServiceEntry(
        name=SERVICE,
        spec=spec,
        keys=(KeyEntry(key.digest(DIGEST_KEY, KEY.encode()), "k_bench", "primary"),),
        deployments=(DeploymentEntry("default", 100, (BackendEntry(BACKEND_URL, 1),)),),
        born=0.0,
    )
