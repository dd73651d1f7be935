"""What all connections of a worker share: limits, who is connected, how far the end is.

Each connection is a `Client`; under TLS it was a `Handshake` before.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from gateway.core.settings import ScoringSettings
from gateway.proxy.client import Client
from gateway.proxy.memo import HeadMemo
from gateway.proxy.message import Message, Network, is_within
from gateway.proxy.sweep import Sweep

if TYPE_CHECKING:
    from gateway.proxy.handshake import Handshake

Serve = Callable[[Client, Message], Coroutine[Any, Any, None]]


class Listener:
    """What all connections of a worker share.

    `draining`: every answer that begins is the last one on its connection, and says so. `ending`: no connection stays
    open without a request. `empty` is set while it is ending and no connection is left. `turned_away` counts
    connections beyond a limit, by what there were too many of.
    """

    __slots__ = (
        "_of_address",
        "clients",
        "draining",
        "empty",
        "ending",
        "limits",
        "memo",
        "secure",
        "serve",
        "sweep",
        "trusted",
        "turned_away",
    )

    def __init__(
        self,
        serve: Serve,
        limits: ScoringSettings,
        sweep: Sweep,
        *,
        secure: bool,
        trusted: tuple[Network, ...] = (),
        memo: HeadMemo | None = None,
    ) -> None:
        """`memo` None: every head is read and decided anew."""
        self.serve = serve
        self.limits = limits
        self.sweep = sweep
        self.secure = secure
        self.trusted = trusted
        self.memo = memo
        self.clients: set[Client | Handshake] = set()
        self.turned_away: defaultdict[str, int] = defaultdict(int)
        self._of_address: Counter[str] = Counter()
        self.empty = asyncio.Event()
        self.draining = False
        self.ending = False

    def __call__(self) -> Client:
        """The protocol of a new connection."""
        return Client(self)

    def drain(self) -> None:
        """Answer what is under way, then close: idle connections now, the others with their answer."""
        self.draining = self.ending = True
        for client in list(self.clients):
            client.close_if_idle()
        self._note_empty()

    def joined(self, client: Client | Handshake, address: str) -> bool:
        """Whether one more connection, from this address, is within `max_connections` and `max_connections_per_ip`."""
        most_of_address = self.limits.max_connections_per_ip
        is_counted = most_of_address and not is_within(address, self.trusted)
        if len(self.clients) >= self.limits.max_connections:
            self.turned_away["total"] += 1
            return False
        if is_counted and self._of_address[address] >= most_of_address:
            self.turned_away["address"] += 1
            return False
        if is_counted:
            self._of_address[address] += 1
        self.clients.add(client)
        self.empty.clear()
        return True

    def left(self, client: Client | Handshake, address: str) -> None:
        """This connection is gone."""
        if client in self.clients:
            self.make_room(client, address)
            self._note_empty()

    def make_room(self, client: Client | Handshake, address: str) -> None:
        """Give its place up to who joins next, at once: the connection goes on."""
        self.clients.remove(client)
        if address in self._of_address:
            self._of_address[address] -= 1
            if not self._of_address[address]:
                del self._of_address[address]

    def _note_empty(self) -> None:
        if self.ending and not self.clients:
            self.empty.set()
