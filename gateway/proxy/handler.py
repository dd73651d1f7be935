"""The life of a request: find its service, decide, forward, record. Every request ends here, exactly once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from gateway.core import dialect
from gateway.core.exchange import Exchange
from gateway.core.problem import Reply
from gateway.core.route import RouteTable, Target
from gateway.proxy import answer
from gateway.proxy.client import Client
from gateway.proxy.desk import Desk
from gateway.proxy.forward import Forward
from gateway.proxy.journey import ClientGoneError, DeadlineError
from gateway.proxy.lane import Lane, Passage
from gateway.proxy.memo import HeadMemo
from gateway.proxy.message import Message
from gateway.proxy.meters import NAMED, OTHER, Meters
from gateway.proxy.trip import Trip
from gateway.proxy.upload import BodyError

log = logging.getLogger("gateway.worker")

ALLOWED = (b"allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")


class Handler:
    """Serves the requests of one worker. `local` answers what is no service's; `record` writes the access log."""

    __slots__ = ("_desk", "_lane", "_local", "_memo", "_meters", "_record", "_table")

    def __init__(
        self,
        table: RouteTable,
        desk: Desk,
        meters: Meters,
        local: Callable[[Exchange], Reply],
        record: Callable[[Trip, float], None] | None,
        *,
        lane: Lane | None = None,
        memo: HeadMemo | None = None,
    ) -> None:
        self._table = table
        self._desk = desk
        self._meters = meters
        self._local = local
        self._record = record
        self._lane = lane
        self._memo = memo

    async def __call__(self, client: Client, message: Message) -> None:
        """Serve one request to its end."""
        exchange = message.exchange
        assert exchange is not None
        trip = Trip(exchange, message.started)
        try:
            # What an idle connection refers to must not hold what a service was.
            known, message.known = message.known, None
            decided = message.refusal or self._decide(trip, known)
            if isinstance(decided, Target):
                if message.head_bytes and self._memo is not None:
                    client.known = self._memo.note(message.head_bytes, message, decided)
                reply = await Forward(self._desk, client, message, trip, decided).run()
            elif isinstance(decided, Passage):
                reply = await decided.carry(client, message, trip)
            else:
                reply = decided
        except DeadlineError:
            reply = self._late(client, trip)
        except BodyError as error:
            reply = error.reply
        except ClientGoneError:
            reply, trip.outcome, trip.status = None, "gone", trip.status or 499
        except Exception:
            log.exception("request %s failed in stage %s", exchange.request_id, trip.stage)
            reply = self._broken(client, trip)
        self._end(client, message, trip, reply)

    def _decide(self, trip: Trip, known: Target | None) -> Reply | Target | Passage:
        """The gateway's own answer, or where the request goes on to. `known`: that a request with this head does."""
        exchange = trip.exchange
        target = known or self._table.find(exchange.path, exchange.fields.get(b"host", b""))
        if target is None or (known is None and target.operation == "extra"):
            passage = self._lane.find(exchange) if self._lane else None
            if passage is not None:
                return self._admit_to_lane(trip, passage)
            if target is None:
                return self._local(exchange)
        route = trip.route = target.route
        exchange.operation = target.operation
        route.meter.in_flight += 1
        reply = route.decide(exchange) if known is None else route.decide_again(exchange)
        if reply is None and exchange.method == b"TRACE":
            # It would show the caller the identity fields that only the backend is to see.
            reply = Reply(405, "method_not_allowed", "TRACE is not passed on.", headers=(ALLOWED,))
        return reply or target

    def _admit_to_lane(self, trip: Trip, passage: Passage) -> Reply | Passage:
        route = trip.route = passage.route
        trip.exchange.operation = passage.errand.operation
        route.meter.in_flight += 1
        return route.decide(trip.exchange) or passage

    def _late(self, client: Client, trip: Trip) -> Reply | None:
        """The deadline passed: before the answer began there is a word for it, later only a broken connection."""
        assert trip.route is not None
        trip.outcome = trip.reason = "timeout"
        trip.route.meter.timeouts[trip.stage] += 1
        if trip.status:
            client.break_off()
            return None
        if trip.stage == "body":
            return Reply(408, "body_timeout", "The body of the request did not arrive in time.", "body", closes=True)
        spec = trip.route.spec
        return dialect.timed_out(spec.error_dialect, spec.scoring_timeout_ms, trip.stage)

    def _broken(self, client: Client, trip: Trip) -> Reply | None:
        trip.outcome, trip.reason = "failed", "internal_error"
        if trip.status:
            client.break_off()
            return None
        return Reply(500, "internal_error", "The gateway failed; its log says more.", trip.stage, closes=True)

    def _end(self, client: Client, message: Message, trip: Trip, reply: Reply | None) -> None:
        exchange, route = trip.exchange, trip.route
        keep = exchange.keep_alive and not trip.ends_by_close and message.is_cheap_to_skip
        if reply is not None:
            keep = keep and not (reply.closes or client.draining)
            self._answer(client, trip, reply, keep=keep)
        now = time.monotonic()
        meter = route.meter if route else self._meters.of(OTHER)
        if route is not None:
            meter.in_flight -= 1
        meter.durations[trip.status].observe(now - trip.started)
        if trip.reason and trip.outcome != "ok":
            meter.refusals[trip.reason] += 1
        caller = exchange.caller
        if caller.auth_type == "key":
            meter.uses[caller.key_id] += 1
            meter.key_uses[caller.slot or NAMED] += 1
        if self._record is not None:
            trip.received = message.size
            self._record(trip, now)
        client.finish(message, keep=keep)

    def _answer(self, client: Client, trip: Trip, reply: Reply, *, keep: bool) -> None:
        exchange = trip.exchange
        trip.status = reply.status
        if reply.reason:
            trip.reason = reply.reason
            trip.stage = reply.stage
            trip.outcome = "refused" if trip.outcome == "ok" else trip.outcome
        decorate = trip.route.decorate if trip.route else None
        data = answer.own(reply, exchange, decorate(exchange) if decorate else (), closes=not keep)
        trip.sent_bytes = len(data) - data.index(b"\r\n\r\n") - 4
        client.send(data)
