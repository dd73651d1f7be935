"""A process that the demo starts, and that never outlives it: the model server and the gateway.

It has a session of its own, so that Ctrl-C reaches the demo alone, which then ends its children in order.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gateway.demo.error import DemoError
from gateway.demo.progress import Progress

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.05


class Child:
    """One process, its output appended to `log`; `name` is what messages call it."""

    def __init__(self, name: str, command: Sequence[str | Path], *, log: Path, environ: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - every command is made by the demo itself
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environ),
                start_new_session=True,
                preexec_fn=_tied_to_this_process(),  # noqa: PLW1509 - the demo has one thread
            )

    @property
    def pid(self) -> int:
        """Process id, and id of its process group."""
        return self._process.pid

    def wait(self, seconds: float) -> int | None:
        """Exit status, or None when the process still runs after `seconds`."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def until(self, ready: Callable[[], bool], *, progress: Progress, seconds: float) -> None:
        """Wait for `ready()`. Raises DemoError when the process ends first or `seconds` pass."""
        deadline = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise DemoError(f"the {self.name} is not ready after {seconds:.0f} s; {self._last_words()}")
            progress.waiting(f"starting the {self.name}")
            time.sleep(_POLL_SECONDS)

    def check(self) -> None:
        """Raise DemoError, with the last lines of the log, if the process has ended."""
        status = self._process.poll()
        if status is not None:
            raise DemoError(f"the {self.name} ended ({_described(status)}); {self._last_words()}")

    def stop(self, *, seconds: float) -> None:
        """SIGTERM, and after `seconds` SIGKILL; then whatever is left of its process group."""
        if self._process.poll() is None:
            self._process.terminate()
            self.wait(seconds)
        with contextlib.suppress(ProcessLookupError):  # the group ended with its leader, as it should
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def _last_words(self) -> str:
        lines = [line.strip() for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines()]
        said = " | ".join([line for line in lines if line][-3:]) or "it said nothing"
        return f"{self.log} ends with: {said}"


def _described(status: int) -> str:
    return f"exit status {status}" if status >= 0 else f"killed by {signal.Signals(-status).name}"


def _tied_to_this_process() -> Callable[[], None] | None:
    """What makes the kernel end the child when the demo is gone, kill -9 included (Linux only)."""
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # the demo died between fork and prctl: no signal will come
            os._exit(1)

    return tie
