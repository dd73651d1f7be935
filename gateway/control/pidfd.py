"""A process that is not our child, held so that it can be ended and its end be seen, never mistaken for another.

A pid may be given to somebody else the moment its owner is gone; a pidfd stays with the process it was opened for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable


class WorkerProcess:
    """Calls `gone` once, on the loop, when the process has ended.

    Where the platform has no pidfd, the end of its connection stands for its end. Raises ProcessLookupError.
    """

    __slots__ = ("_descriptor", "_gone", "pid")

    def __init__(self, pid: int, gone: Callable[[], None]) -> None:
        self.pid = pid
        self._gone = gone
        self._descriptor = _open(pid)
        if self._descriptor is not None:
            asyncio.get_running_loop().add_reader(self._descriptor, self._ended)

    def end(self) -> None:
        """Kill it: it is given no chance to answer another request."""
        with contextlib.suppress(ProcessLookupError):
            if self._descriptor is None:
                os.kill(self.pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def disconnected(self) -> None:
        """Its connection has ended."""
        if self._descriptor is None:
            self._gone()

    def release(self) -> None:
        """Stop watching."""
        if self._descriptor is not None:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None

    def _ended(self) -> None:
        self.release()
        self._gone()


def _open(pid: int) -> int | None:
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except OSError:  # a sandbox that forbids the call
        return None
