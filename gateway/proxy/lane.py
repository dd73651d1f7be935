"""The way from a worker to the control process, for requests that need more than the snapshot: small ones, whole.

Each goes over a Unix connection of its own to an HTTP application there (`control.lane`). Who calls was decided here,
and is told in header fields that no client can send (`core.hygiene`); where the credential is none of ours it goes
along, and the control process judges it. While that process is away, these requests alone are answered 503.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

import httptools

from gateway.core import hygiene
from gateway.core.exchange import Exchange
from gateway.core.problem import Headers, Reply
from gateway.core.route import SERVICE_PREFIX, Route, RouteTable
from gateway.core.spec import RequestHeadersSpec
from gateway.policy import BEFORE_CREDENTIALS, World, compile_checks
from gateway.proxy.client import Client
from gateway.proxy.journey import PAUSE, DeadlineError
from gateway.proxy.message import Message
from gateway.proxy.trip import Trip
from gateway.proxy.upload import Upload, check_body

SECONDS = 10.0
"""For the whole of an errand, once its body is here."""
MAX_BODY = 65_536
MAX_ANSWER = 1 << 20
READ_BYTES = 65_536
AWAY = Reply(
    503,
    "control_away",
    "This needs the gateway's control process, which is away for the moment. Scoring goes on: try again soon.",
    "lane",
    ((b"retry-after", b"2"),),
)
TOO_LARGE = Reply(413, "body_too_large", f"The body has more than {MAX_BODY} bytes.", "lane", closes=True)

_UNCHANGED = RequestHeadersSpec()
_NOT_PASSED = frozenset({b"connection", b"content-length", b"content-type", b"date", b"server", b"x-request-id"})


@dataclass(frozen=True, slots=True)
class Errand:
    """What the control process does below a service: by `method`, as `operation`.

    `passes_credential`: it judges the caller; else the checks of the service do, as for scoring.
    """

    method: bytes
    operation: str
    passes_credential: bool = False


EXCHANGE = {b"/token": Errand(b"POST", "token", passes_credential=True)}
"""By path below the service: with `tokens.exchange`."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A request that goes this way, to `path` there. `route`: of its service, with the checks of the errand."""

    lane: Lane
    errand: Errand
    route: Route
    path: bytes

    async def carry(self, client: Client, message: Message, trip: Trip) -> Reply:
        """The control process's answer, or why there is none. Raises BodyError, DeadlineError, ClientGoneError."""
        if trip.exchange.method != self.errand.method:
            only = self.errand.method
            return Reply(405, "method_not_allowed", f"{only.decode()} is answered here.", "lane", ((b"allow", only),))
        if not self.lane.is_open():
            return AWAY
        if not message.complete:
            await Upload(client, message, trip, self.route).receive()
        check_body(message, self.route)
        if not message.complete or message.size > MAX_BODY:
            return TOO_LARGE
        trip.stage = "lane"
        client.set_deadline(time.monotonic() + SECONDS)
        request = self._head(trip.exchange, message.size) + client.take_body(message)
        journey = client.journey
        asking = asyncio.get_running_loop().create_task(_ask(self.lane.path, request))
        asking.add_done_callback(lambda _: journey.wake())
        try:
            while not asking.done():
                await PAUSE
            return asking.result()
        except (DeadlineError, OSError, httptools.HttpParserError):
            return AWAY
        finally:
            asking.cancel()

    def _head(self, exchange: Exchange, length: int) -> bytes:
        lines = [b"%b %b%b HTTP/1.1\r\nhost: control\r\n" % (exchange.method, self.path, exchange.query)]
        lines += hygiene.to_backend(exchange, _UNCHANGED)
        if self.errand.passes_credential:
            credentials = (value for name, _, value in exchange.headers if name == b"authorization")
            lines += [b"authorization: %b\r\n" % value for value in credentials]
        lines.append(b"content-length: %d\r\nconnection: close\r\n\r\n" % length)
        return b"".join(lines)


class Lane:
    """Finds the requests that go to the control process. `is_open`: whether that process is there."""

    def __init__(
        self, path: str, table: RouteTable, world: World, errands: Mapping[bytes, Errand], is_open: Callable[[], bool]
    ) -> None:
        """`path`: of the Unix socket. `errands`: by path below a service."""
        self.path = path
        self.is_open = is_open
        self._table = table
        self._world = world
        self._errands = errands

    def find(self, exchange: Exchange) -> Passage | None:
        """The passage of a request that is no scoring, or None: nothing is done there by the control process."""
        route, below = self._service(exchange)
        errand = self._errands.get(below)
        if errand is None or route is None:
            return None
        if errand.passes_credential:
            checks = compile_checks(route.entry, self._world, BEFORE_CREDENTIALS)
            route = Route(route.entry, checks, route.decorate, route.pools, route.meter)
        return Passage(self, errand, route, b"/services/%b%b" % (route.name.encode(), below))

    def _service(self, exchange: Exchange) -> tuple[Route | None, bytes]:
        """The service that a request means, by its path or by its host, and the path below it."""
        path = exchange.path
        if path.startswith(SERVICE_PREFIX):
            name, slash, rest = path[len(SERVICE_PREFIX) :].partition(b"/")
            return self._table.get(name.decode("latin-1")), slash + rest
        target = self._table.find(b"/score", exchange.fields.get(b"host", b""))
        return (target.route if target else None), path


class _Answer:
    """What httptools finds in the control process's answer."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, data: bytes) -> None:
        self.body += data
        if len(self.body) > MAX_ANSWER:
            _refuse(f"more than {MAX_ANSWER} bytes")

    def on_message_complete(self) -> None:
        self.complete = True


async def _ask(path: str, request: bytes) -> Reply:
    """One request to the control process. Raises OSError, HttpParserError."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(request)
        answer = _Answer()
        parser = httptools.HttpResponseParser(answer)
        while not answer.complete:
            data = await reader.read(READ_BYTES)
            if not data:
                _refuse("the end of the connection")
            parser.feed_data(data)
    finally:
        writer.close()
    status, fields = parser.get_status_code(), dict(answer.headers)
    passed: Headers = tuple(field for field in answer.headers if field[0] not in _NOT_PASSED)
    reason = "refused_by_control" if status >= 400 else ""
    kind = fields.get(b"content-type", b"application/octet-stream")
    return Reply(status, reason, "", "lane", passed, bytes(answer.body), kind)


def _refuse(what: str) -> NoReturn:
    raise httptools.HttpParserError(f"{what} where an answer of the control process should be")
