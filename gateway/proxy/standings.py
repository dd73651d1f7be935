"""What workers know of backends beyond their health, in shared memory: the columns behind `core.ejection.Standings`.

Plain columns that any worker may write. A standing is one byte beside the one of the probes, in one word: whether
anything at all is known against a backend takes one look.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway.core.ejection import IN, SUSPECT
from gateway.proxy.locks import ByteLocks


class StandingColumns:
    """The part of a seat that fulfils `core.ejection.Standings`. `spans`: since and until of each row, in turn."""

    __slots__ = ("_alone", "_bytes", "_ejections", "_failures", "_locks", "_rows", "_spans", "_standing", "_stride")

    def __init__(
        self,
        rows: memoryview[int],
        spans: memoryview[float],
        locks: ByteLocks,
        *,
        stride: int,
        columns: tuple[int, int, int],
        alone: bool,
    ) -> None:
        """`rows`: of 32-bit words, `stride` of them each. `columns`: condition, failures, ejections."""
        condition, self._failures, self._ejections = columns
        self._rows = rows
        self._bytes = rows.cast("B")
        self._standing = 4 * condition + 1
        self._spans = spans
        self._locks = locks
        self._stride = stride
        self._alone = alone

    def standing(self, row: int) -> int:
        """What the workers think of this backend: IN, SUSPECT, EJECTED or TRIAL of `core.ejection`."""
        return self._bytes[4 * row * self._stride + self._standing]

    def since(self, row: int) -> float:
        """When the backend got that standing (monotonic seconds); 0.0: it always had it."""
        return float(self._spans[2 * row])

    def until(self, row: int) -> float:
        """When that standing may change by itself (monotonic seconds)."""
        return float(self._spans[2 * row + 1])

    def put(self, row: int, standing: int, since: float, until: float) -> None:
        """Give a backend this standing."""
        # Whoever sees the standing must find its times there.
        self._spans[2 * row] = since
        self._spans[2 * row + 1] = until
        self._bytes[4 * row * self._stride + self._standing] = standing

    def failures(self, row: int) -> int:
        """Failures in a row."""
        return self._rows[row * self._stride + self._failures]

    def set_failures(self, row: int, count: int) -> None:
        """Failures in a row."""
        self._rows[row * self._stride + self._failures] = count

    def ejections(self, row: int) -> int:
        """How often the backend was ejected, less what was forgiven since."""
        return self._rows[row * self._stride + self._ejections]

    def set_ejections(self, row: int, count: int) -> None:
        """How often the backend was ejected."""
        self._rows[row * self._stride + self._ejections] = count

    def exclusively(self, row: int, act: Callable[[], bool]) -> bool:
        """The result of `act` while no other worker does anything for this row; False if that could not be had."""
        if self._alone:
            return act()
        if not self._locks.acquire(row):
            return False
        try:
            return act()
        finally:
            self._locks.release(row)

    def absolve(self, row: int) -> None:
        """A suspect has answered its probe."""
        if self.standing(row) == SUSPECT:
            self.put(row, IN, time.monotonic(), 0.0)

    def forget(self, row: int) -> None:
        """The row is another backend's from now on."""
        self.put(row, IN, 0.0, 0.0)
        self.set_failures(row, 0)
        self.set_ejections(row, 0)
