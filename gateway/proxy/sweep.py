"""Deadlines without a timer each: one coarse wheel per worker, turned every 20 ms while anything is on it.

A deadline moved later costs one attribute: the wheel finds out when the old time comes. Precision is one turn.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

TURNS_PER_SECOND = 50


class Watched(Protocol):
    """Something with one deadline. `due` (monotonic seconds) and `turn` are the sweep's to write."""

    due: float
    turn: int

    def expire(self, now: float) -> None:
        """The deadline has passed. Whoever still needs one asks for it anew."""


class Sweep:
    """The wheel of one event loop."""

    __slots__ = ("_last", "_loop", "_timer", "_turns")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._turns: dict[int, set[Watched]] = {}
        self._last = int(time.monotonic() * TURNS_PER_SECOND)
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, watched: Watched, due: float) -> None:
        """Call `expire` once `due` has passed, in place of any deadline it had before."""
        before, watched.due = watched.due, due
        if watched.turn and due >= before:
            return
        turn = int(due * TURNS_PER_SECOND) + 1
        if watched.turn:
            if watched.turn <= turn:
                return
            self._turns[watched.turn].discard(watched)
        self._put(watched, turn)

    def forget(self, watched: Watched) -> None:
        """Drop its deadline."""
        if watched.turn:
            self._turns[watched.turn].discard(watched)
            watched.turn = 0

    def close(self) -> None:
        """Stop turning."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for pending in self._turns.values():
            for watched in pending:
                watched.turn = 0
        self._turns.clear()

    def _put(self, watched: Watched, turn: int) -> None:
        watched.turn = turn = max(turn, self._last + 1)
        self._turns.setdefault(turn, set()).add(watched)
        if self._timer is None:
            # Nothing turned meanwhile.
            self._last = min(turn, int(time.monotonic() * TURNS_PER_SECOND)) - 1
            self._timer = self._loop.call_later(1 / TURNS_PER_SECOND, self._turn)

    def _turn(self) -> None:
        now = time.monotonic()
        first, self._last = self._last + 1, int(now * TURNS_PER_SECOND)
        for turn in range(first, self._last + 1):
            # One by one, and not as a copy: whoever expires may move or drop the deadline of another.
            while pending := self._turns.get(turn):
                self._look(pending.pop(), now)
            self._turns.pop(turn, None)
        self._timer = self._loop.call_later(1 / TURNS_PER_SECOND, self._turn) if self._turns else None

    def _look(self, watched: Watched, now: float) -> None:
        watched.turn = 0
        if watched.due > now:
            self.watch(watched, watched.due)
            return
        try:
            watched.expire(now)
        except Exception as error:  # noqa: BLE001 - the deadlines of all others stand behind this one
            self._loop.call_exception_handler({"message": "a deadline could not be kept", "exception": error})
