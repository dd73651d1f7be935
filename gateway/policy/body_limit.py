"""Refuses a body announced to be larger than `max_request_bytes`. A chunked one is cut off while it is read."""

from __future__ import annotations

from gateway.core.exchange import Exchange
from gateway.core.problem import Reply
from gateway.core.route import Check
from gateway.core.snapshot import ServiceEntry
from gateway.policy.world import World


def compile_check(entry: ServiceEntry, world: World) -> Check:
    """The check of this service."""
    limit = entry.spec.max_request_bytes

    def body_limit(exchange: Exchange) -> Reply | None:
        if exchange.length is None or exchange.length <= limit:
            return None
        detail = f"The body has {exchange.length} bytes; {entry.name} takes at most {limit} (max_request_bytes)."
        return Reply(413, "body_too_large", detail, closes=True)

    return body_limit
