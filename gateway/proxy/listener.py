"""The client's side of a connection: bytes in, requests out, one at a time; deadlines, back-pressure, the way it ends.

Framing is done by llhttp (httptools), never by hand. Each request is a `Message`, served on a `Journey` by `handler`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import httptools

from gateway.core.problem import Reply
from gateway.core.settings import ScoringSettings
from gateway.proxy import answer
from gateway.proxy.journey import ClientGoneError, DeadlineError, Journey
from gateway.proxy.message import MAX_HEADERS, Message, Network, client_address
from gateway.proxy.sweep import Sweep

MAX_HELD = 262_144
"""Body bytes kept in memory for one request before the client is made to wait."""
MAX_WAITING = 16
"""Pipelined requests read ahead of the one being served."""
LINGER_SECONDS = 2.0
"""After an early answer: how long what the client still sends is read and thrown away, so that it sees the answer."""
MAX_DISCARDED = 65_536
"""An unread body up to this size is read to its end, so that the connection can be kept."""

Serve = Callable[["Client", Message], Coroutine[Any, Any, None]]


class Listener:
    """What all connections of a worker share. `empty` is set once it drains and the last connection is gone."""

    __slots__ = ("clients", "draining", "empty", "limits", "secure", "serve", "sweep", "trusted")

    def __init__(
        self, serve: Serve, limits: ScoringSettings, sweep: Sweep, *, secure: bool, trusted: tuple[Network, ...] = ()
    ) -> None:
        self.serve = serve
        self.limits = limits
        self.sweep = sweep
        self.secure = secure
        self.trusted = trusted
        self.clients: set[Client] = set()
        self.empty = asyncio.Event()
        self.draining = False

    def __call__(self) -> Client:
        """The protocol of a new connection."""
        return Client(self)

    def drain(self) -> None:
        """Answer what is under way, then close: idle connections now, the others with their answer."""
        self.draining = True
        for client in list(self.clients):
            client.close_if_idle()
        self.left(None)

    def left(self, client: Client | None) -> None:
        """This connection is gone."""
        self.clients.discard(client)
        if self.draining and not self.clients:
            self.empty.set()


class Client(asyncio.Protocol):
    """One connection from a client."""

    __slots__ = (
        "_arriving",
        "_closing",
        "_head_bytes",
        "_journey",
        "_listener",
        "_looping",
        "_message",
        "_parser",
        "_peer",
        "_reading_paused",
        "_transport",
        "_waiting",
        "committed",
        "due",
        "gone",
        "turn",
        "write_paused",
    )

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._peer = ""
        self._arriving: Message | None = None
        self._waiting: deque[Message] = deque()
        self._message: Message | None = None
        self._journey: Journey | None = None
        self._head_bytes = 0
        self._reading_paused = False
        self._closing = False
        self._looping = False
        self.committed = False
        self.gone = False
        self.write_paused = False
        self.due = 0.0
        self.turn = 0

    # --- what the handler does with it

    @property
    def journey(self) -> Journey:
        """The request under way."""
        assert self._journey is not None
        return self._journey

    @property
    def draining(self) -> bool:
        """Whether this answer should be the last one on its connection."""
        return self._listener.draining

    @property
    def limits(self) -> ScoringSettings:
        """Deadlines and caps of this listener."""
        return self._listener.limits

    def set_deadline(self, due: float) -> None:
        """Throw DeadlineError into the request under way once `due` (monotonic seconds) has passed."""
        self._listener.sweep.watch(self, due)

    def send(self, data: bytes) -> None:
        """Write towards the client; nothing happens once it is gone."""
        if not self.gone:
            self._transport.write(data)

    def invite_body(self, message: Message) -> None:
        """Tell a client that waits for it (`Expect: 100-continue`) to send the body."""
        if message.expects_continue:
            message.expects_continue = False
            if not message.size:
                self.send(answer.CONTINUE)

    def take_body(self, message: Message) -> bytes:
        """Body bytes that have arrived; reading goes on if it was paused for them."""
        data = message.take()
        self._resume_reading()
        return data

    def break_off(self) -> None:
        """End the connection so that the client cannot take a cut answer for a whole one."""
        self._transport.abort()

    def finish(self, message: Message, *, keep: bool) -> None:
        """The answer is written. `keep`: the connection may carry another request."""
        self._journey = None
        self._message = None
        self.committed = False
        if self.gone:
            self._listener.sweep.forget(self)
        elif not keep or self._closing or self._listener.draining:
            self._close_after_answer(message)
        elif not message.complete:
            self._discard_rest(message)
        else:
            self._next()

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        listener = self._listener
        if len(listener.clients) >= listener.limits.max_connections:
            self.gone = True
            self._transport.abort()
            return
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else "127.0.0.1"
        listener.clients.add(self)
        listener.sweep.watch(self, time.monotonic() + listener.limits.header_timeout_seconds)

    def connection_lost(self, _: Exception | None) -> None:
        self.gone = True
        self._listener.left(self)
        self._waiting.clear()
        if self._journey is None:
            self._listener.sweep.forget(self)
        elif self.committed:
            self._journey.wake()
        else:
            self._journey.throw(ClientGoneError())

    def eof_received(self) -> bool:
        # A client that only shut its sending side down cannot be told from one that left. Once a backend works on its
        # request, the answer is sent either way; before, the request is dropped.
        return self.committed and not self._listener.secure

    def pause_writing(self) -> None:
        self.write_paused = True

    def resume_writing(self) -> None:
        self.write_paused = False
        if self._journey is not None:
            self._journey.wake()

    def data_received(self, data: bytes) -> None:
        if self._closing or self.gone:
            return
        if self._in_head or self._arriving is None or self._arriving.complete:
            self._head_bytes += len(data)
        was_in_head = self._in_head
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._after_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse_head(error)
            return
        arriving = self._arriving
        if self._in_head:
            if self._head_bytes > self._listener.limits.max_header_bytes:
                self._refuse_head(_HeadTooLargeError())
                return
            if not was_in_head and self._journey is None:
                self._watch(self._listener.limits.header_timeout_seconds)
        self._on_progress(arriving)

    # --- httptools

    def on_message_begin(self) -> None:
        self._arriving = Message()

    def on_url(self, url: bytes) -> None:
        assert self._arriving is not None
        self._arriving.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        message = self._arriving
        assert message is not None
        if message.exchange is not None:
            return  # a trailer: never becomes a header
        message.headers.append((name.lower(), name, value))
        if len(message.headers) > MAX_HEADERS:
            raise _HeadTooLargeError

    def on_headers_complete(self) -> None:
        message = self._arriving
        assert message is not None
        parser, listener = self._parser, self._listener
        size = sum(len(name) + len(value) + 4 for _, name, value in message.headers)
        if size > listener.limits.max_header_bytes:
            raise _HeadTooLargeError
        message.head(
            parser.get_method(),
            parser.get_http_version(),
            keep_alive=parser.should_keep_alive(),
            secure=listener.secure,
        )
        exchange = message.exchange
        assert exchange is not None
        exchange.peer = self._peer
        exchange.address = client_address(self._peer, exchange.fields, listener.trusted)
        self._head_bytes = 0
        self._waiting.append(message)

    def on_body(self, data: bytes) -> None:
        assert self._arriving is not None
        self._arriving.add(data)

    def on_message_complete(self) -> None:
        assert self._arriving is not None
        self._arriving.complete = True

    # --- the course of a connection

    @property
    def _in_head(self) -> bool:
        """Whether a head has begun to arrive and is not complete."""
        return self._arriving is not None and self._arriving.exchange is None

    def expire(self, _: float) -> None:
        """The deadline of whatever this connection is waiting for has passed (`proxy.sweep`)."""
        if self._journey is not None:
            self._journey.throw(DeadlineError())
        elif self._in_head and not self._closing:
            self._reply_and_close(Reply(408, "head_timeout", "The head of the request did not arrive in time.", "head"))
        else:
            self._transport.abort()

    def _on_progress(self, arriving: Message | None) -> None:
        """More of a request is here: for the one being served, or to begin with one."""
        if self._journey is not None:
            self._hold_back()
            if self._message is arriving:
                self._journey.wake()
        elif self._waiting or (arriving is not None and arriving.discard and arriving.complete):
            self._next()

    def close_if_idle(self) -> None:
        """Close the connection if no request is under way or arriving."""
        if self._journey is None and not self._in_head and not self._waiting:
            self._transport.close()

    def _next(self) -> None:
        """Serve the next request that has arrived, or wait for one.

        A request that is answered at once ends inside the loop: a thousand pipelined ones must not nest.
        """
        if self._looping:
            return
        self._looping = True
        while self._waiting and self._journey is None and not self.gone and not self._closing:
            message = self._waiting.popleft()
            self._message = message
            self._journey = journey = Journey()
            journey.start(self._listener.serve(self, message))
        self._looping = False
        if self._journey is None and not self.gone and not self._closing:
            limits = self._listener.limits
            self._watch(limits.header_timeout_seconds if self._in_head else limits.keep_alive_seconds)
        self._resume_reading()

    def _watch(self, seconds: float) -> None:
        self._listener.sweep.watch(self, time.monotonic() + seconds)

    def _hold_back(self) -> None:
        message = self._arriving
        is_full = message is not None and message.held > MAX_HELD and not message.complete
        if (is_full or len(self._waiting) >= MAX_WAITING) and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused and len(self._waiting) < MAX_WAITING and not self.gone:
            self._reading_paused = False
            self._transport.resume_reading()

    def _discard_rest(self, message: Message) -> None:
        """Read an unwanted body to its end if that is cheap; else close."""
        exchange = message.exchange
        length = exchange.length if exchange is not None else None
        if message.expects_continue or length is None or length - message.size > MAX_DISCARDED:
            self._close_after_answer(message)
            return
        message.discard = True
        message.take()
        self._resume_reading()
        self._watch(self._listener.limits.body_timeout_seconds)

    def _close_after_answer(self, message: Message) -> None:
        self._waiting.clear()
        if message.complete and self._arriving is message:
            self._transport.close()
            return
        self._closing = True
        self._resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._watch(LINGER_SECONDS)

    def _after_upgrade(self, rest: bytes) -> None:
        """Llhttp stops at an upgrade; none is ever made, so what follows is the next request."""
        self._parser = httptools.HttpRequestParser(self)
        if rest:
            self._parser.feed_data(rest)

    def _refuse_head(self, error: Exception) -> None:
        """The head, or the framing of the body, is no HTTP that two readers would read alike."""
        cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else error
        if isinstance(cause, _HeadTooLargeError):
            reply = Reply(431, "head_too_large", "The head of the request is too large.", "head")
        else:
            reply = Reply(400, "bad_request", f"This is no well-formed HTTP/1.1 request: {error}.", "head")
        if self._journey is not None:
            if self._message is self._arriving:
                self.break_off()
            else:
                # The bad request stands behind a good one: that one is answered, then the connection ends.
                self._waiting.clear()
                self._closing = True
            return
        self._reply_and_close(reply)

    def _reply_and_close(self, reply: Reply) -> None:
        self.send(answer.own(reply, None, (), closes=True))
        self._closing = True
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._watch(LINGER_SECONDS)


class _HeadTooLargeError(Exception):
    pass
