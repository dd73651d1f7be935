"""A worker process: one event loop that serves scoring requests from the snapshot the control process gave it."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import itertools
import logging
import os
import secrets
import socket
import sys
import time
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.core import jwk
from gateway.core.message import Hello
from gateway.core.route import RouteTable
from gateway.core.settings import Settings
from gateway.core.snapshot import Trust, Update
from gateway.policy import World
from gateway.proxy import memory
from gateway.proxy.acceptor import Acceptor, most_connections
from gateway.proxy.access_log import AccessLog
from gateway.proxy.cells import SharedCells
from gateway.proxy.certificates import Certificates
from gateway.proxy.compiler import Compiler
from gateway.proxy.desk import Desk
from gateway.proxy.handler import Handler
from gateway.proxy.lane import EXCHANGE, Lane
from gateway.proxy.link import Link
from gateway.proxy.listener import Listener
from gateway.proxy.local import Local
from gateway.proxy.memo import HeadMemo
from gateway.proxy.meters import Meters, Row
from gateway.proxy.scoreboard import DRAINING, READY, Scoreboard
from gateway.proxy.sweep import Sweep
from gateway.proxy.uses import KeyUses

log = logging.getLogger("gateway.worker")

HEARTBEAT_SECONDS = 0.5
BEATS_PER_TRIM = 20
BEATS_PER_TELLING = 10
LAME_DUCK_SECONDS = 5.0
"""While a load balancer learns that this replica goes, it still sends requests here: they are answered."""
LAME_DUCK_SHARE = 1 / 6
"""Of `drain_seconds`, for that at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a worker is given: its number from 1, its listening socket, the ways to the control process."""

    number: int
    settings: Settings
    board: Scoreboard
    listening: socket.socket
    link_path: Path
    certificates: Certificates | None
    lane_path: Path | None = None


class Worker:
    """Wires the data plane of one process."""

    def __init__(self, place: Place, loop: asyncio.AbstractEventLoop) -> None:
        scoring = replace(place.settings.scoring, max_connections=most_connections(place.settings.scoring))
        self._place = place
        self._loop = loop
        self._seat = place.board.seat(place.number)
        self._ready = asyncio.Event()
        self._trust = Trust(b"", "", ())
        self._world = World(self._trust, SharedCells(place.board), scoring.max_auth_failures_per_minute)
        self._meters = Meters()
        self._table = RouteTable()
        self._compiler = Compiler(self._table, self._world, self._seat, self._meters, loop)
        self._desk = Desk(loop)
        self._local = Local(self._state, lambda name: self._table.get(name) is not None)
        self._log = _access_log(place.settings.logging.access_log, loop)
        record = self._log.record if self._log else None
        entries = scoring.head_memo_entries
        self._memo = HeadMemo(entries, scoring.max_header_bytes, self._table, self._world) if entries else None
        lane = self._lane()
        handler = Handler(self._table, self._desk, self._meters, self._local, record, lane=lane, memo=self._memo)
        self._sweep = Sweep(loop)
        trusted = tuple(ipaddress.ip_network(text) for text in scoring.trusted_proxies)
        secure = place.certificates is not None
        self._listener = Listener(handler, scoring, self._sweep, secure=secure, trusted=trusted, memo=self._memo)
        hello = Hello(place.number, os.getpid(), secrets.token_hex(8))
        self._uses = KeyUses(self._meters)
        self._link = Link(place.link_path, hello, self._apply, self._counts, self._uses)

    async def run(self, stop: Awaitable[bool]) -> None:
        """Serve until `stop`, which tells whether to hurry; then drain."""
        link = self._loop.create_task(self._link.run())
        beating = self._loop.create_task(self._beat())
        wakeup = self._seat.wakeup
        if wakeup is not None:
            self._loop.add_reader(wakeup, self._on_wakeup, wakeup)
        first = self._loop.create_task(self._ready.wait())
        stopping = asyncio.ensure_future(stop)
        await asyncio.wait([first, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done():
            await self._serve(stopping)
            self._uses.note(time.time())
            await self._link.part()
        first.cancel()
        link.cancel()
        beating.cancel()
        await asyncio.gather(first, link, beating, return_exceptions=True)
        self._compiler.close()
        self._sweep.close()
        if self._log:
            self._log.close()

    async def _serve(self, stopping: asyncio.Future[bool]) -> None:
        scoring = self._place.settings.scoring
        certificates = self._place.certificates
        context = certificates.front if certificates else None
        acceptor = Acceptor(self._listener, self._place.listening, self._loop, context)
        await acceptor.open()
        self._seat.set_state(READY)
        hurry = await stopping
        self._seat.set_state(DRAINING)
        self._listener.draining = True
        deadline = self._loop.time() + scoring.drain_seconds
        if not hurry:
            await asyncio.sleep(min(LAME_DUCK_SECONDS, scoring.drain_seconds * LAME_DUCK_SHARE))
        await acceptor.close()
        self._listener.drain()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._listener.empty.wait(), max(0.0, deadline - self._loop.time()))
        for client in list(self._listener.clients):
            client.break_off()

    def _apply(self, update: Update) -> dict[str, str]:
        kept_old = self._compiler.apply(update, self._seat.beat)
        if self._memo is not None:
            self._memo.forget_changed()
        # A container that is new has room for those who wait already.
        self._desk.advance_all()
        if update.trust is not None:
            self._local.publish(jwk.jwks(update.trust.verifying_keys))
        self._ready.set()
        return kept_old

    def _lane(self) -> Lane | None:
        path = self._place.lane_path
        if path is None or not self._place.settings.tokens.exchange:
            return None
        return Lane(str(path), self._table, self._world, EXCHANGE, lambda: self._link.connected)

    def _counts(self) -> list[Row]:
        dropped = self._log.dropped if self._log else 0
        return self._meters.rows(len(self._listener.clients), self._listener.turned_away, dropped)

    def _state(self) -> tuple[bool, bool, str]:
        if self._listener.draining or self._place.board.state(self._place.number) == DRAINING:
            return False, False, "draining: this process is about to end"
        if not self._link.connected:
            return True, True, "the control process is away; serving what is known"
        return True, False, "serving"

    async def _beat(self) -> None:
        for count in itertools.count(1):
            self._seat.beat()
            if count % BEATS_PER_TRIM == 0:
                memory.give_back()
            if count % BEATS_PER_TELLING == 0:
                self._uses.note(time.time())
                self._link.tell_uses()
            if self._place.certificates:
                self._place.certificates.poll()
            await asyncio.sleep(HEARTBEAT_SECONDS)

    def _on_wakeup(self, descriptor: int) -> None:
        os.eventfd_read(descriptor)
        self._desk.advance_all()


def _access_log(target: str | None, loop: asyncio.AbstractEventLoop) -> AccessLog | None:
    if target is None:
        return None
    if target == "stdout":
        return AccessLog(sys.stdout.fileno(), loop.call_later)
    descriptor = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    return AccessLog(descriptor, loop.call_later)
