"""One connection to a backend, and the answer that arrives on it.

The answer's framing is found by llhttp (httptools). A backend may be hostile: what does not parse, or ends too early,
is an `UpstreamError`, and its connection is never used again.
"""

from __future__ import annotations

import asyncio
import select
from typing import Literal, Protocol

import httptools

from gateway.proxy.journey import Journey

MAX_BUFFERED = 262_144
MAX_HEAD_BYTES = 65_536
"""Of all heads of an answer together; and of the framing of its body, beyond what its content allows."""
OVERHEAD_PER_BYTE = 16
MAX_HEADERS = 256
MAX_INTERIM = 16
_OF_THIS_HOP = frozenset({b"content-length", b"transfer-encoding", b"connection"})

Kind = Literal["refused", "connect_timeout", "tls", "closed", "garbage", "exhausted"]


class _Closed(asyncio.Transport):
    """In place of a transport that is gone."""

    def is_closing(self) -> bool:
        return True

    def abort(self) -> None:
        pass


_NO_PARSER, _CLOSED = httptools.HttpResponseParser(object()), _Closed()


class UpstreamError(Exception):
    """A backend failed. `unsent`: not a byte of the request was handed to it, so another may have it."""

    def __init__(self, kind: Kind, detail: str, *, unsent: bool) -> None:
        super().__init__(detail)
        self.kind: Kind = kind
        self.unsent = unsent


class Keeper(Protocol):
    """Where a connection goes between two requests, and who is told of its end: `proxy.upstream`."""

    def keep(self, connection: Connection) -> None:
        """It is clean: put it aside for the next request."""

    def drop(self, connection: Connection) -> None:
        """It is closed."""


