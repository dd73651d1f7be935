"""One world, two data planes: the same clients send both the same bytes; whatever comes of it must be the same."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from head_memo.landscape import SERVICES, Landscape
from head_memo.plane import DataPlane, MakeMemo
from head_memo.traffic import Template, Traffic
from head_memo.virtual import Clock, advance, virtual

from gateway.proxy import client as connection

STROKES = 800
LAST_STROKES = 780
"""From then on the data planes drain."""
MOST_CLIENTS = 12
BURSTS = (1, 1, 1, 1, 1, 2, 3, 5, 9)
STEADY = 0.7
"""How often a client sends as most do: one whole request after the other."""
GIVES_UP = 0.5
"""How often a client sends something else after a refusal."""
MANNERS = ("reset", "shut", "stall", "stall", "unstall", "unstall")
PEERS = ("192.0.2.7", "192.0.2.200", "10.9.0.2")


class DifferenceError(AssertionError):
    """The two did not do the same."""


class Client:
    """One connection: who it comes from, the head it likes, bytes it has not sent yet."""

    def __init__(self, number: int, template: Template) -> None:
        self.number = number
        self.template = template
        self.unsent: list[bytes] = []


class Duel:
    """The world of one seed. `off` and `on` make the memo of each data plane."""

    def __init__(self, seed: int, off: MakeMemo, on: MakeMemo) -> None:
        self.seed = seed
        self._rng = random.Random(seed)
        self._clock = Clock()
        self._landscape = Landscape(self._rng, self._clock)
        self._traffic = Traffic(self._rng, self._landscape)
        trust = self._landscape.trust()
        with self._at_work():
            self.planes = tuple(DataPlane(self._clock, seed, trust, make) for make in (off, on))
        self._clients: list[Client] = []
        self._count = 0
        self._stroke = 0
        self.tell: Callable[[str], object] | None = None

    @property
    def requests(self) -> int:
        """How many requests were served so far, by each."""
        return self.planes[0].begun

    @property
    def recalled(self) -> int:
        """How many of them the memo knew."""
        return self.planes[1].recalled

    def run(self) -> None:
        """Play it to its end. Raises DifferenceError."""
        with self._at_work():
            try:
                self._tell(self._landscape.everything())
                for self._stroke in range(STROKES):
                    if self._stroke == LAST_STROKES:
                        self._each(DataPlane.drain, ends=False)
                    self._strike()
                    self._compare()
                self._end()
            finally:
                for plane in self.planes:
                    plane.close()

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """In three of four worlds the memo is always asked, however many heads a connection has brought in vain."""
        patience = connection.PATIENCE if self.seed % 4 == 0 else sys.maxsize
        with virtual(self._clock), patch.object(connection, "PATIENCE", patience):
            yield

    def _strike(self) -> None:
        rng, kind = self._rng, self._rng.random()
        if kind < 0.80:
            self._send()
        elif kind < 0.83:
            self._pass(rng.choice((0.001, 0.01, 0.05, 0.3)))
        elif kind < 0.93:
            self._each(DataPlane.let_go, rng.randrange(1000))
        elif kind < 0.95:
            self._change(rng.choice(SERVICES))
        elif kind < 0.97:
            self._traffic.renew()
        elif kind < 0.99 and self._clients:
            self._disturb(rng.choice(self._clients))
        elif self._clients:
            self._come_back(rng.choice(self._clients))

    def _send(self) -> None:
        rng = self._rng
        if not self._clients or (len(self._clients) < MOST_CLIENTS and rng.random() < 0.1):
            self._connect()
        client = rng.choice(self._clients)
        if rng.random() < 0.1:
            client.template = self._traffic.choose()
        if rng.random() < STEADY:
            pieces, client.unsent = client.unsent + self._traffic.steady(client.template), []
        else:
            pieces = self._wild(client)
        self._each(DataPlane.send, client.number, pieces)
        answer = self.planes[0].account.bytes.get(f"client {client.number}", b"")
        if not answer.startswith(b"HTTP/1.1 200") and rng.random() < GIVES_UP:
            client.template = self._traffic.choose()

    def _wild(self, client: Client) -> list[bytes]:
        """Pipelined requests, cut anywhere; the rest follows another time."""
        rng, data = self._rng, b""
        for _ in range(rng.choice(BURSTS)):
            template = client.template if rng.random() < 0.9 else self._traffic.choose()
            data += self._traffic.request(template)
        pieces = client.unsent + self._traffic.cut(data)
        client.unsent = [pieces.pop()] if len(pieces) > 1 and rng.random() < 0.3 else []
        return pieces

    def _connect(self) -> None:
        rng = self._rng
        self._count += 1
        client = Client(self._count, self._traffic.choose())
        self._clients.append(client)
        self._each(DataPlane.connect, client.number, rng.choice(PEERS), secure=rng.random() < 0.4)

    def _leave(self, client: Client, manner: str) -> None:
        self._each(DataPlane.leave, client.number, manner)

    def _disturb(self, client: Client) -> None:
        """It goes; or it does not read its answers any more and sends on, and its service changes meanwhile."""
        manner = self._rng.choice(MANNERS)
        self._leave(client, manner)
        if manner == "stall":
            self._each(DataPlane.send, client.number, client.unsent + self._traffic.steady(client.template))
            client.unsent = []
            self._change(client.template.service)
            if self._rng.random() < 0.5:
                self._leave(client, "unstall")

    def _come_back(self, client: Client) -> None:
        """It sends something, and the same again after a while."""
        for seconds in (self._rng.choice((0.5, 1.0, 2.5)), 0.0):
            self._each(DataPlane.send, client.number, client.unsent + self._traffic.steady(client.template))
            client.unsent = []
            self._pass(seconds)

    def _change(self, service: str) -> None:
        self._tell(self._landscape.change(service))

    def _pass(self, seconds: float) -> None:
        advance(self._clock, tuple(plane.loop for plane in self.planes), seconds)

    def _tell(self, update: Any) -> None:
        self._each(DataPlane.apply, update, self._landscape.hosts())

    def _each(self, do: Callable[..., None], *arguments: Any, **named: Any) -> None:
        for plane in self.planes:
            do(plane, *arguments, **named)

    def _compare(self) -> None:
        off, on = self.planes
        for plane in self.planes:
            if plane.account.complaints:
                raise DifferenceError(f"seed {self.seed}, stroke {self._stroke}, logged: {plane.account.complaints}")
        if difference := off.account.difference(on.account):
            raise DifferenceError(f"seed {self.seed}, stroke {self._stroke}: {difference}")
        if off.account.events:
            self._clients = [client for client in self._clients if off.is_open(client.number)]
        if self.tell is not None:
            self.tell(f"{self._stroke}: {off.account}")
        for plane in self.planes:
            plane.account.clear()

    def _end(self) -> None:
        self._each(DataPlane.drain, ends=True)
        self._compare()
        for client in self._clients:
            self._leave(client, "reset")
        self._pass(10.0)
        self._compare()
        off, on = (plane.counts() for plane in self.planes)
        if off != on:
            raise DifferenceError(f"seed {self.seed}, counters at the end:\n  off: {off}\n  on:  {on}")
