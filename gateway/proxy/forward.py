"""An admitted request: body, queue, connection, answer. What is taken is given back exactly once, whatever happens.

Phases: receive → admit → (connect → send → answer), the last three again on another backend if the first certainly did
not compute the request. Each phase names itself in `trip.stage` before it waits.
"""

from __future__ import annotations

import logging
import random
import time

from gateway.core import dialect
from gateway.core.admission import Backend, Pool
from gateway.core.ejection import GATEWAY_FAILURES
from gateway.core.problem import Reply
from gateway.core.route import Target
from gateway.proxy import answer, heads
from gateway.proxy.client import Client
from gateway.proxy.connection import Connection, UpstreamError
from gateway.proxy.delivery import deliver, stream
from gateway.proxy.desk import Desk
from gateway.proxy.journey import PAUSE, ClientGoneError, DeadlineError
from gateway.proxy.message import Message
from gateway.proxy.trip import Trip
from gateway.proxy.upload import Upload, check_body
from gateway.proxy.upstream import Upstream

log = logging.getLogger("gateway.worker")

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


class Forward:
    """One admitted request on its way. `body`: what of it is sent with the head; `is_whole`: that is all of it."""

    __slots__ = (
        "_backend",
        "_body",
        "_client",
        "_deadline",
        "_desk",
        "_is_whole",
        "_message",
        "_meter",
        "_pool",
        "_route",
        "_spec",
        "_target",
        "_tried",
        "_trip",
        "_upload",
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
        self._upload: Upload | None = None
        pools = target.route.pools
        self._pool = pools[0][1] if len(pools) == 1 else _choose(pools)
        self._tried: list[Backend] = []

    async def run(self) -> Reply | None:
        """The gateway's own answer, or None: the backend's was passed on.

        Where nothing has to be waited for, no coroutine is made: each costs as much as the work of a phase.
        """
        message, trip, pool = self._message, self._trip, self._pool
        if not message.complete:
            self._upload = Upload(self._client, message, trip, self._route)
            await self._upload.receive()
        check_body(message, self._route)
        self._body, self._is_whole = self._client.take_body(message), message.complete
        trip.deployment = pool.deployment
        trip.admitted = now = time.monotonic()
        self._deadline = now + self._spec.scoring_timeout_ms / 1000
        backend = pool.take(now) or await self._queue(now)
        if isinstance(backend, Reply):
            return backend
        self._backend = trip.backend = backend
        try:
            return await self._carry()
        except DeadlineError:
            self._blame_for_lateness()
            raise
        finally:
            self._desk.give_back(pool, self._backend)
            if trip.sent:
                self._meter.backend_durations.observe(time.monotonic() - trip.sent)

    # --- admit

    async def _queue(self, now: float) -> Backend | Reply:
        """Wait for a permit, if any backend is worth waiting for."""
        trip, spec, name = self._trip, self._spec, self._route.name
        trip.stage = "queue"
        trip.queued = now
        if not self._pool.is_up(now):
            return dialect.no_backend(spec.error_dialect, name)
        turn = await self._wait_turn()
        return dialect.queue_full(spec.error_dialect, name, turn, trip.stage) if isinstance(turn, str) else turn

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
            upstream: Upstream = self._backend.upstream
            try:
                connection = upstream.kept(time.monotonic()) or await self._connect(upstream)
            except UpstreamError as error:
                self._meter.errors[error.kind] += 1
                if error.kind == "exhausted":
                    return EXHAUSTED
                self._blame()
                if self._try_another(error):
                    continue
                return dialect.no_backend(self._spec.error_dialect, self._route.name)
            try:
                self._send(connection, upstream.authority)
                if self._upload is not None and not self._is_whole:
                    await self._send_rest(connection, self._upload)
                self._expect_answer()
                await self._await_head(connection)
                if not deliver(connection, self._client, self._message, self._trip):
                    await stream(connection, self._client, self._trip)
                self._judge(connection.status)
            except UpstreamError as error:
                self._meter.errors[error.kind] += 1
                self._blame()
                is_safe = self._is_whole and not self._trip.status and self._trip.exchange.method in IDEMPOTENT
                if is_safe and self._try_another(error):
                    continue
                return self._failed(error)
            finally:
                connection.release()
            if self._client.gone:
                raise ClientGoneError
            return None

    async def _connect(self, upstream: Upstream) -> Connection:
        trip = self._trip
        trip.stage = "connect"
        self._client.set_deadline(min(self._deadline, time.monotonic() + self._spec.connect_timeout_ms / 1000))
        try:
            connection = await upstream.connect(self._client.journey)
        except DeadlineError:
            if time.monotonic() >= self._deadline:
                raise
            raise UpstreamError("connect_timeout", "no connection in connect_timeout_ms", unsent=True) from None
        trip.connected = time.monotonic()
        return connection

    def _send(self, connection: Connection, authority: bytes) -> None:
        """Hand the request over, in one write if its body is here."""
        trip, exchange = self._trip, self._trip.exchange
        connection.begin(self._client.journey, body_expected=exchange.method != b"HEAD")
        trip.sent = time.monotonic()
        length = len(self._body) if self._is_whole else exchange.length
        head = heads.request(trip, self._target, authority, length)
        connection.transport.write(head + (self._body if length is not None else answer.chunk(self._body)))
        connection.request_done = self._is_whole

    async def _send_rest(self, connection: Connection, upload: Upload) -> None:
        """The time a client takes to send is its own; the deadline is the backend's."""
        connection.request_done = await upload.stream(connection, is_chunked=self._trip.exchange.length is None)
        self._deadline = time.monotonic() + self._spec.scoring_timeout_ms / 1000

    def _expect_answer(self) -> None:
        self._trip.stage = "first_byte"
        self._client.set_deadline(self._deadline)
        self._client.committed = self._spec.on_client_gone != "abort"

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

    def _judge(self, status: int) -> None:
        if status in GATEWAY_FAILURES:
            self._blame()
        elif self._pool.succeeded(self._backend) and self._pool.forgive(self._backend, time.monotonic()):
            log.info("backend %s of %s answers well, and is back", self._backend.shown, self._route.name)

    def _blame(self, *, is_abandoned: bool = False) -> None:
        """The backend failed this request: once too often, and it is left out for a while."""
        seconds = self._desk.failed(self._pool, self._backend, is_abandoned=is_abandoned)
        if seconds:
            self._meter.ejections += 1
            text = "backend %s of %s fails, and is ejected for %g s"
            log.warning(text, self._backend.shown, self._route.name, seconds)

    def _blame_for_lateness(self) -> None:
        """The deadline passed. Whose fault it was depends on who had the most of the time."""
        trip = self._trip
        if trip.stage != "first_byte":
            return
        if self._client.gone:
            self._blame(is_abandoned=True)
        elif time.monotonic() - trip.sent >= self._spec.scoring_timeout_ms / 2000:
            self._blame()

    def _try_another(self, error: UpstreamError) -> bool:
        """Move the request to another backend, if there is one and the service allows another try."""
        if error.unsent:
            self._desk.rest(self._pool, self._backend, REST_SECONDS)
        self._tried.append(self._backend)
        if len(self._tried) >= self._spec.retry.attempts or self._client.gone:
            return False
        now = time.monotonic()
        other = self._pool.retake(now, self._tried)
        if other is None:
            return False
        if not self._pool.budget.spend(now):
            self._meter.retries_over_budget += 1
            self._desk.give_back(self._pool, other)
            return False
        self._meter.retries[error.kind] += 1
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
    return random.choices([pool for _, pool in pools], [share for share, _ in pools])[0]  # noqa: S311 - no secret
