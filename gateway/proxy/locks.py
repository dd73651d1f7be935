"""Locks among processes that the kernel drops with their holder: byte ranges of one file, by `fcntl`."""

from __future__ import annotations

import fcntl
import tempfile

TRIES = 400
"""About half a millisecond. A holder that takes longer was stopped: the event loop must not wait for it."""


class ByteLocks:
    """One lock a number. Made before the processes are forked; none may close the file, which would drop its locks."""

    __slots__ = ("_fd", "_file")

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the locks are used
        self._fd = self._file.fileno()

    def acquire(self, number: int) -> bool:
        """Whether the lock could be had. If so, `release` it within microseconds."""
        for _ in range(TRIES):
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
            except BlockingIOError:
                continue
            return True
        return False

    def release(self, number: int) -> None:
        """Let others have it."""
        fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, number)
