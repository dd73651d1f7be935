"""Heads that are passed on: the request's to the backend, the answer's to the client; lines joined once."""

from __future__ import annotations

from gateway.core import hygiene
from gateway.core.problem import Headers
from gateway.core.route import Target
from gateway.proxy import answer
from gateway.proxy.connection import Connection
from gateway.proxy.trip import Trip


def request(trip: Trip, target: Target, authority: bytes, length: int | None) -> bytes:
    """The head for the backend; `length` of the whole body in bytes, or None when it travels in chunks."""
    exchange = trip.exchange
    lines = [b"%b %b%b HTTP/1.1\r\nhost: %b\r\n" % (exchange.method, target.path, exchange.query, authority)]
    lines += hygiene.to_backend(exchange, target.route.spec.request_headers)
    if length is None:
        lines.append(b"transfer-encoding: chunked\r\n\r\n")
    elif length or exchange.length is None or b"content-length" in exchange.fields:
        lines.append(b"content-length: %d\r\n\r\n" % length)
    else:
        lines.append(b"\r\n")
    return b"".join(lines)


def response(trip: Trip, connection: Connection, extra: Headers, length: int | None, *, is_chunked: bool) -> bytes:
    """The head for the client."""
    exchange, route = trip.exchange, trip.route
    assert route is not None
    lines = [answer.status_line(trip.status)]
    lines += hygiene.from_backend(connection.headers, connection.connection_field)
    lines += [b"%b: %b\r\n" % field for field in (*extra, *(route.decorate(exchange) if route.decorate else ()))]
    lines.append(answer.ids(exchange))
    lines.append(_server_timing(trip))
    if is_chunked:
        lines.append(b"transfer-encoding: chunked\r\n")
    elif length is not None and trip.status != 204:
        lines.append(b"content-length: %d\r\n" % length)
    if not exchange.keep_alive or trip.ends_by_close:
        lines.append(b"connection: close\r\n")
    elif exchange.version == "1.0":
        lines.append(b"connection: keep-alive\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)


def _server_timing(trip: Trip) -> bytes:
    """What the request waited for, in milliseconds: everyone can see what the gateway itself costs."""
    queue = trip.admitted - trip.queued if trip.queued else 0.0
    backend = trip.answered - trip.sent
    own = trip.answered - trip.started - queue - backend
    return b"server-timing: queue;dur=%.1f, backend;dur=%.1f, gateway;dur=%.1f\r\n" % (
        queue * 1000,
        backend * 1000,
        own * 1000,
    )
