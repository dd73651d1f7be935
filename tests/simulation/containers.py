"""Model containers of a world: reachable or not, with connections that they close when they like, and a limit to keep.

What one does with a request is in `behaviours`; how many may be there at once the world says.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from actor_http import CutError, NotHttpError, Socket
from behaviours import BEHAVIOURS, HONEST, Answer, Talk
from ledger import Ledger
from virtual_connection import End
from virtual_time import Process

PORT = 5001


@dataclass(slots=True)
class Visit:
    """One request at a container. `ends_at`: bytes sent on its connection when the answer was out, once it is."""

    request_id: str
    socket: Socket
    ends_at: float = math.inf

    @property
    def is_open(self) -> bool:
        """Whether the gateway must count it: not answered whole, and not given up by a living worker."""
        gateway = self.socket.end.peer
        return gateway.is_open and gateway.received < self.ends_at


class Container:
    """One backend. `most_at_once` is the world's: the most requests that may be here now. `ceiling` is its memory."""

    def __init__(self, name: str, seed: int, process: Process, ledger: Ledger, fail: Callable[[str], None]) -> None:
        self.name = name
        self.url = f"http://{name}:{PORT}"
        self.address = (name, PORT)
        self.behaviours = HONEST
        self.likes_to_close = 0.0
        self.is_up = True
        self.is_silent = False
        self.most_at_once: Callable[[Container], float] = lambda _: math.inf
        self.ceiling = 0.0
        self.trace: Callable[[object, str], None] = lambda *_: None
        self.process = process
        self.ledger = ledger
        self._seed = seed
        self._rng = random.Random(f"{seed}/{name}")
        self._fail = fail
        self._visits: list[Visit] = []
        self._sockets: list[Socket] = []
        self._attempts: dict[str, int] = {}

    # --- up and down

    def accept(self, _: End) -> Socket | None:
        """A new connection from the gateway. Raises ConnectionRefusedError while it is down."""
        if self.is_silent:
            return None
        if not self.is_up:
            raise ConnectionRefusedError(111, "Connection refused")
        socket = Socket(self.process)
        self._sockets.append(socket)
        self.process.call_soon(lambda: self.process.act(self._serve(socket)))
        return socket

    def go_down(self) -> None:
        """Crash: every connection is reset or closed, new ones are refused."""
        self.is_up = False
        self.hang_up()

    def hang_up(self) -> None:
        """Close every connection."""
        for socket in self._sockets:
            # In the middle of an answer without a length nobody could tell a close from its end.
            socket.leave("reset" if socket.is_busy else self._rng.choice(("reset", "close")))
        self._sockets.clear()

    # --- how many are here

    def at_once(self) -> int:
        """Requests that are here now, as far as the gateway must know."""
        self._visits = [visit for visit in self._visits if visit.is_open]
        return len(self._visits)

    def _enter(self, visit: Visit) -> None:
        most = self.most_at_once(self)
        # What the gateway gave up while it was on its way here, it need not count.
        if visit.is_open and self.at_once() >= most:
            others = [other.request_id for other in self._visits]
            self._fail(f"{self.name} has {visit.request_id} and at once {others}: at most {most} may be there")
        self._visits.append(visit)

    # --- one connection

    async def _serve(self, socket: Socket) -> None:
        try:
            while await self._serve_one(socket):
                pass
        except CutError:
            pass
        except NotHttpError as error:
            self._fail(f"{self.name} got what is no HTTP: {error}")
        socket.end.close()

    async def _serve_one(self, socket: Socket) -> bool:
        if self._rng.random() < self.likes_to_close:
            self.process.call_later(self._rng.random() * 0.2, self._close_if_idle, socket)
        first, fields = await socket.head()
        visit = Visit(fields["x-request-id"], socket)
        self._enter(visit)
        socket.is_busy = True
        try:
            return await self._behave(visit, first.split(" ")[0], fields)
        finally:
            socket.is_busy = False

    async def _behave(self, visit: Visit, method: str, fields: dict[str, str]) -> bool:
        request_id = visit.request_id
        attempt = self._attempts[request_id] = self._attempts.get(request_id, 0) + 1
        rng = random.Random(f"{self._seed}/{self.name}/{request_id}/{attempt}")
        name = rng.choice(self.behaviours)
        self.trace(self.name, f"{request_id} {name} (attempt {attempt}, from {visit.socket.end.peer.process})")
        return await BEHAVIOURS[name](Conversation(self, visit, rng, method, fields))

    def _close_if_idle(self, socket: Socket) -> None:
        if not socket.is_busy and not socket.has_left:
            socket.leave("close")

    def crossed(self, visit: Visit) -> None:
        """A lie of this connection crossed the next request, which then got it for an answer: no gateway could know."""
        self.ledger.excused.add(f"nobody after {visit.request_id}")
        for other in self._visits:
            if other.socket is visit.socket:
                other.ends_at = 0
                self.ledger.excused.add(other.request_id)
        visit.socket.leave("reset")


class Conversation(Talk):
    """What a behaviour can do with the request before it."""

    def __init__(
        self, container: Container, visit: Visit, rng: random.Random, method: str, fields: dict[str, str]
    ) -> None:
        super().__init__(container.process, visit.socket, rng, method, fields)
        self._container = container
        self._visit = visit

    async def body(self) -> None:
        body = await self.socket.body(self.fields, ends_by_eof=False)
        self._container.ledger.arrived(self._visit.request_id, self.method, body, self._container.name)

    def answered(self) -> None:
        self._visit.ends_at = self.socket.end.sent

    def poison(self, after: int) -> bytes:
        answer = Answer(200, {"x-answer-for": f"nobody after {self._visit.request_id}"}, b"poison")
        end = self.socket.end
        end.peer.watch_crossing(end.sent + after, self.socket.consumed, lambda: self._container.crossed(self._visit))
        return answer.head() + answer.body