class Connection(asyncio.Protocol):
    """One connection to a backend, and the answer that is arriving on it."""

    __slots__ = (
        "_has_ended",
        "_interim",
        "_is_chunked",
        "_is_interim",
        "_is_lost",
        "_keeper",
        "_keeps_alive",
        "_overhead",
        "_parser",
        "_poll",
        "_reading_paused",
        "body_expected",
        "buffered",
        "chunks",
        "complete",
        "connection_field",
        "error",
        "head_ready",
        "headers",
        "idle_since",
        "journey",
        "length",
        "request_done",
        "status",
        "transport",
        "write_paused",
    )

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self.transport: asyncio.Transport
        self.journey: Journey | None = None
        self.idle_since = 0.0
        self.write_paused = False
        self.error: UpstreamError | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._is_lost = False
        self._poll: select.poll | None = None
        self._reset()

    def _reset(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes, bytes]] = []
        self.connection_field = b""
        self.chunks: list[bytes] = []
        self.buffered = 0
        self.length: int | None = None
        self.head_ready = False
        self.complete = False
        self.body_expected = True
        self.request_done = False
        self._has_ended = False
        self._is_chunked = False
        self._is_interim = False
        self._keeps_alive = False
        self._interim = 0
        self._overhead = 0
        self._reading_paused = False

    # --- what the handler does with it

    def begin(self, journey: Journey, *, body_expected: bool) -> None:
        """Carry a request of this journey from now on. `body_expected` is False for HEAD.

        `request_done` is the caller's to set once the request is written whole: an earlier answer ends the connection.
        """
        self._reset()
        self.journey = journey
        self.body_expected = body_expected

    @property
    def is_quiet(self) -> bool:
        """Whether an idle connection is as it was left: a request must meet neither its end nor an answer to nothing.

        The kernel may know of either before the event loop does.
        """
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN | select.POLLRDHUP)
        return not self.transport.is_closing() and not self._poll.poll(0)

    @property
    def is_unanswered(self) -> bool:
        """Whether it carries a request of which not a byte was answered."""
        return self.journey is not None and not self.head_ready and not self._overhead

    def take(self) -> bytes:
        """The body bytes that have arrived and were not taken yet."""
        chunks = self.chunks
        if not chunks:
            return b""
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self.chunks = []
        self.buffered = 0
        if self._reading_paused:
            self._reading_paused = False
            self.transport.resume_reading()
        return data

    def release(self) -> None:
        """The answer was taken whole, or is not wanted any more: keep the connection if it is clean, else close it."""
        self.journey = None
        if self.complete and self.error is None and self._may_be_kept() and not self.transport.is_closing():
            self._keeper.keep(self)
        elif self._is_lost:
            self._part()
        else:
            self.transport.abort()

    def _part(self) -> None:
        """It is closed, and no request is on it. What refers to each other is freed now, not by a search for cycles."""
        self._parser = _NO_PARSER
        self.transport = _CLOSED

    def _may_be_kept(self) -> bool:
        return self._keeps_alive and self.body_expected and self.request_done

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def pause_writing(self) -> None:
        self.write_paused = True

    def resume_writing(self) -> None:
        self.write_paused = False
        self._wake()

    def data_received(self, data: bytes) -> None:
        if self.journey is None:
            # Nobody asked: an answer to nothing would be taken for the answer to the next request.
            self._keeper.drop(self)
            self.transport.abort()
            return
        self._overhead += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail("garbage", f"the answer is no HTTP: {error}")
        if self._overhead > MAX_HEAD_BYTES and not self.complete:
            part = "framing of the answer's body" if self.head_ready else "head of the answer"
            self._fail("garbage", f"the {part} is longer than {MAX_HEAD_BYTES} bytes")
        if self.buffered > MAX_BUFFERED and not self._reading_paused and not self.complete:
            self._reading_paused = True
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        # With TLS this is called for its closing alert alone: who merely cuts the wire cannot shorten an answer.
        self._has_ended = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._keeper.drop(self)
        self._is_lost = True
        if self.journey is None:
            self._part()
        if self.journey is None or self.complete or self.error is not None:
            return
        ends_by_close = self.head_ready and self.length is None and not self._is_chunked
        if ends_by_close and self._has_ended and exc is None:
            self.complete = True
        else:
            self._fail("closed", "the backend closed the connection before its answer was complete")
        self._wake()

    # --- httptools

    def on_message_begin(self) -> None:
        if self.complete:
            raise httptools.HttpParserError("more than one answer to one request")
        self._is_interim = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head_ready:
            return  # a trailer: never becomes a header
        lower, headers = name.lower(), self.headers
        headers.append((lower, name, value))
        if len(headers) > MAX_HEADERS:
            raise httptools.HttpParserError(f"more than {MAX_HEADERS} header fields")
        if lower in _OF_THIS_HOP:
            self._note(lower, value)

    def _note(self, lower: bytes, value: bytes) -> None:
        if lower == b"content-length":
            self.length = int(value)
        elif lower == b"connection":
            self.connection_field += value + b","
        elif value.lower() != b"chunked" or self._is_chunked:
            raise httptools.HttpParserError("a transfer coding other than chunked, or two of them")
        else:
            self._is_chunked = True

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status < 200:
            self._interim += 1
            if self.status == 101 or self._interim > MAX_INTERIM:
                raise httptools.HttpParserError("an upgrade nobody asked for, or too many interim answers")
            self._is_interim = True
            self.headers = []
            self.connection_field = b""
            self.length = None
            self._is_chunked = False
            return
        self.head_ready = True
        # What came with the head may be content: from here on it is the content that pays for the framing.
        self._overhead = 0
        # llhttp knows it only here: after the end of the message it has forgotten how the body was framed.
        self._keeps_alive = self._parser.should_keep_alive()
        if not self.body_expected:
            self.complete = True

    def on_body(self, data: bytes) -> None:
        self._overhead -= OVERHEAD_PER_BYTE * len(data)
        if self.body_expected:
            self.chunks.append(data)
            self.buffered += len(data)

    def on_message_complete(self) -> None:
        if not self._is_interim:
            self.complete = True

    def _fail(self, kind: Kind, detail: str) -> None:
        if self.error is None:
            self.error = UpstreamError(kind, detail, unsent=False)

    def _wake(self) -> None:
        if self.journey is not None:
            self.journey.wake()
