"""How many requests may be tried a second time: a share of all of the last seconds, so that retries cannot pile up.

When every backend fails, retries would multiply the load by `attempts` just then; a budget keeps them a small part.
"""

from __future__ import annotations

import math
from collections import deque

WINDOW_SECONDS = 10.0
SLOT_SECONDS = 1.0
FREE = 10
"""Further tries within the window that are always allowed: a lone request is tried again whatever the share says."""


class RetryBudget:
    """Requests and further tries of one worker at one deployment, within a window that slides by slots.

    Whoever counts adds one to `requests`, after `turn` if `slot_ends` has passed: that is all it costs a request.
    """

    __slots__ = ("_past", "_percent", "_retries", "requests", "slot_ends")

    def __init__(self, percent: int) -> None:
        """`percent` of all requests may be further tries; 0: none at all."""
        self._percent = percent
        self._past: deque[tuple[float, int, int]] = deque()
        self._retries = 0
        self.requests = 0
        self.slot_ends = -math.inf

    def turn(self, now: float) -> None:
        """Begin the next slot, and forget those that have left the window."""
        self._past.append((self.slot_ends, self.requests, self._retries))
        self.slot_ends = now + SLOT_SECONDS
        self.requests = self._retries = 0
        while self._past and self._past[0][0] <= now - WINDOW_SECONDS:
            self._past.popleft()

    def spend(self, now: float) -> bool:
        """Whether one more further try is allowed; if so, it is counted."""
        if now >= self.slot_ends:
            self.turn(now)
        requests = self.requests + sum(slot[1] for slot in self._past)
        retries = self._retries + sum(slot[2] for slot in self._past)
        if not self._percent or retries >= max(FREE, requests * self._percent // 100):
            return False
        self._retries += 1
        return True

    def reshape(self, percent: int) -> None:
        """Another share from now on. What was counted stays."""
        self._percent = percent
