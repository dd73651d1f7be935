"""Who may go to which backend now, and who waits: permits, least outstanding, and the queue of one worker.

Pure bookkeeping over a `Board` that the workers share: nothing here sleeps or sends. Every lease that is taken is given
back exactly once, by `proxy.handler`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Protocol


class Board(Protocol):
    """Counts of all workers. The shared-memory form is `proxy.scoreboard`."""

    def take(self, row: int, limit: int | None) -> bool:
        """Count one more request at a backend, unless all workers together have `limit` there. Atomic among workers."""

    def give_back(self, row: int) -> None:
        """One request fewer at a backend."""

    def outstanding(self, row: int) -> int:
        """Requests of all workers at a backend: a hint, exact only in `take`."""

    def healthy(self, row: int) -> bool:
        """What the probes say."""

    def set_waiting(self, row: int, waiting: bool) -> None:
        """Whether this worker has requests waiting for a permit of this backend."""

    def poke(self, row: int) -> bool:
        """Wake another worker that waits for a permit of this backend. False if none does."""


class Backend:
    """One container as this worker sees it. `resting_until` (monotonic seconds): it refused a connection lately.

    `address`: where its `url` leads to, if that was resolved; else empty.
    """

    __slots__ = ("address", "resting_until", "row", "upstream", "url")

    def __init__(self, url: str, row: int, address: str = "") -> None:
        self.url = url
        self.address = address
        self.row = row
        self.resting_until = 0.0
        self.upstream: object = None


class Ticket:
    """A place in the queue. `backend` is set, and `ready` called, when its turn comes with a permit in hand."""

    __slots__ = ("backend", "ready")

    def __init__(self, ready: Callable[[], object]) -> None:
        self.ready = ready
        self.backend: Backend | None = None


class Pool:
    """The backends of one deployment, and the requests of this worker that wait for one."""

    __slots__ = ("__weakref__", "_board", "_limit", "_max_waiting", "_turn", "_waiting", "backends", "deployment")

    def __init__(self, deployment: str, board: Board) -> None:
        """Empty until it is shaped."""
        self.deployment = deployment
        self.backends: Sequence[Backend] = ()
        self._board = board
        self._limit: int | None = None
        self._max_waiting = 0
        self._waiting: deque[Ticket] = deque()
        self._turn = 0

    def shape(self, backends: Sequence[Backend], *, limit: int | None, max_waiting: int) -> None:
        """What the service says now. Who waits goes on waiting, for the new backends.

        `limit`: requests at once per backend, None for no limit. `max_waiting`: places in the queue.
        """
        if self._waiting:
            self._tell_waiting(waiting=False)
        self.backends = backends
        self._limit = limit
        self._max_waiting = max_waiting
        if self._waiting:
            self._tell_waiting(waiting=True)

    def __len__(self) -> int:
        return len(self._waiting)

    def is_up(self, now: float) -> bool:
        """Whether any backend is worth waiting for."""
        return any(self._available(backend, now) for backend in self.backends)

    def take(self, now: float, tried: Collection[Backend] = ()) -> Backend | None:
        """The available backend with the fewest requests, with a permit taken there; None if all are full or down.

        Nobody overtakes the queue: while requests wait, a newcomer gets None. `tried` backends are left out.
        """
        return None if self._waiting else self._take(now, tried)

    def retake(self, now: float, tried: Collection[Backend]) -> Backend | None:
        """Like `take`, for a request that was admitted before and failed: it does not queue a second time."""
        return self._take(now, tried)

    def give_back(self, backend: Backend) -> None:
        """The request at this backend has ended there."""
        self._board.give_back(backend.row)

    def queue(self, ready: Callable[[], object]) -> Ticket | None:
        """A place in the queue, or None: the queue is full."""
        if len(self._waiting) >= self._max_waiting:
            return None
        ticket = Ticket(ready)
        self._waiting.append(ticket)
        if len(self._waiting) == 1:
            self._tell_waiting(waiting=True)
        return ticket

    def withdraw(self, ticket: Ticket) -> None:
        """Leave the queue. A permit that was already handed over stays with the ticket's owner."""
        if ticket.backend is None:
            self._waiting.remove(ticket)
            if not self._waiting:
                self._tell_waiting(waiting=False)

    def advance(self, now: float) -> None:
        """Hand free permits to those who wait, first come, first served."""
        while self._waiting:
            backend = self._take(now, ())
            if backend is None:
                return
            ticket = self._waiting.popleft()
            if not self._waiting:
                self._tell_waiting(waiting=False)
            ticket.backend = backend
            ticket.ready()

    def poke_others(self, backend: Backend) -> bool:
        """Let another worker that waits for this backend know that a permit is free."""
        return self._board.poke(backend.row)

    def pass_on(self) -> None:
        """Nobody waits here any more. Had another worker just woken this one for a free permit, a third may need it."""
        for backend in self.backends:
            if self._limit is None or self._board.outstanding(backend.row) < self._limit:
                self._board.poke(backend.row)

    def _available(self, backend: Backend, now: float) -> bool:
        return backend.resting_until <= now and self._board.healthy(backend.row)

    def _take(self, now: float, tried: Collection[Backend]) -> Backend | None:
        board, limit = self._board, self._limit
        if len(self.backends) == 1:
            only = self.backends[0]
            if only in tried or not self._available(only, now):
                return None
            return only if board.take(only.row, limit) else None
        # Equally loaded backends take turns, else the first would get all of a light load.
        self._turn = (self._turn + 1) % max(len(self.backends), 1)
        candidates = [
            backend
            for backend in (*self.backends[self._turn :], *self.backends[: self._turn])
            if backend not in tried and self._available(backend, now)
        ]
        candidates.sort(key=lambda backend: board.outstanding(backend.row))
        return next((backend for backend in candidates if board.take(backend.row, limit)), None)

    def _tell_waiting(self, *, waiting: bool) -> None:
        for backend in self.backends:
            self._board.set_waiting(backend.row, waiting)
