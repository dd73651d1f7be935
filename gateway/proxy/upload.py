"""A request's body that did not come with its head: awaited while it is small, passed on as it comes when it is large.

Who sends too slowly is the client's fault and is ended by `body_timeout_seconds`; a backend that does not read is not.
"""

from __future__ import annotations

import time

from gateway.core.problem import Reply
from gateway.core.route import Route
from gateway.proxy import answer
from gateway.proxy.client import Client
from gateway.proxy.connection import Connection
from gateway.proxy.journey import PAUSE
from gateway.proxy.message import Message
from gateway.proxy.pace import MIN_RATE
from gateway.proxy.trip import Trip

SMALL_BODY = 65_536
"""A request body up to this size travels whole: a slow client does not hold a container while it sends."""


class BodyError(Exception):
    """The body of the request turned out to be too long, or its framing broken, after it was let in."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.detail)
        self.reply = reply


def check_body(message: Message, route: Route) -> None:
    """Raise BodyError if what has arrived of the body is broken, or more than the service takes."""
    if message.refusal is not None:
        raise BodyError(message.refusal)
    most = route.spec.max_request_bytes
    if message.size > most:
        detail = f"The body is longer than {most} bytes (max_request_bytes of {route.name})."
        raise BodyError(Reply(413, "body_too_large", detail, "body", closes=True))


class Upload:
    """The body of one request on its way from the client to a backend."""

    __slots__ = ("_awaits", "_client", "_heard", "_message", "_route", "_timeout", "_trip")

    def __init__(self, client: Client, message: Message, trip: Trip, route: Route) -> None:
        self._client = client
        self._message = message
        self._trip = trip
        self._route = route
        self._timeout = client.limits.body_timeout_seconds
        self._awaits = ""
        self._heard = 0

    async def receive(self) -> None:
        """Wait until the body is here whole, or is too large to wait for."""
        client, message = self._client, self._message
        client.invite_body(message)
        while not message.complete and message.held < SMALL_BODY:
            await self._await_body()
            check_body(message, self._route)

    async def stream(self, connection: Connection, *, is_chunked: bool) -> bool:
        """Pass the rest of a large body on, no faster than the backend takes it. False: it answered before the end."""
        client, message = self._client, self._message
        self._awaits = ""
        while not (connection.head_ready or connection.error):
            is_last = message.complete
            data = b"" if connection.write_paused else client.take_body(message)
            check_body(message, self._route)
            if data:
                connection.transport.write(answer.chunk(data) if is_chunked else data)
                if self._awaits == "room":
                    self._awaits = ""
            elif is_last and not connection.write_paused:
                if is_chunked:
                    connection.transport.write(answer.LAST_CHUNK)
                return True
            elif connection.write_paused:
                await self._await_room()
            else:
                await self._await_body()
        return False

    async def _await_body(self) -> None:
        """Wait for more of the body, as long as the client is neither silent nor sends next to nothing."""
        size = self._message.size
        if self._awaits != "body" or size - self._heard >= MIN_RATE * self._timeout:
            self._awaits, self._heard = "body", size
            self._trip.stage = "body"
            self._client.set_deadline(time.monotonic() + self._timeout)
        await PAUSE

    async def _await_room(self) -> None:
        """Wait until the backend reads on. What the client sends meanwhile gives it no more time."""
        if self._awaits != "room":
            self._awaits = "room"
            self._trip.stage = "first_byte"
            self._client.set_deadline(time.monotonic() + self._route.spec.scoring_timeout_ms / 1000)
        await PAUSE
