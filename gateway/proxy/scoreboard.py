"""Shared memory between supervisor, control process and workers: heartbeats, permits, health, rate-limit cells.

Python has no atomics here: what several workers decide together is changed under a byte-range `fcntl` lock, which the
kernel drops with its holder. A worker writes only its own columns, so that a dead worker's share can be given back.
The supervisor makes the board before it forks; every process then takes its own view by `seat`.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import sys
import time

from gateway.proxy.locks import ByteLocks
from gateway.proxy.standings import StandingColumns

STARTING, READY, DRAINING = 0, 1, 2

MAX_ROWS = 32_768
BUCKETS = 4_096
CELLS_PER_BUCKET = 8
CELL_LOCKS = MAX_ROWS
"""Locks below this number belong to rows, from it on to buckets of cells."""

_CONDITION, _SERVED, _USED, _FAILURES, _EJECTIONS, _COLUMNS = range(6)
"""The condition of a backend is zero as long as all is well: its first byte is 1 when its probes fail, its second byte
is its standing. Each has writers of its own."""
_SEAT_FIELDS = 2
_HEARTBEAT, _STATE = 0, 1


class Scoreboard:
    """The memory itself. Seat 0 is the control process, seats 1 … N are the workers."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.stride = _COLUMNS + 2 * workers
        seats = 8 * _SEAT_FIELDS * (workers + 1)
        owners = 8 * MAX_ROWS
        cells = 16 * CELLS_PER_BUCKET * BUCKETS
        spans = 16 * MAX_ROWS
        self._memory = mmap.mmap(-1, seats + owners + cells + spans + 4 * self.stride * MAX_ROWS)
        view = memoryview(self._memory)
        self.seats = view[:seats].cast("d")
        self.owners = view[seats : seats + owners].cast("Q")
        at = seats + owners
        self.cell_keys = view[at : at + cells].cast("Q")
        self.cell_tats = view[at : at + cells].cast("d")
        at += cells
        self.spans = view[at : at + spans].cast("d")
        self.rows = view[at + spans :].cast("I")
        self.locks = ByteLocks()
        self.wakeups: list[int] = []
        """Of the workers, from the first on, and the last one of the control process."""
        if sys.platform == "linux":
            self.wakeups = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(workers + 1)]

    def seat(self, number: int) -> Seat:
        """The board as one process sees it: 0 for the control process, 1 … N for a worker."""
        return Seat(self, number)

    def state(self, number: int) -> int:
        """STARTING, READY or DRAINING."""
        return int(self.seats[number * _SEAT_FIELDS + _STATE])

    def silence(self, number: int) -> float:
        """Seconds since the last heartbeat of a seat; 0 before its first."""
        beat = self.seats[number * _SEAT_FIELDS + _HEARTBEAT]
        return time.monotonic() - beat if beat else 0.0

    def vacate(self, number: int) -> None:
        """Give back all that a dead process held, and wake those who wait for it."""
        at = number * _SEAT_FIELDS
        self.seats[at + _HEARTBEAT] = 0.0
        self.seats[at + _STATE] = STARTING
        if number == 0:
            return
        for row in range(MAX_ROWS):
            start = row * self.stride + _COLUMNS + number - 1
            if self.owners[row] or self.rows[start]:
                self.rows[start] = 0
                self.rows[start + self.workers] = 0
        self.wake_workers()

    def wake_workers(self) -> None:
        """Have every worker see who of those that wait may go."""
        for wakeup in self.wakeups[: self.workers]:
            os.eventfd_write(wakeup, 1)


