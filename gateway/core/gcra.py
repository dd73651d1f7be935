"""Rate limits: the generic cell rate algorithm. One number a limit: the theoretical arrival time (TAT) of the next one.

A cell whose TAT has passed equals one that was never used: it needs no clean-up and may be lent to another key.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Protocol

from gateway.core.spec import RateLimitSpec


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit as counted: seconds that one request costs, and seconds of cost that may be run up at once."""

    name: str
    cost: float
    tolerance: float
    quota: int
    window: float

    @classmethod
    def of(cls, spec: RateLimitSpec) -> Limit:
        """From the configuration; `burst` left out is `requests`."""
        cost = spec.per_seconds / spec.requests
        return cls(spec.name, cost, cost * (spec.burst or spec.requests), spec.requests, spec.per_seconds)


def cell_key(text: str) -> int:
    """The 64-bit key of the cell that counts what `text` names."""
    # 0 marks a cell that nobody has.
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") or 1


def admit(tat: float, now: float, limit: Limit) -> tuple[float, float]:
    """(new TAT, 0.0) when a request at `now` is within the limit, else (TAT unchanged, seconds to wait)."""
    after = max(tat, now) + limit.cost
    wait = after - limit.tolerance - now
    # Sums of costs on a clock that counts from boot round: less than a hundredth of a request is no debt.
    if wait * 100 > limit.cost:
        return tat, wait
    return after, 0.0


class Cells(Protocol):
    """TATs by key, shared by all workers. The shared-memory form is `proxy.scoreboard`."""

    def admit(self, key: int, now: float, limit: Limit) -> float:
        """Count a request: 0.0 if it is within the limit, else the seconds to wait. Atomic among workers."""

    def refund(self, key: int, limit: Limit) -> None:
        """Take back one request that was counted and then refused by another limit."""
