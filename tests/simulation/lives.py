"""A worker process of a world: the gateway's own `Worker`, wired as in a real process, with a life that can end badly.

What it does is watched from outside: its permits through its seat, its requests through the handler it serves with.
"""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import promises
from promises import BUSY
from virtual_connection import End
from virtual_network import Network
from virtual_time import Events, Process, Timer

from gateway.core.ejection import EJECTED, OUT
from gateway.core.settings import Settings
from gateway.proxy.client import Client
from gateway.proxy.message import Message
from gateway.proxy.scoreboard import Scoreboard, Seat
from gateway.proxy.trip import Trip
from gateway.proxy.worker import Place, Worker


class MortalSeat(Seat):
    """A seat whose holder may die: what its code does afterwards, when Python tidies up, changes nothing."""

    __slots__ = ("fail", "judge_ejection", "most_permits", "process")

    def __init__(self, board: Scoreboard, number: int, process: Process, fail: Callable[[str], None]) -> None:
        super().__init__(board, number)
        self.process = process
        self.fail = fail
        self.most_permits: Callable[[int], float] = lambda _: math.inf
        self.judge_ejection: Callable[[int], None] = lambda _: None

    def take(self, row: int, limit: int | None) -> bool:
        if not self.process.is_alive:
            return False
        most = self.most_permits(row)
        is_taken = super().take(row, limit)
        if self.outstanding(row) > most:
            self.fail(f"{self.process}: {self.outstanding(row)} permits of row {row} are out, {most} there are")
        return is_taken

    def give_back(self, row: int) -> None:
        if self.process.is_alive:
            try:
                super().give_back(row)
            except ValueError:
                self.fail(f"{self.process}: more permits of row {row} came back than were taken")

    def put(self, row: int, standing: int, since: float, until: float) -> None:
        was_in = self.standing(row) not in OUT
        super().put(row, standing, since, until)
        if was_in and standing == EJECTED:
            self.judge_ejection(row)

    def set_waiting(self, row: int, waiting: bool) -> None:
        if self.process.is_alive:
            super().set_waiting(row, waiting)

    def poke(self, row: int) -> bool:
        return self.process.is_alive and super().poke(row)


class View:
    """The scoreboard as one process gets it."""

    def __init__(self, seat: MortalSeat) -> None:
        self._seat = seat

    def seat(self, _: int) -> MortalSeat:
        return self._seat

    def __getattr__(self, name: str) -> Any:
        return getattr(self._seat.board, name)


class Loop(Process):
    """The event loop of a worker, with connections to the world's containers."""

    log: Any

    def __init__(
        self, network: Network, events: Events, name: str, on_error: Callable[[str], None], rng: random.Random
    ) -> None:
        super().__init__(events, name, on_error)
        self.network = network
        self.ends: list[End] = []
        self._rng = rng
        self._busyness = rng.choice((0.0, 0.03, 0.3))
        self._soon = 0
        self._soon_at = 0.0

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is left to do at this moment."""
        return self._soon == 0

    def call_soon(self, callback: Callable[..., object], *arguments: Any, **_: Any) -> Timer:
        """In order, and now and then a little late: the loop has other things to do."""
        delay = self._rng.random() * BUSY if self._rng.random() < self._busyness else 0.0
        self._soon_at = max(self._soon_at, self.events.now + delay)
        self._soon += 1
        return self.events.at(self._soon_at, self, self._run, (callback, arguments))

    def _run(self, callback: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        self._soon -= 1
        callback(*arguments)

    async def create_connection(self, factory: Callable[[], Any], host: str, port: int, **_: Any) -> tuple[End, Any]:
        def attach(end: End) -> Any:
            self.ends.append(end)
            return factory()

        return await self.network.connect(self, (host, port), attach)


class Life:
    """One worker from its start to its end."""

    def __init__(self, number: int, loop: Loop, seat: MortalSeat, settings: Settings) -> None:
        self.number = number
        self.name = loop.name
        self.loop = loop
        loop.log = self
        self.clients: list[End] = []
        self.begun = 0
        self.active: dict[int, Message] = {}
        self.trips: list[tuple[Trip, float]] = []
        self.pace: Callable[..., Awaitable[None]] = lambda _life, _client, _message, coroutine: coroutine
        self.is_accepting = True
        self.address = (loop.name, 443)
        loop.network.listen(self.address, self.accept)
        self.trace: Callable[[object, str], None] = lambda *_: None
        self.fail = seat.fail
        self._journeys: list[Any] = []
        place = Place(
            number=number,
            settings=settings,
            board=View(seat),  # type: ignore[arg-type]
            listening=None,  # type: ignore[arg-type]
            link_path=Path("control"),
            certificates=None,
        )
        self.worker = Worker(place, loop)  # type: ignore[arg-type]
        self._handler = self.worker._listener.serve
        self.worker._listener.serve = self._serve

    @property
    def is_alive(self) -> bool:
        return self.loop.is_alive

    def accept(self, end: End) -> Client:
        """A connection from a client. Raises ConnectionRefusedError once this worker does not listen any more."""
        if not self.is_accepting:
            raise ConnectionRefusedError(111, "Connection refused")
        end.process = self.loop
        end.is_secure = self.worker._listener.secure
        self.clients.append(end)
        return self.worker._listener()

    async def _serve(self, client: Client, message: Message) -> None:
        self.begun += 1
        self.active[id(message)] = message
        self._journeys.append(client.journey)
        await self.pace(self, client, message, self._handler(client, message))
        del self.active[id(message)]

    def record(self, trip: Trip, ended: float) -> None:
        """In place of the access log."""
        if any(trip.exchange is other.exchange for other, _ in self.trips):
            self.fail(f"{trip.exchange.request_id} was recorded twice")
        self.trips.append((trip, ended))
        taken = f"{ended - trip.started:.3f} s"
        self.trace(
            self.name, f"{trip.exchange.request_id} {trip.status} {trip.outcome} {trip.reason} {trip.stage} {taken}"
        )
        promises.judge_deadlines(self, trip, ended)

    def kill(self) -> None:
        """The process ends at once; the kernel closes what it had open."""
        self.is_accepting = False
        self.loop.kill()
        for end in (*self.clients, *self.loop.ends):
            end.vanish()
        for journey in self._journeys:
            if not journey.over and journey._coroutine is not None:
                journey._coroutine.close()

    def limit_of(self, service: str) -> float:
        """Requests at once at each container of a service, as this worker knows it."""
        pool = self.worker._compiler._pools.get((service, "default"))
        return 0 if pool is None else pool._limit or math.inf