class Seat(StandingColumns):
    """The board from one process's seat: fulfils `core.admission.Board` and `core.scoreboard.HealthBoard`."""

    __slots__ = ("_columns", "_number", "_owners", "_worker", "_workers", "board")

    def __init__(self, board: Scoreboard, number: int) -> None:
        super().__init__(
            board.rows,
            board.spans,
            board.locks,
            stride=board.stride,
            columns=(_CONDITION, _FAILURES, _EJECTIONS),
            alone=board.workers == 1,
        )
        self.board = board
        self._number = number
        self._worker = number - 1
        self._workers = board.workers
        self._owners = board.owners
        self._columns = _COLUMNS + self._worker

    # --- the process itself

    def beat(self) -> None:
        """Say that this process still turns its event loop."""
        self.board.seats[self._number * _SEAT_FIELDS + _HEARTBEAT] = time.monotonic()

    def set_state(self, state: int) -> None:
        """Say how far this process is."""
        self.board.seats[self._number * _SEAT_FIELDS + _STATE] = state

    @property
    def wakeup(self) -> int | None:
        """The descriptor that becomes readable when this process should look again, None where there is none.

        A worker: what it waits for was freed elsewhere, or came back. The control process: a backend is suspect.
        """
        return self.board.wakeups[self._worker] if self.board.wakeups else None

    # --- permits: core.admission.Board

    def take(self, row: int, limit: int | None) -> bool:
        """Count one more request at a backend, unless all workers together have `limit` there."""
        at = row * self._stride
        own = at + self._columns
        rows = self._rows
        if limit is None:
            rows[own] += 1
            return True
        if self._alone:
            if rows[own] >= limit:
                return False
            rows[own] += 1
            return True
        if not self._locks.acquire(row):
            return False
        try:
            if sum(rows[at + _COLUMNS : at + _COLUMNS + self._workers]) >= limit:
                return False
            rows[own] += 1
            return True
        finally:
            self._locks.release(row)

    def give_back(self, row: int) -> None:
        """One request fewer at a backend. Needs no lock: nobody else writes this column."""
        self._rows[row * self._stride + self._columns] -= 1

    def succeeded(self, row: int) -> bool:
        """Count one good answer of a backend. Whether there were failures before it."""
        at = row * self._stride
        rows = self._rows
        rows[at + _SERVED] = (rows[at + _SERVED] + 1) & 0xFFFFFFFF
        return rows[at + _FAILURES] != 0

    def set_waiting(self, row: int, waiting: bool) -> None:
        """Whether this worker has requests waiting for a permit of this backend."""
        self._rows[row * self._stride + self._columns + self._workers] = waiting

    def poke(self, row: int) -> bool:
        """Wake the next other worker that waits for a permit of this backend. False if none does."""
        first = row * self._stride + _COLUMNS + self._workers
        for step in range(1, self._workers):
            other = (self._worker + step) % self._workers
            if self._rows[first + other]:
                os.eventfd_write(self.board.wakeups[other], 1)
                return True
        return False

    def wake_all(self) -> None:
        """Wake every worker: a standing has changed."""
        self.board.wake_workers()

    def hurry_probe(self) -> None:
        """Have the control process look at suspects now."""
        if self.board.wakeups:
            os.eventfd_write(self.board.wakeups[-1], 1)

    def outstanding(self, row: int) -> int:
        """Requests of all workers at a backend (a hint)."""
        at = row * self._stride + _COLUMNS
        return self._rows[at] if self._alone else sum(self._rows[at : at + self._workers])

    # --- health: core.scoreboard.HealthBoard

    def healthy(self, row: int) -> bool:
        """What the last probes said."""
        return not self._bytes[4 * row * self._stride]

    def is_well(self, row: int) -> bool:
        """Whether it is healthy and its standing is IN, in one look."""
        return not self._rows[row * self._stride]

    def set_healthy(self, row: int, healthy: bool) -> None:
        """What the last probes say. A change wakes whoever waits: for this backend, or for others instead of it."""
        at = 4 * row * self._stride
        if self._bytes[at] == healthy:
            self._bytes[at] = not healthy
            self.board.wake_workers()

    def served(self, row: int) -> int:
        """How many good answers the backend gave so far (a hint: racing workers may lose one)."""
        return self._rows[row * self._stride + _SERVED]

    def lend_row(self, owner: str) -> int:
        """The row of `owner`, the same one as before a restart of the control process."""
        name = int.from_bytes(hashlib.blake2b(owner.encode(), digest_size=8).digest(), "little") or 1
        start = name % MAX_ROWS
        free = -1
        for step in range(MAX_ROWS):
            row = (start + step) % MAX_ROWS
            if self._owners[row] == name:
                return row
            if self._owners[row] == 0 and free < 0 and not self._busy(row):
                free = row
            if self._owners[row] == 0 and not self._rows[row * self._stride + _USED]:
                break
        if free < 0:
            raise RuntimeError(f"all {MAX_ROWS} rows of the scoreboard are lent: too many backends")
        at = free * self._stride
        self._owners[free] = name
        # Marks the row as once used, so that look-ups pass over it after its release.
        self._rows[at + _USED] = 1
        self._rows[at + _CONDITION] = 0
        self.forget(free)
        return free

    def release_row(self, row: int) -> None:
        """Give a row back once no worker serves its backend. Requests still counted on it keep it from being lent."""
        self._owners[row] = 0

    def _busy(self, row: int) -> bool:
        at = row * self._stride + _COLUMNS
        return any(self._rows[at : at + self._workers])
