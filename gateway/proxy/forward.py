"""An admitted request: body, queue, connection, answer. What is taken is given back exactly once, whatever happens.

Phases: receive → admit → (connect → send → answer), the last three again on another backend if the first certainly did
not compute the request. Each phase names itself in `trip.stage` before it waits.
"""

from __future__ import annotations

import random
import time

from gateway.core import dialect
from gateway.core.admission import Backend, Pool
from gateway.core.problem import Reply
from gateway.core.route import Target
from gateway.proxy import answer, heads
from gateway.proxy.connection import Connection, UpstreamError
from gateway.proxy.delivery import deliver
from gateway.proxy.desk import Desk
from gateway.proxy.journey import PAUSE, ClientGoneError, DeadlineError
from gateway.proxy.listener import Client
from gateway.proxy.message import Message
from gateway.proxy.pace import MIN_RATE
from gateway.proxy.trip import Trip
from gateway.proxy.upstream import Upstream

SMALL_BODY = 65_536
"""A request body up to this size travels whole: a slow client does not hold a container while it sends."""
REST_SECONDS = 1.0
"""How long a backend that refused a connection is left alone; the probes take over from there."""
EXHAUSTED = Reply(
    503,
    "exhausted",
    "The gateway has no descriptor left for a connection to the container. Try again shortly; its operator raises the"
    " limit (ulimit -n) or lowers scoring.max_connections.",
    "connect",
    dialect.RETRY_SOON,
)
IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})


