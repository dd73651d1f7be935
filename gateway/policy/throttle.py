"""Slows down who fails to open a service: after too many wrong credentials from an address, 429 in place of 401.

Counted by address and service, for the whole gateway. Only failures are counted, and only failures are answered so:
nobody with a good credential is locked out by others, not even from the same address, and nobody good pays for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from gateway.core.address import network_of
from gateway.core.exchange import Exchange
from gateway.core.gcra import cell_key
from gateway.core.problem import Reply
from gateway.policy.world import World

Throttle = Callable[[Exchange, Reply], Reply]


def compile_throttle(service: str, world: World) -> Throttle:
    """Makes of the refusal of a credential the reply to send."""
    limit, cells = world.failures, world.cells

    def throttle(exchange: Exchange, refusal: Reply) -> Reply:
        if limit is None or refusal.status != 401:
            return refusal
        key = cell_key(f"{service}\0failures\0{network_of(exchange.address)}")
        wait = cells.admit(key, exchange.now, limit)
        return _slow_down(refusal, math.ceil(wait)) if wait else refusal

    return throttle


def _slow_down(refusal: Reply, seconds: int) -> Reply:
    detail = f"Too many credentials from your address were wrong, and this one was, too: {refusal.detail}"
    return Reply(429, "too_many_failures", detail, "authenticate", ((b"retry-after", str(seconds).encode()),))
