"""The checks that can refuse a request or answer it early: one file each, compiled per service, in one visible order.

A check module has `compile_check(entry, world) -> Check | None`: None when the service asks for nothing of the kind.
To add one: write its file, put its name into ORDER.
"""

from __future__ import annotations

from gateway.core.route import Check
from gateway.core.snapshot import ServiceEntry
from gateway.policy import allowed_ips, authenticate, body_limit, cors, rate_limit
from gateway.policy.world import World

ORDER = (body_limit, allowed_ips, cors, authenticate, rate_limit)
"""Security: what costs nothing and needs no credential comes first; limits come last: only good callers use them up."""


def compile_checks(entry: ServiceEntry, world: World) -> list[Check]:
    """The checks of one service, in order."""
    compiled = (module.compile_check(entry, world) for module in ORDER)
    return [check for check in compiled if check is not None]


__all__ = ["ORDER", "World", "compile_checks"]
