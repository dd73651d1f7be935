"""Locks among processes that the kernel drops with their holder: byte ranges of one file, by `fcntl`."""

from __future__ import annotations

import fcntl
import tempfile
import time

SPINS = 20
"""Tries in a row, about 25 µs: a holder that runs on another core is done long before."""
NAP_SECONDS = 50e-6
"""A holder that waits for a core gets this one. Yielding it is not enough: others that spin would get it."""
PATIENCE_SECONDS = 0.02
"""The event loop stands still meanwhile; only a holder that was stopped takes that long."""
STUCK_SECONDS = 0.1
"""After that, how long a lock is only tried and not waited for, so that its holder stops nobody else."""


class ByteLocks:
    """One lock a number. Made before the processes are forked; none may close the file, which would drop its locks."""

    __slots__ = ("_fd", "_file", "_stuck_until")

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the locks are used
        self._fd = self._file.fileno()
        self._stuck_until: dict[int, float] = {}

    def acquire(self, number: int) -> bool:
        """Whether the lock could be had. If so, `release` it within microseconds."""
        for _ in range(SPINS):
            if self._try(number):
                return True
        return self._wait(number)

    def release(self, number: int) -> None:
        """Let others have it."""
        fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, number)

    def _try(self, number: int) -> bool:
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except BlockingIOError:
            return False
        return True

    def _wait(self, number: int) -> bool:
        now = time.monotonic()
        if self._stuck_until.get(number, 0.0) > now:
            return False
        while time.monotonic() - now < PATIENCE_SECONDS:
            time.sleep(NAP_SECONDS)
            if self._try(number):
                return True
        self._stuck_until[number] = now + STUCK_SECONDS
        return False
