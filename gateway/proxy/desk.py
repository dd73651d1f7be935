"""Where requests of this worker wait for a permit, and where permits come back."""

from __future__ import annotations

import asyncio
import time

from gateway.core.admission import Backend, Pool, Ticket
from gateway.proxy.journey import Journey

TIMER_SLACK = 0.01
"""Seconds by which a timer of the event loop may be early."""


class Desk:
    """One per worker. It knows the pools in which somebody waits, so that waking costs nothing where nobody does."""

    __slots__ = ("_loop", "_queueing")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queueing: set[Pool] = set()

    def queue(self, pool: Pool, journey: Journey) -> Ticket | None:
        """A place in the queue of the pool, or None: it is full. The journey is woken when its turn comes."""
        # Woken from the loop and not from here: a thousand waiting requests that fail at once must not nest.
        ticket = pool.queue(lambda: self._loop.call_soon(journey.wake))
        if ticket is not None:
            self._queueing.add(pool)
            # A permit may have come free between the first look and the entry in the queue.
            self._advance(pool, time.monotonic())
        return ticket

    def leave(self, pool: Pool, ticket: Ticket) -> None:
        """The request waits no more; a permit that was already its own comes back."""
        pool.withdraw(ticket)
        if ticket.backend is not None:
            self.give_back(pool, ticket.backend)
        elif not pool:
            self._queueing.discard(pool)
            pool.pass_on()

    def give_back(self, pool: Pool, backend: Backend) -> None:
        """A request has ended at this backend: whoever waits for it may go, here or in another worker."""
        pool.give_back(backend)
        pool.poke_others(backend)
        if pool:
            self._advance(pool, time.monotonic())

    def failed(self, pool: Pool, backend: Backend, *, is_abandoned: bool) -> float:
        """A request failed at this backend, or was given up there. Seconds for which it is ejected, mostly 0.0."""
        now = time.monotonic()
        ejected = pool.failed(backend, now)
        avoided = ejected or (pool.suspect(backend, now) if is_abandoned else 0.0)
        if avoided:
            # Those who wait may now have to go elsewhere; and later here again.
            self._recall(pool)
            self._loop.call_later(avoided + TIMER_SLACK, self._recall, pool)
        return ejected

    def rest(self, pool: Pool, backend: Backend, seconds: float) -> None:
        """Leave a backend alone for a while; then see who may go there."""
        backend.resting_until = time.monotonic() + seconds
        pool.set_resting(backend, is_resting=True)
        self._loop.call_later(seconds + TIMER_SLACK, self._end_rest, pool, backend)

    def advance_all(self) -> None:
        """A permit was freed by another worker, or a backend came back: see who may go."""
        now = time.monotonic()
        for pool in list(self._queueing):
            self._advance(pool, now)

    def _end_rest(self, pool: Pool, backend: Backend) -> None:
        if backend.resting_until <= time.monotonic():
            pool.set_resting(backend, is_resting=False)
        self.advance_all()

    def _recall(self, pool: Pool) -> None:
        pool.wake_all()
        self.advance_all()

    def _advance(self, pool: Pool, now: float) -> None:
        pool.advance(now)
        if not pool:
            self._queueing.discard(pool)
