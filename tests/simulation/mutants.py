"""Mistakes that somebody could make in the data plane, and that the simulation must catch: one function each.

Each takes a mock patcher's stack and puts the mistake in. The docstring says which promise it breaks.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

from gateway.core.admission import Pool
from gateway.core.ejection import OUT, Ejection
from gateway.core.retry import RetryBudget
from gateway.proxy import forward, upstream
from gateway.proxy.client import Client
from gateway.proxy.connection import Connection
from gateway.proxy.desk import Desk
from gateway.proxy.handler import Handler
from gateway.proxy.scoreboard import Scoreboard, Seat
from gateway.proxy.sweep import Sweep

Wrap = Callable[..., Any]


def _wrap(stack: ExitStack, owner: Any, name: str, make: Callable[[Any], Wrap]) -> None:
    stack.enter_context(patch.object(owner, name, make(getattr(owner, name))))


def forgets_to_give_back(stack: ExitStack) -> None:
    """A request that ends with an error keeps its permit."""

    def make(original: Wrap) -> Wrap:
        def give_back(self: Any, pool: Any, backend: Any) -> None:
            if sys.exc_info()[0] is None:
                original(self, pool, backend)

        return give_back

    _wrap(stack, Desk, "give_back", make)


def gives_back_twice(stack: ExitStack) -> None:
    """A request that fails gives its permit back in two places."""

    def make(original: Wrap) -> Wrap:
        def failed(self: Any, error: Any) -> Any:
            self._desk.give_back(self._pool, self._backend)
            return original(self, error)

        return failed

    _wrap(stack, forward.Forward, "_failed", make)


def replies_twice(stack: ExitStack) -> None:
    """The gateway's own answer goes out two times."""

    def make(original: Wrap) -> Wrap:
        def answer(self: Any, client: Any, trip: Any, reply: Any, *, keep: bool) -> None:
            original(self, client, trip, reply, keep=keep)
            original(self, client, trip, reply, keep=keep)

        return answer

    _wrap(stack, Handler, "_answer", make)


def keeps_dirty_connections(stack: ExitStack) -> None:
    """A connection is used again although the answer on it was not taken whole."""

    def make(original: Wrap) -> Wrap:
        def release(self: Any) -> None:
            self.journey = None
            self._keeper.keep(self) if not self.transport.is_closing() else self.transport.abort()

        return release

    _wrap(stack, Connection, "release", make)


def believes_unasked_answers(stack: ExitStack) -> None:
    """What a backend sends while nothing was asked is kept for the next request."""
    early: dict[int, bytes] = {}

    def make(original: Wrap) -> Wrap:
        def received(self: Any, data: bytes) -> None:
            if self.journey is None:
                early[id(self)] = early.get(id(self), b"") + data
            else:
                original(self, early.pop(id(self), b"") + data)

        return received

    _wrap(stack, Connection, "data_received", make)


def wakes_nobody(stack: ExitStack) -> None:
    """A permit that comes back is not told to the other workers."""
    _wrap(stack, Seat, "poke", lambda _: lambda _self, _row: False)


def serves_the_last_first(stack: ExitStack) -> None:
    """The queue is a stack."""

    def make(original: Wrap) -> Wrap:
        def queue(self: Any, ready: Any) -> Any:
            ticket = original(self, ready)
            self._waiting.rotate(1)
            return ticket

        return queue

    _wrap(stack, Pool, "queue", make)


def overbooks(stack: ExitStack) -> None:
    """One request more than the limit is let in."""
    _wrap(stack, Seat, "take", lambda original: lambda self, row, limit: original(self, row, limit and limit + 1))


def repeats_posts(stack: ExitStack) -> None:
    """A POST that may have been computed is sent to another backend."""
    stack.enter_context(patch.object(forward, "IDEMPOTENT", forward.IDEMPOTENT | {b"POST"}))


def repeats_half_a_body(stack: ExitStack) -> None:
    """A large body that was streamed to a backend is taken for whole when its request is tried again."""

    def make(original: Wrap) -> Wrap:
        async def send(self: Any, connection: Any, upload: Any) -> None:
            await original(self, connection, upload)
            self._is_whole = True

        return send

    _wrap(stack, forward.Forward, "_send_rest", make)


def ends_gently(stack: ExitStack) -> None:
    """A cut answer ends like a whole one."""

    def make(original: Wrap) -> Wrap:
        def break_off(self: Any) -> None:
            self._on_close(b"\0" * 8)
            self.gone = True
            self._transport.close()

        return break_off

    _wrap(stack, Client, "break_off", make)


def forgets_deadlines(stack: ExitStack) -> None:
    """A deadline that comes sooner than the one before it is not noticed."""

    def make(original: Wrap) -> Wrap:
        def watch(self: Any, watched: Any, due: float) -> None:
            if watched.turn == 0 or due > watched.due:
                original(self, watched, due)

        return watch

    _wrap(stack, Sweep, "watch", make)


def does_not_record_who_left(stack: ExitStack) -> None:
    """A request whose client is gone is in no log."""

    def make(original: Wrap) -> Wrap:
        def end(self: Any, client: Any, message: Any, trip: Any, reply: Any) -> None:
            record = self._record
            if trip.outcome == "gone":
                self._record = None
            original(self, client, message, trip, reply)
            self._record = record

        return end

    _wrap(stack, Handler, "_end", make)


def leaves_dead_permits(stack: ExitStack) -> None:
    """What a dead worker held is not given back."""
    _wrap(stack, Scoreboard, "vacate", lambda _: lambda _self, _number: None)


def leaks_connections(stack: ExitStack) -> None:
    """A connection that comes up when nobody waits for it any more stays open."""
    _wrap(stack, upstream, "_close_unwanted", lambda _: lambda attempt: attempt.cancelled() or attempt.exception())


def serves_the_dead(stack: ExitStack) -> None:
    """A request whose client is gone waits for the end of its answer as if it were there."""

    def make(original: Wrap) -> Wrap:
        def lost(self: Any, error: Exception | None) -> None:
            original(self, error) if self._journey is None else asyncio.Protocol.connection_lost(self, error)

        return lost

    _wrap(stack, Client, "connection_lost", make)


def ejects_too_many(stack: ExitStack) -> None:
    """One backend more than the share is left out."""

    def make(original: Wrap) -> Wrap:
        def init(self: Any, *arguments: Any) -> None:
            original(self, *arguments)
            self._most += self._spec is not None

        return init

    _wrap(stack, Ejection, "__init__", make)


def gives_up_on_all(stack: ExitStack) -> None:
    """Who is ejected gets nothing, even if nobody else is left."""

    def make(_: Wrap) -> Wrap:
        def sift(self: Any, usable: list[Any], _now: float) -> list[Any]:
            return [backend for backend in usable if self._board.standing(backend.row) not in OUT]

        return sift

    _wrap(stack, Ejection, "sift", make)


def overspends(stack: ExitStack) -> None:
    """A further try is always allowed."""
    _wrap(stack, RetryBudget, "spend", lambda _: lambda _self, _now: True)


Mutant = Callable[[ExitStack], None]
MUTANTS: tuple[Mutant, ...] = (
    forgets_to_give_back,
    gives_back_twice,
    replies_twice,
    keeps_dirty_connections,
    believes_unasked_answers,
    wakes_nobody,
    serves_the_last_first,
    overbooks,
    repeats_posts,
    repeats_half_a_body,
    ends_gently,
    forgets_deadlines,
    does_not_record_who_left,
    leaves_dead_permits,
    leaks_connections,
    serves_the_dead,
    ejects_too_many,
    gives_up_on_all,
    overspends,
)
