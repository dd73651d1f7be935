"""The checks that can refuse a request or answer it early: one file each, compiled per service, in one visible order.

A check module has `compile_check(entry, world) -> Check | None`: None when the service asks for nothing of the kind.
To add one: write its file, put its name into ORDER.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType

from gateway.core.route import Check
from gateway.core.snapshot import ServiceEntry
from gateway.policy import allowed_ips, authenticate, body_limit, cors, rate_limit
from gateway.policy.world import World

ORDER = (body_limit, allowed_ips, cors, authenticate, rate_limit)
"""Security: what costs nothing and needs no credential comes first; limits come last: only good callers use them up."""

PER_REQUEST = (allowed_ips, rate_limit)
"""Checks that look at more than the head of a request: asked again when the same head comes again (`proxy.memo`).

The others may look at what the head says, except for request ids and `traceparent`, and at nothing that changes
without a new entry of the service. `authenticate` says until when its verdict holds.
"""

BEFORE_CREDENTIALS = ORDER[: ORDER.index(authenticate)]
"""For what another process authenticates."""


def compile_checks(entry: ServiceEntry, world: World, order: Iterable[ModuleType] | None = None) -> list[Check]:
    """The checks of one service, in order."""
    compiled = (module.compile_check(entry, world) for module in (ORDER if order is None else order))
    return [check for check in compiled if check is not None]


def compile_rechecks(entry: ServiceEntry, world: World) -> list[tuple[Check, bool]]:
    """Those of PER_REQUEST, and whether each comes after the credential."""
    return [
        (check, module not in BEFORE_CREDENTIALS)
        for module in PER_REQUEST
        for check in compile_checks(entry, world, (module,))
    ]


__all__ = ["BEFORE_CREDENTIALS", "ORDER", "PER_REQUEST", "World", "compile_checks", "compile_rechecks"]
