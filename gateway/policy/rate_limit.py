"""Rate limits: counted for the whole gateway, not per worker; a request that one limit refuses uses up no other.

A named caller's own limits are asked before those of the service.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from gateway.core.exchange import Exchange
from gateway.core.gcra import Cells, Limit, cell_key
from gateway.core.problem import QUOTA_EXCEEDED, Reply
from gateway.core.route import Check
from gateway.core.snapshot import ServiceEntry
from gateway.core.spec import RateLimitSpec
from gateway.policy.world import World

KeyOf = Callable[[Exchange], int]
Counted = tuple[tuple[Limit, KeyOf], ...]


def compile_check(entry: ServiceEntry, world: World) -> Check | None:
    """The check of this service; None when neither it nor one of its named callers has limits."""
    roster = world.rosters.get(entry.name)
    own_limits = roster.limits if roster else {}
    if not entry.spec.rate_limits and not own_limits:
        return None
    limits = tuple((Limit.of(spec), _key_of(entry.name, spec)) for spec in entry.spec.rate_limits)
    cells = world.cells

    def rate_limit(exchange: Exchange, counted: Counted = limits) -> Reply | None:
        for index, (limit, key_of) in enumerate(counted):
            wait = cells.admit(key_of(exchange), exchange.now, limit)
            if wait:
                _refund(cells, counted[:index], exchange)
                return _too_many(entry.name, limit, wait)
        return None

    def rate_limit_of_caller(exchange: Exchange) -> Reply | None:
        own = own_limits.get(exchange.caller.key_id)
        return rate_limit(exchange) if own is None else rate_limit(exchange, own + limits)

    return rate_limit_of_caller if own_limits else rate_limit


def _refund(cells: Cells, counted: Counted, exchange: Exchange) -> None:
    for limit, key_of in counted:
        cells.refund(key_of(exchange), limit)


def _key_of(service: str, spec: RateLimitSpec) -> KeyOf:
    """What a limit counts by, as the 64-bit key of its cell."""
    base = f"{service}\0{spec.name}\0{spec.requests}/{spec.per_seconds}"
    if spec.partition == "service":
        fixed = cell_key(base)
        return lambda _: fixed
    if spec.partition == "credential":
        # By subject and not by token: who may fetch another token would have another limit.
        return lambda exchange: cell_key(f"{base}\0{exchange.caller.auth_type}\0{exchange.caller.subject}")
    return lambda exchange: cell_key(f"{base}\0{exchange.address}")


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
