"""Rate limits: counted for the whole gateway, not per worker; a request that one limit refuses uses up no other."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

from gateway.core.exchange import Exchange
from gateway.core.gcra import Cells, Limit
from gateway.core.problem import QUOTA_EXCEEDED, Reply
from gateway.core.route import Check
from gateway.core.snapshot import ServiceEntry
from gateway.core.spec import RateLimitSpec
from gateway.policy.world import World

KeyOf = Callable[[Exchange], int]


def compile_check(entry: ServiceEntry, world: World) -> Check | None:
    """The check of this service; None when it has no limits."""
    if not entry.spec.rate_limits:
        return None
    counted = tuple((Limit.of(spec), _key_of(entry.name, spec)) for spec in entry.spec.rate_limits)
    cells = world.cells

    def rate_limit(exchange: Exchange) -> Reply | None:
        for index, (limit, key_of) in enumerate(counted):
            wait = cells.admit(key_of(exchange), exchange.now, limit)
            if wait:
                _refund(cells, counted[:index], exchange)
                return _too_many(entry.name, limit, wait)
        return None

    return rate_limit


def _refund(cells: Cells, counted: tuple[tuple[Limit, KeyOf], ...], exchange: Exchange) -> None:
    for limit, key_of in counted:
        cells.refund(key_of(exchange), limit)


def _key_of(service: str, spec: RateLimitSpec) -> KeyOf:
    """What a limit counts by, as the 64-bit key of its cell."""
    base = f"{service}\0{spec.name}\0{spec.requests}/{spec.per_seconds}"
    if spec.partition == "service":
        fixed = _cell_key(base)
        return lambda _: fixed
    if spec.partition == "credential":
        return lambda exchange: _cell_key(f"{base}\0{exchange.caller.key_id or exchange.caller.subject}")
    return lambda exchange: _cell_key(f"{base}\0{exchange.address}")


def _cell_key(text: str) -> int:
    # 0 marks a cell that nobody has.
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") or 1


def _too_many(service: str, limit: Limit, wait: float) -> Reply:
    seconds = math.ceil(wait)
    quota = f"{limit.quota} requests in {limit.window:g} s (limit {limit.name!r})"
    detail = f"{service} takes {quota}: try again in {seconds} s."
    return Reply(
        429,
        "rate_limited",
        detail,
        "rate_limit",
        (
            (b"retry-after", str(seconds).encode()),
            (b"ratelimit-policy", f'"{limit.name}";q={limit.quota};w={math.ceil(limit.window)}'.encode()),
            (b"ratelimit", f'"{limit.name}";r=0;t={seconds}'.encode()),
        ),
        problem_type=QUOTA_EXCEEDED,
        extra=(("violated-policies", [limit.name]),),
    )
