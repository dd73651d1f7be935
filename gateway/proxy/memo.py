"""The head memo: a keep-alive client repeats its head, so what was found and decided about it is kept and used again.

The rules, since this is where a fast gateway turns into a wrong one:

* A head is the same if it is so byte for byte. Three fields may differ in their values: `HOLES`. Clients make these
  anew for each request, no check looks at them, and an id is visible ASCII without blanks: a parser that found the
  field in one head finds it in the other.
* Kept on second sight, and only if the request went on to a backend: refusals are never remembered.
* Only heads with Content-Length or no body, HTTP/1.1, without Expect, Upgrade or Connection, whole in one read.
* Consulted only between two messages, when nothing waits, so that it is used in the moment in which it is judged.
* Used while the same path and host lead to the same compiled service, the signing keys are those that verified the
  token, and the time is one at which the credential opens (`Exchange.opens_from`, `opens_until`).
* What depends on more than the head is asked anew for each request: `Route.rechecks`; so are ids, times and addresses.
* Who is never known is asked less: a connection that carries everybody's heads, as a proxy's does, costs nothing more.
* Bounded in entries, and in bytes by the longest head that is kept. What is dropped is emptied, whoever still refers
  to it.
"""

from __future__ import annotations

import time
from typing import Final

from gateway.core import hygiene
from gateway.core.exchange import Exchange
from gateway.core.route import RouteTable, Target
from gateway.core.snapshot import Trust
from gateway.policy import World
from gateway.proxy.message import REQUEST_ID, Message, new_id

MAX_HEAD_BYTES = 4096
MAX_ID_BYTES = 100
TRACE: Final = b"traceparent"
HOLES: Final = frozenset({b"x-request-id", b"x-ms-client-request-id", TRACE})
_KEPT_OUT = frozenset({b"transfer-encoding", b"upgrade", b"expect", b"connection"})

Shape = tuple[bytes, ...]
"""A head cut at the values of its holes, which are left out."""


class Known:
    """A head that was seen before, and what came of it. `shape` is empty once it was dropped.

    `passing`: its lines for the backend; two pieces if a `traceparent` goes between them.
    """

    __slots__ = ("exchange", "holes", "length", "passing", "shape", "target", "trust")

    def __init__(self, shape: Shape, holes: Shape, exchange: Exchange, target: Target, trust: Trust | None) -> None:
        """`holes`: the names of the fields between the pieces of `shape`, as sent. `trust`: what verified the token."""
        self.shape = shape
        self.holes = holes
        self.exchange = exchange
        self.target = target
        self.trust = trust
        self.length = exchange.length or 0
        self.passing = tuple(b"".join(lines) for lines in _around_trace(exchange, target, holes))


