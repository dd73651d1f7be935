"""Failed attempts to open the admin port, counted by address. Only failures are counted, and only they are answered.

Whoever shows a good credential is let in at any time, also from an address that others fail from.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from gateway.core.address import network_of
from gateway.core.gcra import Limit, admit
from gateway.core.spec import RateLimitSpec

MAX_ADDRESSES = 10_000
"""Kept at once: of more, those that failed longest ago are forgotten."""


class Failures:
    """`per_minute`: so many at once, and then as many a minute; 0: any number."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = Limit.of(RateLimitSpec("failures", per_minute, 60.0)) if per_minute else None
        self._clock = clock
        self._tats: OrderedDict[str, float] = OrderedDict()

    def count(self, address: str) -> float:
        """Count a failure: 0.0 if it is within the limit, else the seconds to wait."""
        if self._limit is None:
            return 0.0
        network, now = network_of(address), self._clock()
        tat, wait = admit(self._tats.get(network, now), now, self._limit)
        self._tats[network] = tat
        self._tats.move_to_end(network)
        if len(self._tats) > MAX_ADDRESSES:
            self._tats.popitem(last=False)
        return wait
