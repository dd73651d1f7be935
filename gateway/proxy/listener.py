"""The client's side of a connection: bytes in, requests out, one at a time; deadlines, back-pressure, the way it ends.

Each request is a `Message`, cut from the bytes by `framing` and served on a `Journey` by `handler`.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from gateway.core.problem import Reply
from gateway.core.settings import ScoringSettings
from gateway.proxy import answer, pace
from gateway.proxy.framing import Framing
from gateway.proxy.journey import ClientGoneError, DeadlineError, Journey
from gateway.proxy.message import Message, Network, client_address, plain_address
from gateway.proxy.sweep import Sweep

MAX_HELD = 262_144
"""Body bytes kept in memory for one request before the client is made to wait."""
MAX_UNSENT = 65_536
"""Bytes of answers that wait for one client before its backend is made to wait."""
MAX_WAITING = 16
"""Pipelined requests read ahead of the one being served."""
LINGER_SECONDS = 2.0
"""After an early answer: how long what the client still sends is read and thrown away, so that it sees the answer."""
FIRST_REQUEST_SECONDS = 1.0
"""While the gateway ends: how long a connection that has brought no request yet may still bring one."""

_RESET, _ORDERLY = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)
"""Values of SO_LINGER: what the kernel does when the connection is closed, by us or because this process died."""

_NO_TRANSPORT = asyncio.Transport()

Serve = Callable[["Client", Message], Coroutine[Any, Any, None]]


class Listener:
    """What all connections of a worker share.

    `draining`: every answer that begins is the last one on its connection, and says so. `ending`: no connection stays
    open without a request. `empty` is set while it is ending and no connection is left.
    """

    __slots__ = ("clients", "draining", "empty", "ending", "limits", "secure", "serve", "sweep", "trusted")

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
        self.ending = False

    def __call__(self) -> Client:
        """The protocol of a new connection."""
        return Client(self)

    def drain(self) -> None:
        """Answer what is under way, then close: idle connections now, the others with their answer."""
        self.draining = self.ending = True
        for client in list(self.clients):
            client.close_if_idle()
        self.left(None)

    def left(self, client: Client | None) -> None:
        """This connection is gone."""
        self.clients.discard(client)
        if self.ending and not self.clients:
            self.empty.set()


class Client(asyncio.Protocol):
    """One connection from a client."""

    __slots__ = (
        "_closing",
        "_ends_by_eof",
        "_framing",
        "_half_closed",
        "_journey",
        "_listener",
        "_looping",
        "_message",
        "_peer",
        "_reading_paused",
        "_taken",
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
        self._framing = Framing(self._arrived, max_head=listener.limits.max_header_bytes, secure=listener.secure)
        self._transport: asyncio.Transport
        self._peer = ""
        self._waiting: deque[Message] = deque()
        self._message: Message | None = None
        self._journey: Journey | None = None
        self._reading_paused = False
        self._taken = 0
        self._closing = False
        self._ends_by_eof = False
        self._half_closed = False
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
        """Whether an answer that begins now is the last one on its connection."""
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

    def reads_on(self) -> bool:
        """Whether the client took a fair part of its answer since the last look, and has more to take."""
        before, self._taken = self._taken, pace.acknowledged(self._socket)
        is_fair = self._taken - before >= pace.MIN_RATE * self.limits.body_timeout_seconds
        return is_fair and bool(pace.unsent(self._socket))

    def end_by_eof(self) -> None:
        """The answer that begins has no length: until it is whole, the connection can only end with a reset."""
        self._ends_by_eof = True
        self._on_close(_RESET)
        if not self._listener.secure:
            # Whole means: in the hands of the kernel, which outlives this process; until then writing is paused.
            # Under TLS a cut shows by itself: its farewell is missing.
            self._transport.set_write_buffer_limits(0)

    def break_off(self) -> None:
        """End the connection so that the client cannot take a cut answer for a whole one."""
        self.gone = True
        self._waiting.clear()
        self._abort()

    def finish(self, message: Message, *, keep: bool) -> None:
        """The answer is written. `keep`: the connection may carry another request."""
        self._journey = None
        self._message = None
        self.committed = False
        if self._ends_by_eof and not self.gone:
            self._on_close(_ORDERLY)
        if self.gone:
            self._let_go()
        elif not keep or self._listener.ending:
            self._close_after_answer()
        elif message.complete:
            self._next()
        else:
            self._discard_rest(message)

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        listener = self._listener
        if len(listener.clients) >= listener.limits.max_connections:
            self.gone = True
            self._transport.abort()
            return
        peer = transport.get_extra_info("peername")
        self._peer = plain_address(peer[0]) if isinstance(peer, tuple) else "127.0.0.1"
        if listener.secure:
            # uvloop would hold half a megabyte here for each client that does not read.
            self._transport.set_write_buffer_limits(MAX_UNSENT)
        listener.clients.add(self)
        listener.empty.clear()
        self._watch(FIRST_REQUEST_SECONDS if listener.ending else listener.limits.header_timeout_seconds)

    def connection_lost(self, _: Exception | None) -> None:
        self.gone = True
        self._listener.left(self)
        self._waiting.clear()
        if self._journey is None:
            self._let_go()
        elif self.committed:
            self._journey.wake()
        else:
            self._journey.throw(ClientGoneError())

    def eof_received(self) -> bool:
        # A client that only shut its sending side down cannot be told from one that left. Once a backend works on its
        # request, the answer is sent either way; before, the request is dropped.
        self._half_closed = True
        return self.committed and not self._listener.secure

    def pause_writing(self) -> None:
        self.write_paused = True

    def resume_writing(self) -> None:
        self.write_paused = False
        if self._journey is not None:
            self._journey.wake()
        elif self._waiting:
            self._next()

    def data_received(self, data: bytes) -> None:
        if self._closing or self.gone:
            return
        framing = self._framing
        arriving, was_in_head = framing.arriving, framing.in_head
        framing.feed(data)
        if self._journey is not None:
            if self._message is arriving:
                self._journey.wake()
        elif self._waiting or (arriving is not None and arriving.discard and arriving.complete):
            self._next()
        elif framing.in_head and not was_in_head:
            self._watch(self._listener.limits.header_timeout_seconds)
        self._hold_back()

    # --- the course of a connection

    def expire(self, _: float) -> None:
        """The deadline of whatever this connection is waiting for has passed (`proxy.sweep`)."""
        if self._journey is not None:
            self._journey.throw(DeadlineError())
        elif self._framing.in_head and not self._closing and not self._waiting:
            detail = "The head of the request did not arrive in time."
            self._framing.refuse(Reply(408, "head_timeout", detail, "head", closes=True))
            self._next()
        elif self.reads_on():
            self._watch(self._listener.limits.body_timeout_seconds)
        elif self._is_idle and not self._transport.get_write_buffer_size():
            self._take_leave()
        else:
            self._abort()

    def close_if_idle(self) -> None:
        """Close the connection if no request is under way or arriving; soon, if it has brought none yet."""
        if self._is_idle:
            self._take_leave()
        elif self._framing.arriving is None:
            self._watch(FIRST_REQUEST_SECONDS)

    def _arrived(self, message: Message) -> None:
        exchange = message.exchange
        assert exchange is not None
        exchange.peer = self._peer
        exchange.address = client_address(self._peer, exchange.fields, self._listener.trusted)
        self._waiting.append(message)

    def _next(self) -> None:
        """Serve the next request that has arrived, or wait for one.

        A request that is answered at once ends inside the loop: a thousand pipelined ones must not nest. A client that
        sends requests but reads no answers is made to wait.
        """
        if self._looping:
            return
        self._looping = True
        try:
            while self._waiting and self._is_free and not self.write_paused:
                message = self._waiting.popleft()
                self._message = message
                self._journey = journey = Journey()
                journey.start(self._listener.serve(self, message))
        finally:
            self._looping = False
        if self._is_free:
            self._await_next()
        self._resume_reading()

    @property
    def _is_free(self) -> bool:
        """Whether another request may be served now."""
        return self._journey is None and not self.gone and not self._closing

    @property
    def _is_idle(self) -> bool:
        """Whether its last request was answered, and no other is arriving."""
        arriving = self._framing.arriving
        return self._is_free and arriving is not None and arriving.complete and not self._waiting

    def _take_leave(self) -> None:
        """Close an idle connection. A request that is crossing sees its end, and no reset: its client may repeat it."""
        self._closing = True
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()
        self._watch(LINGER_SECONDS)

    def _await_next(self) -> None:
        if self._half_closed and not self._waiting:
            self._close_after_answer()
            return
        limits, arriving = self._listener.limits, self._framing.arriving
        if self._framing.in_head:
            self._watch(limits.header_timeout_seconds)
        elif arriving is not None and not arriving.complete:
            self._watch(limits.body_timeout_seconds)
        else:
            self._watch(limits.keep_alive_seconds)

    def _let_go(self) -> None:
        """Nobody uses this connection any more."""
        self._listener.sweep.forget(self)
        self._framing.close()
        self._transport = _NO_TRANSPORT

    def _abort(self) -> None:
        has_unsent = bool(self._transport.get_write_buffer_size())
        # Of an answer without a length, what is dropped here would not be missed.
        is_cut = self._ends_by_eof and (self._journey is not None or has_unsent)
        is_late = time.monotonic() >= self.due and pace.unsent(self._socket)
        if is_cut or self.write_paused or is_late:
            # For who does not read, the kernel would go on holding what it has.
            self._on_close(_RESET)
        self._transport.abort()

    def _on_close(self, manner: bytes) -> None:
        if self._socket is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, manner)

    @property
    def _socket(self) -> socket.socket | None:
        connection: socket.socket | None = self._transport.get_extra_info("socket")
        return connection

    def _watch(self, seconds: float) -> None:
        self._listener.sweep.watch(self, time.monotonic() + seconds)

    def _hold_back(self) -> None:
        message = self._framing.arriving
        is_full = message is not None and message.held > MAX_HELD and not message.complete
        if (is_full or len(self._waiting) >= MAX_WAITING) and not (self._reading_paused or self._closing or self.gone):
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused and len(self._waiting) < MAX_WAITING and not self.gone:
            self._reading_paused = False
            self._transport.resume_reading()

    def _discard_rest(self, message: Message) -> None:
        """Read the rest of an unwanted body, so that the next request can be found behind it."""
        message.discard = True
        message.take()
        self._resume_reading()
        self._await_next()

    def _close_after_answer(self) -> None:
        """Close so that the client sees the answer: closing while it still sends would reset it away (RFC 9112 9.6)."""
        message = self._framing.arriving
        has_read_all = not self._waiting and (message is None or message.complete)
        has_unsent = bool(self._transport.get_write_buffer_size())
        self._closing = True
        self._waiting.clear()
        self._resume_reading()
        if has_read_all or self._half_closed:
            self._transport.close()
        elif self._transport.can_write_eof():
            self._transport.write_eof()
        self._watch(self._listener.limits.body_timeout_seconds if has_unsent else LINGER_SECONDS)
