"""Bytes from a client, cut into requests by llhttp (httptools), never by hand. No sockets here.

What cannot be read ends the conversation: the request that it stands in gets a refusal that closes, and nothing after
it is looked at (RFC 9112 section 2.2: who guesses on is who gets smuggled past).
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import httptools

from gateway.core.exchange import Triple
from gateway.core.problem import Reply
from gateway.proxy.message import MAX_HEADERS, Message

log = logging.getLogger("gateway.worker")

HEAD_SLACK = 1024
"""What a head may have beyond its target and fields: method, version, white space, empty lines before it."""
MAX_OVERHEAD = 65_536
OVERHEAD_PER_BYTE = 16
"""Chunk sizes, extensions and trailers of a body: this much, and this much more for each byte of content."""


class Framing:
    """The requests of one connection. `arriving`: the one whose bytes come now, or came last.

    `headers`: where fields go while a head arrives; None: they would be a trailer's.
    """

    __slots__ = (
        "_arrived",
        "_fed",
        "_head_at_most",
        "_head_bytes",
        "_headers",
        "_max_head",
        "_parser",
        "_secure",
        "_trailer_bytes",
        "arriving",
        "broken",
    )

    def __init__(self, arrived: Callable[[Message], None], *, max_head: int, secure: bool) -> None:
        """`arrived` is called with each request whose head is complete, in order; `max_head` in bytes."""
        self._arrived = arrived
        self._max_head = max_head
        self._secure = secure
        self._parser = httptools.HttpRequestParser(self)
        self._fed = 0
        self._head_bytes = 0
        self._head_at_most = 0
        self._headers: list[Triple] | None = None
        self._trailer_bytes = 0
        self.arriving: Message | None = None
        self.broken = False

    @property
    def in_head(self) -> bool:
        """Whether a head has begun to arrive and is not complete."""
        return self.arriving is not None and self.arriving.exchange is None

    @property
    def is_between(self) -> bool:
        """Whether the next byte begins a message."""
        arriving = self.arriving
        return not self.broken and (arriving is None or (arriving.complete and arriving.exchange is not None))

    def feed(self, data: bytes) -> None:
        """More bytes from the client."""
        if self.broken:
            return
        self._fed = len(data)
        self._head_at_most += self._fed
        arriving = self.arriving
        in_body = arriving is not None and arriving.exchange is not None and not arriving.complete
        if not in_body:
            self._head_bytes += self._fed
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._feed_rest(memoryview(data)[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self.refuse(_why(error))
            return
        arrived = self.arriving
        if arrived is not None and arrived.exchange is None:
            if self._head_bytes > self._max_head + HEAD_SLACK:
                self.refuse(HEAD_TOO_LARGE)
        elif in_body and arriving is not None and not arriving.complete:
            self._weigh(arriving, self._fed)

    def refuse(self, reply: Reply) -> None:
        """Nothing more is read. The request that is arriving, or in its place one that nobody could read, gets this."""
        self.broken = True
        message = self.arriving
        if message is not None and message.exchange is not None and not message.complete:
            message.refusal = message.refusal or reply
            return
        self.arriving = message = Message()
        message.unreadable(reply, secure=self._secure)
        self._arrived(message)

    def close(self) -> None:
        """Nothing more comes. What refers to each other is parted: it is freed now, and not by a search for cycles."""
        self.broken = True
        self._parser = _NO_PARSER
        self._arrived = _nobody

    def _feed_rest(self, rest: memoryview) -> None:
        """Llhttp stops at an upgrade. None is ever made: what follows is the next request.

        (httptools skips the body of a request that offers one; `proxy.message` refuses those with a body.)
        """
        while rest and not self.broken:
            self._parser = httptools.HttpRequestParser(self)
            try:
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0] :]
            except httptools.HttpParserError as error:
                self.refuse(_why(error))
            else:
                return
        self._parser = httptools.HttpRequestParser(self)

    def _weigh(self, message: Message, received: int) -> None:
        """A body that consists of its own framing would otherwise never end, and never be too large."""
        message.received += received
        if message.received - message.size > MAX_OVERHEAD + OVERHEAD_PER_BYTE * message.size:
            self.refuse(_bad_request("the chunks are all extensions or trailers, and hardly any content"))

    # --- httptools

    def on_message_begin(self) -> None:
        """A request begins."""
        self.arriving = message = Message()
        self._headers = message.headers
        self._trailer_bytes = 0

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        assert self.arriving is not None
        self.arriving.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field of the head, or of the trailer, which never becomes a header."""
        headers = self._headers
        if headers is not None:
            headers.append((name.lower(), name, value))
            return
        # It may be here whole before its weight is looked at: the same refusal however the bytes are cut.
        self._trailer_bytes += len(name) + len(value)
        if self._trailer_bytes > self._max_head:
            raise _HeadTooLargeError

    def on_headers_complete(self) -> None:
        """The head is complete."""
        message, parser = self.arriving, self._parser
        assert message is not None
        # Most heads need no weighing: since the one before them no more bytes came than a head may have.
        is_large = self._head_at_most > self._max_head and _size(message) > self._max_head
        if is_large or len(message.headers) > MAX_HEADERS:
            raise _HeadTooLargeError
        self._head_at_most = self._fed
        self._head_bytes = 0
        self._headers = None
        keep_alive = parser.should_keep_alive()
        message.head(parser.get_method(), parser.get_http_version(), keep_alive=keep_alive, secure=self._secure)
        self.broken = message.refusal is not None
        self._arrived(message)

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        assert self.arriving is not None
        self.arriving.add(data)

    def on_message_complete(self) -> None:
        """The request is here whole."""
        assert self.arriving is not None
        self.arriving.complete = True


def _size(message: Message) -> int:
    return len(message.target) + sum(len(name) + len(value) + 4 for _, name, value in message.headers)


class _HeadTooLargeError(Exception):
    pass


def _nobody(_: Message) -> None:
    """Who is told of requests once the connection is closed."""


_NO_PARSER = httptools.HttpRequestParser(object())


HEAD_TOO_LARGE = Reply(
    431,
    "head_too_large",
    f"The head of the request is larger than max_header_bytes, or has more than {MAX_HEADERS} fields.",
    "head",
    closes=True,
)


def _why(error: httptools.HttpParserError) -> Reply:
    if isinstance(error.__context__, _HeadTooLargeError):
        return HEAD_TOO_LARGE
    if isinstance(error, httptools.HttpParserCallbackError):
        log.error("a request could not be taken in", exc_info=error.__context__)
        return Reply(500, "internal_error", "The gateway failed; its log says more.", "head", closes=True)
    return _bad_request(str(error))


def _bad_request(detail: str) -> Reply:
    return Reply(400, "bad_request", f"This is no well-formed HTTP/1.1 request: {detail}.", "head", closes=True)
