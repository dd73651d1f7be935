"""One worker's data plane in memory, wired as `gateway.proxy.worker` wires it, between clients and containers.

Its containers answer by chance of their own, seeded: the same requests in the same order get the same answers.
"""

from __future__ import annotations

import ipaddress
import os
import random
from collections.abc import Callable
from typing import Any

from head_memo.account import Account
from head_memo.traffic import HEAD_LIMIT
from head_memo.virtual import Clock, Loop
from head_memo.wires import Backend, Wire

from gateway.core.route import RouteTable
from gateway.core.settings import ScoringSettings
from gateway.core.snapshot import Trust, Update
from gateway.policy import World
from gateway.proxy import access_log
from gateway.proxy.cells import SharedCells
from gateway.proxy.compiler import Compiler
from gateway.proxy.desk import Desk
from gateway.proxy.handler import Handler
from gateway.proxy.listener import Listener
from gateway.proxy.local import Local
from gateway.proxy.memo import HeadMemo
from gateway.proxy.meters import Meters
from gateway.proxy.scoreboard import Scoreboard
from gateway.proxy.sweep import Sweep

TRUSTED = "10.9.0.0/16"
LIMITS = ScoringSettings(max_header_bytes=HEAD_LIMIT, header_timeout_seconds=5.0, keep_alive_seconds=20.0)
ANSWERS = (
    (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 3\r\n\r\n[1]",),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", b"Set-Cookie: a=b\r\n\r\n[2", b",3]"),
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n[1]\r\n", b"0\r\n\r\n"),
    (b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\nx-request-id: its-own\r\n\r\nno",),
    (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",),
    (b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 4\r\n\r\noops",),
    (b"no HTTP at all\r\n\r\n",),
)
USUAL, HELD = 0.9, 0.04
"""How many answers are the first of these, and how many wait until they are let go."""


MakeMemo = Callable[[int, RouteTable, World], HeadMemo | None]
"""From the seed, and from what the worker finds and trusts."""


class DataPlane:
    """A worker with two listeners, plain and TLS, that share what a worker's listeners share."""

    def __init__(self, clock: Clock, seed: int, trust: Trust, make_memo: MakeMemo) -> None:
        self.account = Account()
        self.loop = Loop(clock, seed, self.account)
        self._clock = clock
        self._answering = random.Random(seed)
        self._board = board = Scoreboard(1)
        loop: Any = self.loop
        self.table, self.meters, desk = RouteTable(), Meters(), Desk(loop)
        world = World(trust, SharedCells(board))
        self.compiler = Compiler(self.table, world, board.seat(1), self.meters, loop)
        local = Local(lambda: (True, False, "serving"), lambda name: self.table.get(name) is not None)
        self._memo = memo = make_memo(seed, self.table, world)
        self._handler = Handler(self.table, desk, self.meters, local, self._record, memo=memo)
        sweep, trusted = Sweep(loop), (ipaddress.ip_network(TRUSTED),)
        self._listeners = {
            secure: Listener(self._serve, LIMITS, sweep, secure=secure, trusted=trusted, memo=memo)
            for secure in (False, True)
        }
        self.begun = self.recalled = 0
        self.clients: dict[int, Wire] = {}
        self.held: list[tuple[Backend, tuple[bytes, ...]]] = []
        self._backends = 0
        self.pools: set[Any] = set()

    def apply(self, update: Update, hosts: tuple[str, ...]) -> None:
        """Serve this from now on; `hosts`: where its containers are."""
        Loop.current = self.loop
        self.loop.servers.update(dict.fromkeys(hosts, self._accept))
        assert self.compiler.apply(update) == {}
        if self._memo is not None:
            self._memo.forget_changed()
        # A pool that is used no more is freed at once, or by a search for cycles some time; one that is back by then
        # goes on where it was. Here none is freed, so that this does not tell the two apart.
        self.pools.update(pool for route in self.table for _, pool in route.pools)
        self.loop.settle()

    def drain(self, *, ends: bool) -> None:
        """Every answer is the last on its connection; `ends`: and no connection stays without a request."""
        Loop.current = self.loop
        for listener in self._listeners.values():
            listener.draining = True
            if ends:
                listener.drain()
        self.loop.settle()

    def close(self) -> None:
        """Nothing more happens."""
        self._board.locks._file.close()
        for descriptor in self._board.wakeups:
            os.close(descriptor)

    # --- clients

    def connect(self, number: int, peer: str, *, secure: bool) -> None:
        Loop.current = self.loop
        protocol = self._listeners[secure]()
        wire = self.clients[number] = Wire(self.loop, f"client {number}", protocol, peer, secure=secure)
        protocol.connection_made(wire)
        self.loop.settle()

    def send(self, number: int, pieces: list[bytes]) -> None:
        Loop.current = self.loop
        wire = self.clients[number]
        for piece in pieces:
            wire.arrive(piece)
            self.loop.settle()

    def leave(self, number: int, manner: str) -> None:
        """`reset` or `shut`; or not yet: `stall` and `unstall`."""
        Loop.current = self.loop
        getattr(self.clients[number], manner)()
        self.loop.settle()

    def is_open(self, number: int) -> bool:
        wire = self.clients[number]
        return not (wire.closing or wire.half_closed)

    # --- containers

    def let_go(self, number: int) -> None:
        """Deliver an answer that was held."""
        if self.held:
            Loop.current = self.loop
            backend, pieces = self.held.pop(number % len(self.held))
            self._answer(backend, pieces)
            self.loop.settle()

    def _accept(self, protocol: Any) -> Backend:
        self._backends += 1
        return Backend(self.loop, f"backend {self._backends}", protocol, self._asked)

    def _asked(self, backend: Backend) -> None:
        chance = self._answering.random
        pieces = ANSWERS[0] if chance() < USUAL else self._answering.choice(ANSWERS)
        if chance() < HELD:
            self.held.append((backend, pieces))
        else:
            self._answer(backend, pieces)

    def _answer(self, backend: Backend, pieces: tuple[bytes, ...]) -> None:
        for piece in pieces:
            self.loop.call_soon(backend.arrive, piece)

    # --- what is counted

    def counts(self) -> Any:
        """Every counter of the worker."""
        counted = [row for meter in self.meters._services.values() for row in meter.rows()]
        return sorted(counted), [(len(known.clients), dict(known.turned_away)) for known in self._listeners.values()]

    def _serve(self, client: Any, message: Any) -> Any:
        self.begun += 1
        self.recalled += message.known is not None
        return self._handler(client, message)

    def _record(self, trip: Any, ended: float) -> None:
        self.account.records.append(access_log.line(trip, ended, self._clock.time()))
