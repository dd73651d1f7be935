"""Answers as bytes: status lines made once, heads joined from lines, one write for a small answer."""

from __future__ import annotations

import time
from email.utils import formatdate
from http import HTTPStatus

from gateway.core.exchange import Exchange
from gateway.core.problem import Headers, Reply, title

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_BODYLESS = frozenset({204, 304})


class _Date:
    """The Date field, made anew once a second."""

    __slots__ = ("_line", "_second")

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def line(self, wall: float) -> bytes:
        second = int(wall)
        if second != self._second:
            self._second = second
            self._line = f"date: {formatdate(second, usegmt=True)}\r\n".encode()
        return self._line


_date = _Date()


def status_line(status: int) -> bytes:
    """`HTTP/1.1 200 OK` and its line end; a status without a name gets one, since some clients show only that."""
    line = _STATUS_LINES.get(status)
    return line if line is not None else f"HTTP/1.1 {status} {title(status)}\r\n".encode()


def may_have_body(method: bytes, status: int) -> bool:
    """Whether an answer of this status to this method has a body (RFC 9110 section 6.4.1)."""
    return method != b"HEAD" and status not in _BODYLESS and status >= 200


def own(reply: Reply, exchange: Exchange, decoration: Headers, *, closes: bool) -> bytes:
    """A whole answer of the gateway itself."""
    body = reply.document(exchange.request_id)
    lines = [status_line(reply.status), _date.line(time.time())]
    lines += [b"%b: %b\r\n" % field for field in (*reply.headers, *decoration)]
    if reply.status not in _BODYLESS:
        lines.append(b"content-type: %b\r\ncontent-length: %d\r\n" % (reply.content_type, len(body)))
    lines.append(ids(exchange))
    if closes:
        lines.append(b"connection: close\r\n")
    elif exchange.version == "1.0":
        lines.append(b"connection: keep-alive\r\n")
    lines.append(b"\r\n")
    if may_have_body(exchange.method, reply.status):
        lines.append(body)
    return b"".join(lines)


def ids(exchange: Exchange) -> bytes:
    """The request's ids, echoed or made."""
    text = f"x-request-id: {exchange.request_id}\r\n"
    if exchange.client_request_id:
        text += f"x-ms-client-request-id: {exchange.client_request_id}\r\n"
    return text.encode()


def chunk(data: bytes) -> bytes:
    """Bytes framed as one chunk (RFC 9112 section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)
