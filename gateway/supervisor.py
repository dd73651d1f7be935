"""The supervisor: forks the control process and the workers, replaces what dies or falls silent, passes signals on.

It holds the sockets and the scoreboard, so that a process that dies loses only its own requests. It has no event loop,
no threads and no state worth losing: there is little here that can fail.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

log = logging.getLogger("gateway.supervisor")

CANNOT_START = 78
"""Exit code of a child that cannot start as things are: it has said why (sysexits.h: EX_CONFIG)."""
SILENCE_SECONDS = 10.0
FIRST_BEAT_SECONDS = 30.0
LOOK_SECONDS = 0.25
QUICK_DEATH_SECONDS = 2.0
MAX_PAUSE_SECONDS = 5.0
STOP_MARGIN_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1
_STOP = (signal.SIGTERM, signal.SIGINT)
_HANDLED = (*_STOP, signal.SIGHUP, signal.SIGCHLD)


class Seats(Protocol):
    """What the supervisor needs of the scoreboard."""

    def silence(self, number: int) -> float:
        """Seconds since the last heartbeat of a seat; 0 before its first."""

    def vacate(self, number: int) -> None:
        """Give back all that a dead process held."""


@dataclass(slots=True)
class Child:
    """A seat and the process that sits on it now. `pid` 0: nobody; `start_at`: when the next one may start."""

    name: str
    run: Callable[[], int]
    pid: int = 0
    started: float = 0.0
    start_at: float = 0.0
    pause: float = field(default=0.1)
    is_first: bool = True


class Supervisor:
    """Keeps one process on every seat until told to stop."""

    def __init__(
        self,
        seats: Seats,
        children: Mapping[int, Child],
        *,
        drain_seconds: float,
        let_go: Callable[[], None] = lambda: None,
    ) -> None:
        """`let_go`: closes what was kept for successors, once there will be none."""
        self._let_go = let_go
        self._seats = seats
        self._children = children
        self._drain_seconds = drain_seconds
        self._stopping: signal.Signals | None = None
        self._reload = False
        self._exit_code = 0
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> int:
        """Until SIGTERM, SIGINT, or a child that cannot start. Returns the exit code."""
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in _HANDLED:
            signal.signal(number, self._on_signal)
        while self._stopping is None:
            self._start_missing()
            self._pass_reload_on()
            self._wait(LOOK_SECONDS)
            self._reap()
            self._end_silent()
        self._stop_all()
        signal.set_wakeup_fd(-1)
        return self._exit_code

    def _on_signal(self, number: int, _: object) -> None:
        if number in _STOP and self._stopping is None:
            self._stopping = signal.Signals(number)
        elif number == signal.SIGHUP:
            self._reload = True

    def _pass_reload_on(self) -> None:
        """Not from within the handler: a child that is being forked has no pid there yet, and would not hear of it."""
        if self._reload:
            self._reload = False
            for child in self._children.values():
                _send(child.pid, signal.SIGHUP)

    def _wait(self, seconds: float) -> None:
        select.select([self._wake_read], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)

    def _start_missing(self) -> None:
        now = time.monotonic()
        for child in self._children.values():
            if not child.pid and now >= child.start_at:
                try:
                    child.pid = self._fork(child)
                except OSError as error:
                    child.start_at = now + MAX_PAUSE_SECONDS
                    log.error("%s cannot be started: %s", child.name, error)  # noqa: TRY400 - no fault of ours to trace
                child.started = now

    def _fork(self, child: Child) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        supervisor = os.getpid()
        # A signal that came to the child before it has its own handlers would be lost in a copy of ours.
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        try:
            pid = os.fork()
        finally:
            if os.getpid() == supervisor:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
        if pid:
            return pid
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in _HANDLED:
                signal.signal(number, signal.SIG_DFL)
            # A reload that is asked for before the child can hear of it is no reason to end it.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
            end_with_parent(supervisor)
            code = child.run()
        except BaseException:
            log.exception("%s ended by an error", child.name)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        for seat, child in self._children.items():
            if not child.pid:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                self._bury(seat, child, os.waitstatus_to_exitcode(status))

    def _bury(self, seat: int, child: Child, code: int) -> None:
        pid, child.pid = child.pid, 0
        self._seats.vacate(seat)
        if self._stopping is not None:
            return
        # Once it has run, what it lacks (a store that is away) may come back: the others serve on meanwhile.
        if code == CANNOT_START and child.is_first:
            self._stopping, self._exit_code = signal.SIGINT, 1
            return
        child.is_first = False
        now = time.monotonic()
        is_quick = now - child.started < QUICK_DEATH_SECONDS
        child.pause = min(child.pause * 2, MAX_PAUSE_SECONDS) if is_quick else 0.1
        child.start_at = now + child.pause if is_quick else now
        log.error("%s (process %d) ended with code %d and is replaced", child.name, pid, code)

    def _end_silent(self) -> None:
        now = time.monotonic()
        for seat, child in self._children.items():
            silence = self._seats.silence(seat)
            never_spoke = not silence and child.pid and now - child.started > FIRST_BEAT_SECONDS
            if child.pid and (silence > SILENCE_SECONDS or never_spoke):
                log.error("%s (process %d) turns its loop no more and is ended", child.name, child.pid)
                _send(child.pid, signal.SIGKILL)

    def _stop_all(self) -> None:
        """Workers first: the control process answers for them until they are gone."""
        assert self._stopping is not None
        self._let_go()
        deadline = time.monotonic() + self._drain_seconds + STOP_MARGIN_SECONDS
        workers = [child for seat, child in self._children.items() if seat]
        for group in (workers, list(self._children.values())):
            for child in group:
                _send(child.pid, self._stopping)
            while any(child.pid for child in group) and time.monotonic() < deadline:
                self._wait(LOOK_SECONDS)
                self._reap()
        for child in self._children.values():
            if child.pid:
                log.error("%s (process %d) did not end in time and is killed", child.name, child.pid)
                _send(child.pid, signal.SIGKILL)
                os.waitpid(child.pid, 0)
                child.pid = 0


def end_with_parent(parent: int) -> None:
    """Have the kernel end this process when its parent dies (Linux); end now if that has already happened."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


def _send(pid: int, number: signal.Signals) -> None:
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
