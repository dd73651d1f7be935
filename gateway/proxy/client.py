"""One connection from a client: bytes in, requests out, one at a time; its deadlines and back-pressure.

Each request is a `Message`, cut from the bytes by `framing` and served on a `Journey` by `handler`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

from gateway.core.problem import Reply
from gateway.core.settings import ScoringSettings
from gateway.proxy import answer
from gateway.proxy.farewell import LINGER_SECONDS, Farewell
from gateway.proxy.framing import Framing
from gateway.proxy.journey import ClientGoneError, DeadlineError, Journey
from gateway.proxy.message import Message, client_address, plain_address

if TYPE_CHECKING:
    from gateway.proxy.listener import Listener
    from gateway.proxy.memo import Known

MAX_HELD = 262_144
"""Body bytes kept in memory for one request before the client is made to wait."""
MAX_WAITING = 16
"""Pipelined requests read ahead of the one being served."""
PATIENCE, RARELY = 8, 32
"""After so many heads in a row that the memo did not know, only each of so many is offered to it."""
FIRST_REQUEST_SECONDS = 1.0
"""While the gateway ends: how long a connection that has brought no request yet may still bring one."""

_NO_TRANSPORT = asyncio.Transport()
_NO_FAREWELL = Farewell(_NO_TRANSPORT)


class Client(asyncio.Protocol):
    """One connection from a client."""

    __slots__ = (
        "_closing",
        "_farewell",
        "_framing",
        "_half_closed",
        "_journey",
        "_listener",
        "_looping",
        "_message",
        "_peer",
        "_reading_paused",
        "_strangers",
        "_transport",
        "_waiting",
        "committed",
        "due",
        "gone",
        "known",
        "turn",
        "write_paused",
    )

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._framing = Framing(self._arrived, max_head=listener.limits.max_header_bytes, secure=listener.secure)
        self._transport: asyncio.Transport
        self._farewell: Farewell
        self._peer = ""
        self._waiting: deque[Message] = deque()
        self._message: Message | None = None
        self._journey: Journey | None = None
        self._reading_paused = False
        self._closing = False
        self._half_closed = False
        self._looping = False
        self._strangers = 0
        self.known: Known | None = None
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
        return self._farewell.reads_on(self.limits.body_timeout_seconds)

    def end_by_eof(self) -> None:
        """The answer that begins has no length."""
        self._farewell.tell_by_eof(secure=self._listener.secure)

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
        if self.gone:
            self._let_go()
            return
        self._farewell.answered()
        if not keep or self._listener.ending:
            self._close_after_answer()
        elif message.complete:
            self._next()
        else:
            self._discard_rest(message)

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._farewell = Farewell(self._transport)
        listener = self._listener
        peer = transport.get_extra_info("peername")
        self._peer = plain_address(peer[0]) if isinstance(peer, tuple) else "127.0.0.1"
        if not listener.joined(self, self._peer):
            self.gone = True
            self._transport.abort()
            return
        self._watch(FIRST_REQUEST_SECONDS if listener.ending else listener.limits.header_timeout_seconds)

    def connection_lost(self, _: Exception | None) -> None:
        self.gone = True
        self._listener.left(self, self._peer)
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
        framing, memo = self._framing, self._listener.memo
        before = framing.arriving
        was_in_head = before is not None and before.exchange is None
        is_free = self._journey is None and not self._waiting and not self.write_paused
        is_between = is_free and framing.is_between and (self._strangers < PATIENCE or self._is_time_to_try())
        if memo is not None and is_between and (known := memo.recall(data, self.known)) is not None:
            self._strangers = 0
            framing.arriving = known
            self._arrived(known)
            self._next()
            return
        framing.feed(data)
        if is_between and memo is not None:
            self._set_head_apart(data, before)
        if self._journey is not None:
            if self._message is before:
                self._journey.wake()
        elif self._waiting or (before is not None and before.discard and before.complete):
            self._next()
        elif framing.in_head and not was_in_head:
            self._watch(self._listener.limits.header_timeout_seconds)
        arriving = framing.arriving
        if len(self._waiting) >= MAX_WAITING or (arriving is not None and arriving.held > MAX_HELD):
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

    def _is_time_to_try(self) -> bool:
        """Whether to ask the memo again for a connection that only brings heads it does not know, as proxies' do."""
        self._strangers += 1
        return self._strangers % RARELY == 0

    def _set_head_apart(self, data: bytes, before: Message | None) -> None:
        """If what came is one whole request, its head may be remembered."""
        message = self._framing.arriving
        if message is not before and message is not None and message.complete and len(self._waiting) == 1:
            message.head_bytes = data[: len(data) - message.size]
            self._strangers += 1

    def _arrived(self, message: Message) -> None:
        exchange = message.exchange
        assert exchange is not None
        exchange.peer = exchange.address = self._peer
        exchange.secure = self._listener.secure
        if self._listener.trusted:
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
            while self._waiting and not self.write_paused and self._is_free:
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
        """Close an idle connection."""
        self._closing = True
        self._farewell.shut()
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
        self._farewell = _NO_FAREWELL

    def _abort(self) -> None:
        is_late = time.monotonic() >= self.due
        self._farewell.abort(is_cut=self._journey is not None, is_late=is_late, is_unread=self.write_paused)

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
        else:
            self._farewell.shut()
        self._watch(self._listener.limits.body_timeout_seconds if has_unsent else LINGER_SECONDS)
