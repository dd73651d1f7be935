"""Who may go to which backend now, and who waits: permits, the choice among backends, and the queue of one worker.

Pure bookkeeping over a `Board` that the workers share: nothing here sleeps or sends. Every lease that is taken is given
back exactly once, by `proxy.handler`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from gateway.core.balance import Pick
from gateway.core.ejection import Ejection, Standings
from gateway.core.retry import RetryBudget
from gateway.core.spec import EjectionSpec


class Board(Standings, Protocol):
    """Counts of all workers. The shared-memory form is `proxy.scoreboard`."""

    def take(self, row: int, limit: int | None) -> bool:
        """Count one more request at a backend, unless all workers together have `limit` there. Atomic among workers."""

    def give_back(self, row: int) -> None:
        """One request fewer at a backend."""

    def succeeded(self, row: int) -> bool:
        """Count one good answer of a backend. Whether there were failures before it."""

    def outstanding(self, row: int) -> int:
        """Requests of all workers at a backend: a hint, exact only in `take`."""

    def healthy(self, row: int) -> bool:
        """What the probes say."""

    def is_well(self, row: int) -> bool:
        """Whether it is healthy and its standing is IN, in one look."""

    def set_waiting(self, row: int, waiting: bool) -> None:
        """Whether this worker has requests waiting for a permit of this backend."""

    def poke(self, row: int) -> bool:
        """Wake another worker that waits for a permit of this backend. False if none does."""

    def wake_all(self) -> None:
        """Wake every worker: a standing has changed."""


class Backend:
    """One container as this worker sees it. `resting_until` (monotonic seconds): it refused a connection lately.

    `address`: where its `url` leads to, if that was resolved; else empty.
    """

    __slots__ = ("address", "is_resting", "resting_until", "row", "upstream", "url")

    def __init__(self, url: str, row: int, address: str = "") -> None:
        self.url = url
        self.address = address
        self.row = row
        self.resting_until = 0.0
        self.is_resting = False
        self.upstream: Any = None

    @property
    def shown(self) -> str:
        """The backend as a person knows it."""
        return f"{self.url} ({self.address})" if self.address else self.url


class Ticket:
    """A place in the queue. `backend` is set, and `ready` called, when its turn comes with a permit in hand."""

    __slots__ = ("backend", "ready")

    def __init__(self, ready: Callable[[], object]) -> None:
        self.ready = ready
        self.backend: Backend | None = None


class Pool:
    """The backends of one deployment, and the requests of this worker that wait for one."""

    __slots__ = (
        "__weakref__",
        "_board",
        "_detour",
        "_ejection",
        "_limit",
        "_max_waiting",
        "_only",
        "_pick",
        "_turn",
        "_waiting",
        "backends",
        "budget",
        "deployment",
    )

    def __init__(self, deployment: str, board: Board) -> None:
        """Empty until it is shaped."""
        self.deployment = deployment
        self.backends: Sequence[Backend] = ()
        self.budget = RetryBudget(0)
        self._board = board
        self._pick: Pick
        self._ejection = Ejection(None, (), board)
        self._only: Backend | None = None
        self._limit: int | None = None
        self._max_waiting = 0
        self._waiting: deque[Ticket] = deque()
        self._turn = self._detour = 0

    def shape(
        self,
        backends: Sequence[Backend],
        *,
        pick: Pick,
        limit: int | None,
        max_waiting: int,
        ejection: EjectionSpec | None,
        retry_percent: int,
    ) -> None:
        """What the service says now. Who waits goes on waiting, for the new backends.

        `pick`: how one of several is chosen. `limit`: requests at once per backend, None for no limit. `max_waiting`:
        places in the queue. `ejection`: None for never. `retry_percent`: of all requests may be tried again.
        """
        if self._waiting:
            self._tell_waiting(waiting=False)
        self.backends = backends
        self.budget.reshape(retry_percent)
        self._pick = pick
        self._only = backends[0] if len(backends) == 1 else None
        self._ejection = Ejection(ejection, [backend.row for backend in backends], self._board)
        self._limit = limit
        self._max_waiting = max_waiting
        if self._waiting:
            self._tell_waiting(waiting=True)

    def __len__(self) -> int:
        return len(self._waiting)

    def is_up(self, now: float) -> bool:
        """Whether any backend is worth waiting for."""
        return bool(self._usable(now, ()))

    def take(self, now: float) -> Backend | None:
        """A backend for a new request, with a permit taken there; None if all that may be used are full.

        Nobody overtakes the queue: while requests wait, a newcomer gets None.
        """
        if self._only is None:
            budget = self.budget
            if now >= budget.slot_ends:
                budget.turn(now)
            budget.requests += 1
        return None if self._waiting else self._take(now)

    def retake(self, now: float, tried: Collection[Backend]) -> Backend | None:
        """Like `take`, for a request that was admitted before and failed at `tried`: it does not queue again."""
        return self._take_with_care(now, tried)

    def candidates(self, now: float, tried: Collection[Backend] = ()) -> list[Backend]:
        """The backends that a request may be sent to, whether there is a permit or not; trials are left out."""
        return self._ejection.sift(self._usable(now, tried), now)

    def give_back(self, backend: Backend) -> None:
        """The request at this backend has ended there."""
        self._board.give_back(backend.row)

    def succeeded(self, backend: Backend) -> bool:
        """The backend gave a good answer. Whether it had failed before, and is to be forgiven."""
        return self._board.succeeded(backend.row)

    def forgive(self, backend: Backend, now: float) -> bool:
        """The backend gave a good answer after it had failed. Whether it is back for that."""
        is_back = self._ejection.forgive(backend.row, now)
        if is_back:
            self._board.wake_all()
        return is_back

    def failed(self, backend: Backend, now: float) -> float:
        """The backend failed a request. Seconds for which it is ejected for that, mostly 0.0."""
        return self._ejection.failed(backend.row, now)

    def suspect(self, backend: Backend, now: float) -> float:
        """A request to this backend was given up while it was at work. Seconds for which it is avoided."""
        return self._ejection.suspect(backend.row, now)

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
            backend = self._take(now)
            if backend is None:
                return
            ticket = self._waiting.popleft()
            if not self._waiting:
                self._tell_waiting(waiting=False)
            ticket.backend = backend
            ticket.ready()

    def set_resting(self, backend: Backend, *, is_resting: bool) -> None:
        """While a backend rests here, its permits are for other workers: this one is not woken for them."""
        backend.is_resting = is_resting
        if self._waiting:
            self._board.set_waiting(backend.row, not is_resting)

    def poke_others(self, backend: Backend) -> bool:
        """Let another worker that waits for this backend know that a permit is free."""
        return self._board.poke(backend.row)

    def wake_all(self) -> None:
        """Let all workers see which backends they may use now."""
        self._board.wake_all()

    def pass_on(self) -> None:
        """Nobody waits here any more. Had another worker just woken this one for a free permit, a third may need it."""
        for backend in self.backends:
            if self._seems_free(backend):
                self._board.poke(backend.row)

    def _usable(self, now: float, tried: Collection[Backend]) -> list[Backend]:
        healthy = self._board.healthy
        return [
            backend
            for backend in self.backends
            if backend.resting_until <= now and healthy(backend.row) and backend not in tried
        ]

    def _take(self, now: float) -> Backend | None:
        """As if all were well, first: then no more than the one that is chosen has to be looked at."""
        board, only = self._board, self._only
        if only is not None:
            is_usable = only.resting_until <= now and board.healthy(only.row)
            return only if is_usable and board.take(only.row, self._limit) else None
        if not self.backends:
            return None
        self._turn += 1
        backend = self._pick(self.backends, self._turn)
        if backend.resting_until <= now and board.is_well(backend.row) and board.take(backend.row, self._limit):
            return backend
        return self._take_with_care(now, ())

    def _take_with_care(self, now: float, tried: Collection[Backend]) -> Backend | None:
        """Something is known against one of the backends, or one is full."""
        usable = self._usable(now, tried)
        if not tried and (backend := self._take_for_trial(usable, now)):
            return backend
        candidates = self._ejection.sift(usable, now)
        while candidates:
            # A count of its own: who stands in for the missing ones takes turns, too.
            self._detour += 1
            backend = self._pick(list(filter(self._seems_free, candidates)) or candidates, self._detour)
            if self._board.take(backend.row, self._limit):
                return backend
            candidates.remove(backend)
        return None

    def _take_for_trial(self, usable: Sequence[Backend], now: float) -> Backend | None:
        ejection = self._ejection
        for backend in usable:
            row = backend.row
            if ejection.is_due(row, now) and self._seems_free(backend) and ejection.begin_trial(row, now):
                if self._board.take(row, self._limit):
                    return backend
                ejection.put_off_trial(row, now)
        return None

    def _seems_free(self, backend: Backend) -> bool:
        return self._limit is None or self._board.outstanding(backend.row) < self._limit

    def _tell_waiting(self, *, waiting: bool) -> None:
        for backend in self.backends:
            self._board.set_waiting(backend.row, waiting and not backend.is_resting)
