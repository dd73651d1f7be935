"""A backend's answer on its way to the client: at once if it is here whole, else as it comes."""

from __future__ import annotations

import time

from gateway.core import dialect
from gateway.proxy import answer, heads
from gateway.proxy.client import Client
from gateway.proxy.connection import Connection
from gateway.proxy.journey import PAUSE, ClientGoneError, DeadlineError
from gateway.proxy.message import Message
from gateway.proxy.trip import Trip

LONG_ANSWER = 1_048_576
"""Longer answers, and those of unknown length, are streams: the deadline gives way to `stream_idle_timeout_ms`."""


def deliver(connection: Connection, client: Client, message: Message, trip: Trip) -> bool:
    """Pass on what has arrived of an answer: its head at least. False: more will come, `stream` passes it on."""
    assert trip.route is not None
    trip.answered = time.monotonic()
    trip.stage = "answer"
    trip.model_status = connection.status
    trip.status, extra = dialect.model_status(trip.route.spec.error_dialect, connection.status)
    is_whole, length = connection.complete, connection.length
    # An answer before the end of the request closes: what still comes is not worth reading (RFC 9112 section 9.6).
    trip.ends_by_close = not message.complete or client.draining
    if not is_whole:
        _begin_stream(connection, client, trip)
    body = connection.take()
    trip.sent_bytes = len(body)
    if is_whole and answer.may_have_body(trip.exchange.method, trip.status):
        length = len(body)
    head = heads.response(trip, connection, extra, length, is_chunked=trip.is_chunked)
    client.send(head + (answer.chunk(body) if trip.is_chunked and body else body))
    return is_whole


def _begin_stream(connection: Connection, client: Client, trip: Trip) -> None:
    trip.streams = connection.length is None or connection.length > LONG_ANSWER
    if connection.length is None:
        trip.is_chunked = trip.exchange.version == "1.1"
        if not trip.is_chunked:
            trip.ends_by_close = True
            client.end_by_eof()


async def stream(connection: Connection, client: Client, trip: Trip) -> None:
    """Pass the rest on as it comes, no faster than the client takes it. Raises UpstreamError, ClientGoneError."""
    assert trip.route is not None
    spec, is_chunked, is_stalled = trip.route.spec, trip.is_chunked, False
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