class HeadMemo:
    """What one worker remembers of heads."""

    __slots__ = ("_known", "_max_entries", "_max_head", "_seen", "_table", "_world")

    def __init__(self, max_entries: int, max_header_bytes: int, table: RouteTable, world: World) -> None:
        self._max_entries = max_entries
        # However long the ids in its holes are, the head is within the limit.
        self._max_head = min(MAX_HEAD_BYTES, max_header_bytes - len(HOLES) * MAX_ID_BYTES)
        self._table = table
        self._world = world
        self._seen: dict[Shape, None] = {}
        self._known: dict[Shape, Known] = {}

    def __len__(self) -> int:
        return len(self._known)

    def recall(self, data: bytes, last: Known | None) -> Message | None:
        """The request that `data` is, whole, if its head is known. `last`: what this connection brought before."""
        if last is not None and (message := self._again(last, data)) is not None:
            return message
        known = self._known.get((data[: data.find(b"\r\n\r\n") + 4],))
        return None if known is None or known is last else self._again(known, data)

    def note(self, head: bytes, message: Message, target: Target) -> Known | None:
        """The request with this head went on to `target`. Returns what is known of it, from the second time on."""
        exchange = message.exchange
        assert exchange is not None
        if len(head) > self._max_head or not _may_be_kept(head, exchange):
            return None
        shape, holes = _cut(head, exchange)
        if not shape:
            return None
        known = self._known.get(shape)
        if known is not None and self._is_true(known, exchange.wall):
            return known
        if known is None and shape not in self._seen:
            _make_room(self._seen, self._max_entries)
            self._seen[shape] = None
            return None
        self._seen.pop(shape, None)
        trust = self._world.trust if exchange.caller.auth_type == "token" else None
        return self._keep(Known(shape, holes, exchange, target, trust))

    def forget_changed(self) -> None:
        """Services have changed: drop what is true no more, and with it what it refers to."""
        for known in list(self._known.values()):
            if not self._leads_on(known):
                self._drop(known)

    def _keep(self, known: Known) -> Known:
        old = self._known.get(known.shape)
        if old is not None:
            self._drop(old)
        while len(self._known) >= self._max_entries:
            self._drop(next(iter(self._known.values())))
        self._known[known.shape] = known
        return known

    def _drop(self, known: Known) -> None:
        del self._known[known.shape]
        known.shape = ()
        del known.exchange, known.target, known.passing

    def _leads_on(self, known: Known) -> bool:
        exchange = known.exchange
        return self._table.find(exchange.path, exchange.fields.get(b"host", b"")) == known.target

    def _is_true(self, known: Known, wall: float) -> bool:
        if not self._leads_on(known) or not (known.trust is None or known.trust is self._world.trust):
            return False
        return known.exchange.opens_from <= wall < known.exchange.opens_until

    def _again(self, known: Known, data: bytes) -> Message | None:
        shape = known.shape
        if not shape or not data.startswith(shape[0]):
            return None
        values: list[bytes] = []
        at = len(shape[0])
        for piece in shape[1:]:
            end = data.find(b"\r\n", at, at + MAX_ID_BYTES + 2)
            value = data[at:end]
            if end < 0 or not data.startswith(piece, end) or not REQUEST_ID.fullmatch(value):
                return None
            values.append(value)
            at = end + len(piece)
        wall = time.time()
        if len(data) - at != known.length or not self._is_true(known, wall):
            return None
        exchange = known.exchange.again(time.monotonic(), wall)
        _fill(exchange, known, values)
        return Message.again(exchange, known.target, data[at:])


def _fill(exchange: Exchange, known: Known, values: list[bytes]) -> None:
    """Say what this request said in the holes."""
    exchange.passing = known.passing[0]
    for name, value in zip(known.holes, values, strict=True):
        if name.lower() == b"x-request-id":
            exchange.request_id = value.decode()
        elif name.lower() == b"x-ms-client-request-id":
            exchange.client_request_id = value.decode()
        elif len(known.passing) == 2:
            exchange.passing = b"%b%b: %b\r\n%b" % (known.passing[0], name, value, known.passing[1])
    if not exchange.request_id:
        exchange.request_id = new_id()


def _around_trace(exchange: Exchange, target: Target, holes: Shape) -> list[list[bytes]]:
    """The lines that pass; those before and those after the client's `traceparent`, where that is a hole."""
    rules = target.route.spec.request_headers
    lines = hygiene.passing(exchange, rules)
    is_ruled = TRACE in {name.lower().encode() for name in (*rules.set, *rules.remove)}
    for name in holes:
        if name.lower() == TRACE and not is_ruled:
            at = lines.index(b"%b: %b\r\n" % (name, exchange.fields[TRACE]))
            return [lines[:at], lines[at + 1 :]]
    return [lines]


def _may_be_kept(head: bytes, exchange: Exchange) -> bool:
    return (
        head.find(b"\r\n\r\n") == len(head) - 4
        and exchange.version == "1.1"
        and exchange.keep_alive
        and not exchange.repeated
        and _KEPT_OUT.isdisjoint(exchange.fields)
    )


def _cut(head: bytes, exchange: Exchange) -> tuple[Shape, Shape]:
    """The shape of a head, and the names of the fields in its holes; no shape if an id in it cannot be cut out."""
    pieces: list[bytes] = []
    names: list[bytes] = []
    lines = head.split(b"\r\n")
    # One line a field: llhttp refuses those that go on (obs-fold).
    start, at = 0, len(lines[0]) + 2
    for line, (lower, name, value) in zip(lines[1:], exchange.headers, strict=False):
        if lower in HOLES and REQUEST_ID.fullmatch(value):
            is_plain = line.lower().startswith(lower + b":") and line.endswith(value)
            if exchange.fields[lower] is not value or not is_plain:
                return (), ()
            pieces.append(head[start : at + len(line) - len(value)])
            names.append(name)
            start = at + len(line)
        at += len(line) + 2
    pieces.append(head[start:])
    return tuple(pieces), tuple(names)


def _make_room(seen: dict[Shape, None], most: int) -> None:
    while len(seen) >= most:
        del seen[next(iter(seen))]