class BodyError(Exception):
    """The body of the request turned out to be too long, or its framing broken, after it was let in."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.detail)
        self.reply = reply


class Forward:
    """One admitted request on its way. `body`: what of it is sent with the head; `is_whole`: that is all of it."""

    __slots__ = (
        "_awaits",
        "_backend",
        "_body",
        "_body_timeout",
        "_client",
        "_deadline",
        "_desk",
        "_heard",
        "_is_whole",
        "_message",
        "_meter",
        "_pool",
        "_route",
        "_spec",
        "_target",
        "_tried",
        "_trip",
    )

    def __init__(self, desk: Desk, client: Client, message: Message, trip: Trip, target: Target) -> None:
        self._desk = desk
        self._client = client
        self._message = message
        self._trip = trip
        self._target = target
        self._route = target.route
        self._spec = target.route.spec
        self._meter = target.route.meter
        self._body_timeout = client.limits.body_timeout_seconds
        self._awaits = ""
        self._heard = 0
        self._pool = _choose(target.route.pools)
        self._tried: list[Backend] = []

    async def run(self) -> Reply | None:
        """The gateway's own answer, or None: the backend's was passed on."""
        await self._receive()
        reply = await self._admit()
        if reply is not None:
            return reply
        try:
            return await self._carry()
        finally:
            self._desk.give_back(self._pool, self._backend)
            if self._trip.sent:
                self._meter.backend_durations.observe(time.monotonic() - self._trip.sent)

    # --- receive

    async def _receive(self) -> None:
        """Wait until the body is here whole, or is too large to wait for."""
        client, message = self._client, self._message
        if not message.complete:
            client.invite_body(message)
            while not message.complete and message.held < SMALL_BODY:
                await self._await_body()
                self._check_body()
        self._check_body()
        self._body, self._is_whole = client.take_body(message), message.complete

    def _check_body(self) -> None:
        message, most = self._message, self._spec.max_request_bytes
        if message.refusal is not None:
            raise BodyError(message.refusal)
        if message.size > most:
            detail = f"The body is longer than {most} bytes (max_request_bytes of {self._route.name})."
            raise BodyError(Reply(413, "body_too_large", detail, "body", closes=True))

    # --- admit

    async def _admit(self) -> Reply | None:
        """Take a permit at the least busy backend, or wait for one."""
        trip, spec, name = self._trip, self._spec, self._route.name
        trip.deployment = self._pool.deployment
        trip.admitted = now = time.monotonic()
        self._deadline = now + spec.scoring_timeout_ms / 1000
        backend: Backend | str | None = self._pool.take(now)
        if backend is None:
            trip.stage = "queue"
            trip.queued = now
            if not self._pool.is_up(now):
                return dialect.no_backend(spec.error_dialect, name)
            backend = await self._wait_turn()
        if isinstance(backend, str):
            return dialect.queue_full(spec.error_dialect, name, backend, trip.stage)
        self._backend = backend
        trip.backend = backend
        return None

    async def _wait_turn(self) -> Backend | str:
        """The backend whose permit this request got, or why it got none."""
        trip, spec, client = self._trip, self._spec, self._client
        ticket = self._desk.queue(self._pool, client.journey) if spec.max_queue_wait_ms else None
        if ticket is None:
            return "queue_full"
        self._meter.queued += 1
        client.set_deadline(min(self._deadline, trip.queued + spec.max_queue_wait_ms / 1000))
        try:
            while ticket.backend is None:
                await PAUSE
        except DeadlineError:
            self._desk.leave(self._pool, ticket)
            if time.monotonic() >= self._deadline:
                raise
            return "queue_wait"
        except ClientGoneError:
            self._desk.leave(self._pool, ticket)
            raise
        finally:
            self._meter.queued -= 1
            trip.admitted = time.monotonic()
            self._meter.queue_waits.observe(trip.admitted - trip.queued)
        return ticket.backend

    # --- carry

    async def _carry(self) -> Reply | None:
        """Try backends until one has answered, or it would not be safe to try another."""
        while True:
            try:
                connection = await self._connect()
            except UpstreamError as error:
                self._meter.errors[error.kind] += 1
                if error.kind == "exhausted":
                    return EXHAUSTED
                if self._try_another(error):
                    continue
                return dialect.no_backend(self._spec.error_dialect, self._route.name)
            try:
                await self._send(connection)
                await self._await_head(connection)
                await deliver(connection, self._client, self._message, self._trip)
            except UpstreamError as error:
                self._meter.errors[error.kind] += 1
                is_safe = self._is_whole and not self._trip.status and self._trip.exchange.method in IDEMPOTENT
                if is_safe and self._try_another(error):
                    continue
                return self._failed(error)
            finally:
                connection.release()
            if self._client.gone:
                raise ClientGoneError
            return None

    async def _connect(self) -> Connection:
        upstream, trip = self._upstream, self._trip
        now = time.monotonic()
        connection = upstream.kept(now)
        if connection is not None:
            return connection
        trip.stage = "connect"
        self._client.set_deadline(min(self._deadline, now + self._spec.connect_timeout_ms / 1000))
        try:
            connection = await upstream.connect(self._client.journey)
        except DeadlineError:
            if time.monotonic() >= self._deadline:
                raise
            raise UpstreamError("connect_timeout", "no connection in connect_timeout_ms", unsent=True) from None
        trip.connected = time.monotonic()
        return connection

    async def _send(self, connection: Connection) -> None:
        """Hand the request over, in one write if its body is here."""
        trip, exchange = self._trip, self._trip.exchange
        connection.begin(self._client.journey, body_expected=exchange.method != b"HEAD")
        trip.sent = time.monotonic()
        length = len(self._body) if self._is_whole else exchange.length
        head = heads.request(trip, self._target, self._upstream.authority, length)
        connection.transport.write(head + (self._body if length is not None else answer.chunk(self._body)))
        connection.request_done = self._is_whole
        if not self._is_whole:
            connection.request_done = await self._stream_body(connection, is_chunked=length is None)
            # The time a client took to send is its own; the deadline is the backend's.
            self._deadline = time.monotonic() + self._spec.scoring_timeout_ms / 1000
        trip.stage = "first_byte"
        self._client.set_deadline(self._deadline)
        self._client.committed = self._spec.on_client_gone != "abort"

    async def _stream_body(self, connection: Connection, *, is_chunked: bool) -> bool:
        """Pass the rest of a large body on, no faster than the backend takes it. False: it answered before the end."""
        client, message = self._client, self._message
        self._awaits = ""
        while not (connection.head_ready or connection.error):
            is_last = message.complete
            data = b"" if connection.write_paused else client.take_body(message)
            self._check_body()
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
        if self._awaits != "body" or size - self._heard >= MIN_RATE * self._body_timeout:
            self._awaits, self._heard = "body", size
            self._trip.stage = "body"
            self._client.set_deadline(time.monotonic() + self._body_timeout)
        await PAUSE

    async def _await_room(self) -> None:
        """Wait until the backend reads on. What the client sends meanwhile gives it no more time."""
        if self._awaits != "room":
            self._awaits = "room"
            self._trip.stage = "first_byte"
            self._client.set_deadline(time.monotonic() + self._spec.scoring_timeout_ms / 1000)
        await PAUSE

    async def _await_head(self, connection: Connection) -> None:
        """Wait for the head of the answer; read on when the client is gone, since the backend still computes."""
        is_abandoned = False
        while not connection.head_ready:
            if connection.error is not None:
                raise connection.error
            if self._client.gone and not is_abandoned:
                is_abandoned = True
                patience = self._spec.abandon_after_ms or self._spec.scoring_timeout_ms
                self._client.set_deadline(min(self._deadline, time.monotonic() + patience / 1000))
            await PAUSE
        if connection.error is not None and not connection.complete:
            raise connection.error

    # --- when a backend fails

    @property
    def _upstream(self) -> Upstream:
        upstream = self._backend.upstream
        assert isinstance(upstream, Upstream)
        return upstream

    def _try_another(self, error: UpstreamError) -> bool:
        """Move the request to another backend, if there is one and the service allows another try."""
        if error.unsent:
            self._desk.rest(self._backend, REST_SECONDS)
        self._tried.append(self._backend)
        if len(self._tried) >= self._spec.retry.attempts or self._client.gone:
            return False
        other = self._pool.retake(time.monotonic(), self._tried)
        if other is None:
            return False
        self._desk.give_back(self._pool, self._backend)
        self._backend = other
        self._trip.backend = other
        return True

    def _failed(self, error: UpstreamError) -> Reply | None:
        self._trip.outcome, self._trip.reason = "failed", error.kind
        if self._trip.status:
            # The head is out: only a broken connection tells the client that the rest will not come.
            self._client.break_off()
            return None
        return dialect.backend_failed(error.kind, self._trip.stage)


def _choose(pools: tuple[tuple[int, Pool], ...]) -> Pool:
    """A deployment, by its share of the traffic."""
    if len(pools) == 1:
        return pools[0][1]
    return random.choices([pool for _, pool in pools], [share for share, _ in pools])[0]  # noqa: S311 - no secret
