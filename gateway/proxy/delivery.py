"""A backend's answer on its way to the client: at once if it is here whole, else as it comes."""

from __future__ import annotations

import time

from gateway.core import dialect
from gateway.proxy import answer, heads
from gateway.proxy.connection import Connection
from gateway.proxy.journey import PAUSE, ClientGoneError, DeadlineError
from gateway.proxy.listener import Client
from gateway.proxy.message import Message
from gateway.proxy.trip import Trip

LONG_ANSWER = 1_048_576
"""Longer answers, and those of unknown length, are streams: the deadline gives way to `stream_idle_timeout_ms`."""


async def deliver(connection: Connection, client: Client, message: Message, trip: Trip) -> None:
    """Pass the answer on whose head has arrived. Raises UpstreamError if its end does not, ClientGoneError."""
    assert trip.route is not None
    trip.answered = time.monotonic()
    trip.stage = "answer"
    trip.model_status = connection.status
    trip.status, extra = dialect.model_status(trip.route.spec.error_dialect, connection.status)
    is_whole, has_length = connection.complete, connection.length is not None
    trip.streams = not is_whole and (connection.length is None or connection.length > LONG_ANSWER)
    is_chunked = not is_whole and not has_length and trip.exchange.version == "1.1"
    ends_by_eof = not is_whole and not has_length and not is_chunked
    # An answer before the end of the request closes: what still comes is not worth reading (RFC 9112 section 9.6).
    trip.ends_by_close = ends_by_eof or not message.complete or client.draining
    if ends_by_eof:
        client.end_by_eof()
    body = connection.take()
    trip.sent_bytes = len(body)
    is_counted = is_whole and answer.may_have_body(trip.exchange.method, trip.status)
    length = len(body) if is_counted else connection.length
    head = heads.response(trip, connection, extra, length, is_chunked=is_chunked)
    client.send(head + (answer.chunk(body) if is_chunked and body else body))
    if not is_whole:
        await _stream(connection, client, trip, is_chunked=is_chunked)


async def _stream(connection: Connection, client: Client, trip: Trip, *, is_chunked: bool) -> None:
    """Pass the rest on as it comes, no faster than the client takes it."""
    assert trip.route is not None
    spec = trip.route.spec
    is_stalled = False
    while True:
        if client.gone and spec.on_client_gone != "drain":
            raise ClientGoneError
        is_last, must_wait = connection.complete, client.write_paused and not client.gone
        data = b"" if must_wait else connection.take()
        if data:
            is_stalled = False
            trip.sent_bytes += len(data)
            client.send(answer.chunk(data) if is_chunked else data)
        elif is_last and not must_wait:
            break
        elif connection.error is not None and not must_wait:
            raise connection.error
        else:
            # What the backend sends meanwhile gives a client that does not read no more time.
            if trip.streams and not is_stalled:
                client.set_deadline(time.monotonic() + spec.stream_idle_timeout_ms / 1000)
            is_stalled = must_wait
            try:
                await PAUSE
            except DeadlineError:
                if not (trip.streams and is_stalled and client.reads_on()):
                    raise
                is_stalled = False
    if is_chunked:
        client.send(answer.LAST_CHUNK)
